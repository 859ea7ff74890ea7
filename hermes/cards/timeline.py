"""Timeline of a stream of coloured cards: which card is shown where and when."""

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


@dataclass(frozen=True)
class Tempo:
    """Ranges of the duration of cards and of the pauses between them, in frames (inclusive)."""

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
    """Return the event at a frame, or None."""
    return next((event for event in events if event.start <= frame < event.end), None)
