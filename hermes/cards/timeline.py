"""Timeline of a stream of coloured cards: which card is shown where and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from hermes.worlds.timeline import PLACES, TEMPOS, Tempo, sample_spans, shown_at

__all__ = ["COLOURS", "PLACES", "SHAPES", "TEMPOS", "Event", "Tempo", "make_events", "shown_at"]

COLOURS: Final = ("red", "orange", "yellow", "green", "blue", "purple", "white", "black")
SHAPES: Final = ("circle", "square", "triangle", "star", "cross")


@dataclass(frozen=True)
class Event:
    """One appearance of a card.

    Attributes:
        colour: One of `COLOURS`.
        shape: One of `SHAPES`.
        place: One of `PLACES`.
        start: Index of the first frame that shows the card.
        end: Index of the first frame that no longer shows it.
    """

    colour: str
    shape: str
    place: str
    start: int
    end: int


def make_events(
    rng: np.random.Generator, frames: int, tempo: Tempo = TEMPOS["calm"], cards: Sequence[int] | None = None
) -> list[Event]:
    """Sample the events of a stream.

    No pair of colour and shape is repeated before all were shown, so that "the red circle" identifies one card.

    Args:
        rng: Source of randomness.
        frames: Length of the stream.
        tempo: Duration of cards and pauses.
        cards: Pairs to sample from, each colour index x number of shapes + shape index; None for all forty.

    Returns:
        Events in order of time, without overlap, all inside the stream.
    """
    events = []
    for card, start, end in sample_spans(rng, frames, tempo, len(COLOURS) * len(SHAPES) if cards is None else cards):
        place = PLACES[int(rng.integers(len(PLACES)))]
        events.append(Event(COLOURS[card // len(SHAPES)], SHAPES[card % len(SHAPES)], place, start, end))
    return events
