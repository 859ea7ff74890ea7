"""What happens in a stream of coloured cards: which card, where, from when to when. No pixels here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

COLOURS: Final = ("red", "orange", "yellow", "green", "blue", "purple", "white", "black")
SHAPES: Final = ("circle", "square", "triangle", "star", "cross")
PLACES: Final = (
    "top-left", "top", "top-right",
    "left", "centre", "right",
    "bottom-left", "bottom", "bottom-right",
)  # fmt: skip


@dataclass(frozen=True)
class Event:
    """One card that is shown for a while.

    Attributes:
        colour: one of `COLOURS`.
        shape: one of `SHAPES`.
        place: one of `PLACES`.
        start: index of the first frame that shows the card.
        end: index of the first frame that no longer shows it.
    """

    colour: str
    shape: str
    place: str
    start: int
    end: int


@dataclass(frozen=True)
class Tempo:
    """How fast cards follow each other, in frames (both ends included)."""

    shown: tuple[int, int]
    pause: tuple[int, int]


TEMPOS: Final = {
    "dense": Tempo((1, 3), (0, 2)),
    "calm": Tempo((3, 6), (2, 5)),
    "slow": Tempo((4, 10), (6, 30)),
}


def make_events(
    rng: np.random.Generator, frames: int, tempo: Tempo = TEMPOS["calm"], cards: Sequence[int] | None = None
) -> list[Event]:
    """Draw the events of one stream.

    No colour-and-shape pair returns before all were shown, so "the red circle" names one card.

    Args:
        rng: source of randomness.
        frames: length of the stream.
        tempo: length of events and of the pauses between them.
        cards: the pairs to draw from, each colour index x number of shapes + shape index; None for all forty.

    Returns:
        Events in order of time, none overlapping, all inside the stream.
    """
    events: list[Event] = []
    deck: list[int] = []
    at = int(rng.integers(0, tempo.pause[1] + 1))
    while at < frames:
        if not deck:
            deck = rng.permutation(len(COLOURS) * len(SHAPES) if cards is None else np.asarray(cards)).tolist()
        card = deck.pop()
        end = min(at + int(rng.integers(tempo.shown[0], tempo.shown[1] + 1)), frames)
        place = PLACES[int(rng.integers(len(PLACES)))]
        events.append(Event(COLOURS[card // len(SHAPES)], SHAPES[card % len(SHAPES)], place, at, end))
        at = end + int(rng.integers(tempo.pause[0], tempo.pause[1] + 1))
    return events


def shown_at(events: list[Event], frame: int) -> Event | None:
    """The event that a frame shows, or None."""
    return next((event for event in events if event.start <= frame < event.end), None)
