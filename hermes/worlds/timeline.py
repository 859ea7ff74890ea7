"""Timelines of rendered streams: places, tempo, and when something is shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

import numpy as np

PLACES: Final = (
    "top-left", "top", "top-right",
    "left", "centre", "right",
    "bottom-left", "bottom", "bottom-right",
)  # fmt: skip


class Occurrence(Protocol):
    """An event of any world: its first frame and its end."""

    @property
    def start(self) -> int:
        """Index of the first frame that shows the event."""

    @property
    def end(self) -> int:
        """Index of the first frame that no longer shows it."""


E = TypeVar("E", bound=Occurrence)


@dataclass(frozen=True)
class Tempo:
    """Ranges of the duration of events and of the pauses between them, in frames (inclusive)."""

    shown: tuple[int, int]
    pause: tuple[int, int]


TEMPOS: Final = {
    "dense": Tempo((1, 3), (0, 2)),
    "calm": Tempo((3, 6), (2, 5)),
    "slow": Tempo((4, 10), (6, 30)),
}


def sample_spans(
    rng: np.random.Generator, frames: int, tempo: Tempo, items: int | Sequence[int]
) -> Iterator[tuple[int, int, int]]:
    """Yield (item, start, end) in order of time. No item is repeated before all were shown.

    The spans are sampled lazily from `rng`, so the caller can draw the other properties of each event from it.

    Args:
        rng: Source of randomness.
        frames: Length of the stream.
        tempo: Duration of events and of the pauses between them.
        items: Number of items, or the items to sample from.
    """
    deck: list[int] = []
    at = int(rng.integers(0, tempo.pause[1] + 1))
    while at < frames:
        if not deck:
            deck = rng.permutation(items if isinstance(items, int) else np.asarray(items)).tolist()
        item = deck.pop()
        end = min(at + int(rng.integers(tempo.shown[0], tempo.shown[1] + 1)), frames)
        yield item, at, end
        at = end + int(rng.integers(tempo.pause[0], tempo.pause[1] + 1))


def shown_at(events: Sequence[E], frame: int) -> E | None:
    """Return the event at a frame, or None."""
    return next((event for event in events if event.start <= frame < event.end), None)


def place_centre(place: str) -> tuple[float, float]:
    """Return the centre of a place, x and y in frame sides."""
    row, column = divmod(PLACES.index(place), 3)
    return (column + 0.5) / 3, (row + 0.5) / 3
