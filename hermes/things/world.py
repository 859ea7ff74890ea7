"""Rendered streams of objects with their ground truth, reproducible from a seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from hermes.things.objects import NAMES
from hermes.things.pictures import NOTHING, Cutout, Pixels
from hermes.things.render import ObjectLook, draw, make_look, make_setting
from hermes.things.timeline import TEMPOS, ObjectEvent, Tempo, make_events, shown_at
from hermes.worlds.stream import RenderedStream
from hermes.worlds.timeline import place_centre

MOVING: Final = 2  # duration of a move, in frames

__all__ = ["ObjectStream", "displacement", "render_stream"]


ObjectStream = RenderedStream[ObjectEvent]
"""A rendered stream of objects."""


def displacement(event: ObjectEvent, look: ObjectLook, index: int) -> tuple[float, float]:
    """Return by how much the object of an event has moved at a frame, in frame sides."""
    if index <= event.moved - MOVING or event.moved >= event.end:
        return 0.0, 0.0
    share = min((index - event.moved + MOVING) / MOVING, 1.0)
    (x, y), (from_x, from_y) = place_centre(event.later), look.centre
    return share * (x - from_x), share * (y - from_y)


def render_stream(
    seed: int,
    frames: int,
    cutouts: Sequence[Cutout],
    photographs: Sequence[Pixels] = (),
    fps: float = 2.0,
    *,
    size: int = 224,
    aspect: float = 1.0,
    tempo: str | Tempo = "calm",
    events: list[ObjectEvent] | None = None,
) -> ObjectStream:
    """Render a stream; the same arguments give the same pixels.

    Args:
        seed: Random seed.
        frames: Number of frames.
        cutouts: Pictures of the objects; objects without a picture are not shown.
        photographs: Backgrounds, uint8 [H, W, 3] RGB; if empty, backgrounds are procedural.
        fps: Frames per second; only affects `times`.
        size: Height of the frames in pixels (the model sees 224 x 224).
        aspect: Width over height of the frames.
        tempo: Duration of events and pauses: a name of `TEMPOS` or a `Tempo`.
        events: Events to render instead of random ones.

    Returns:
        The stream with its events.
    """
    rng = np.random.default_rng([seed, frames, 16])
    pictures: dict[str, list[Cutout]] = {}
    for cutout in cutouts:
        if cutout.label != NOTHING:
            pictures.setdefault(NAMES[cutout.label], []).append(cutout)
    if events is None:
        known = [index for index, name in enumerate(NAMES) if name in pictures]
        events = make_events(rng, frames, TEMPOS[tempo] if isinstance(tempo, str) else tempo, known)
    setting = make_setting(rng, photographs, aspect)
    looks = []
    for event in events:
        options = pictures[event.name]
        looks.append(make_look(rng, options[int(rng.integers(len(options)))].pixels, event.place, aspect))
    shown = np.empty((frames, size, round(size * aspect), 3), np.uint8)
    for index in range(frames):
        now = shown_at(events, index)
        look = looks[events.index(now)] if now is not None else None
        shift = displacement(now, look, index) if now is not None and look is not None else (0.0, 0.0)
        shown[index], _ = draw(rng, setting, look, size, shown.shape[2], shift)
    return ObjectStream(shown, np.arange(frames) / fps, list(events), fps)
