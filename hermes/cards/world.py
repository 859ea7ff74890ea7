"""Rendered streams of coloured cards with their ground truth, reproducible from a seed."""

from __future__ import annotations

import numpy as np

from hermes.cards.backgrounds import CALM, Families, Image, make_background
from hermes.cards.render import draw, make_look, make_setting
from hermes.cards.timeline import COLOURS, PLACES, SHAPES, TEMPOS, Event, Tempo, make_events, shown_at
from hermes.worlds.stream import RenderedStream

__all__ = ["COLOURS", "PLACES", "SHAPES", "TEMPOS", "Event", "Stream", "Tempo", "render_stream"]


Stream = RenderedStream[Event]
"""A rendered stream of cards."""


def render_stream(
    seed: int,
    frames: int,
    fps: float = 2.0,
    *,
    size: int = 128,
    aspect: float = 1.0,
    tempo: str | Tempo = "calm",
    events: list[Event] | None = None,
    background: Image | None = None,
    families: Families = CALM,
) -> Stream:
    """Render a stream; the same arguments give the same pixels.

    Args:
        seed: Random seed.
        frames: Number of frames.
        fps: Frames per second; only affects `times`.
        size: Height of the frames in pixels (the model sees 128 x 128).
        aspect: Width over height of the frames.
        tempo: Duration of cards and pauses: a name of `TEMPOS` or a `Tempo`.
        events: Events to render instead of random ones.
        background: Image to use instead of a procedural background, uint8 RGB, 192 x 192.
        families: Kinds of procedural backgrounds (`CALM`, `PHOTOGRAPHIC`, or `HELD_OUT`, which is not used in training).

    Returns:
        The stream with its events.
    """
    rng = np.random.default_rng([seed, frames])
    if events is None:
        events = make_events(rng, frames, TEMPOS[tempo] if isinstance(tempo, str) else tempo)
    if background is None:
        background = make_background(rng, families)
    setting = make_setting(rng, background, aspect)
    looks = {event: make_look(rng, event.colour, event.shape, event.place, aspect) for event in events}
    width = round(size * aspect)
    pictures = np.empty((frames, size, width, 3), np.uint8)
    for index in range(frames):
        event = shown_at(events, index)
        pictures[index], _ = draw(rng, setting, looks[event] if event else None, size, width)
    return Stream(pictures, np.arange(frames) / fps, list(events), fps)
