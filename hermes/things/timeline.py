"""Timeline of a stream of objects: which object is shown where and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from hermes.things.objects import BY_NAME, CATEGORIES, CATEGORY_OF, NAMES
from hermes.worlds.timeline import PLACES, TEMPOS, Tempo, sample_spans, shown_at

__all__ = ["TEMPOS", "ObjectEvent", "Tempo", "few_categories", "make_events", "shown_at"]

MOVES: Final = 0.25  # share of events of four frames or more in which the object moves


@dataclass(frozen=True)
class ObjectEvent:
    """One appearance of an object.

    Attributes:
        name: One of `NAMES`.
        place: One of `PLACES`, where it appears first.
        start: Index of the first frame that shows the object.
        end: Index of the first frame that no longer shows it.
        moved: First frame at which it is at `later`; `end` if it does not move.
        later: One of `PLACES`.
    """

    name: str
    place: str
    start: int
    end: int
    moved: int
    later: str

    @property
    def category(self) -> str:
        """The object's category; "" if it is unknown."""
        item = BY_NAME.get(self.name)
        return item.category if item is not None else ""

    def place_at(self, frame: int) -> str:
        """Return the place of the object at a frame, or its last place."""
        return self.later if frame >= self.moved else self.place


def few_categories(rng: np.random.Generator) -> list[int]:
    """Return the indices of the objects of two to four random categories."""
    kinds = set(rng.permutation(len(CATEGORIES))[: int(rng.integers(2, 5))].tolist())
    return [index for index, kind in enumerate(CATEGORY_OF) if kind in kinds]


def make_events(
    rng: np.random.Generator, frames: int, tempo: Tempo = TEMPOS["calm"], objects: Sequence[int] | None = None
) -> list[ObjectEvent]:
    """Sample the events of a stream. No object is repeated before all were shown.

    Args:
        rng: Source of randomness.
        frames: Length of the stream.
        tempo: Duration of events and of the pauses between them.
        objects: Indices of the objects to sample from; None for all.

    Returns:
        Events in order of time, without overlap, all inside the stream.
    """
    events = []
    for index, start, end in sample_spans(rng, frames, tempo, len(NAMES) if objects is None else objects):
        place = int(rng.integers(len(PLACES)))
        moved, later = end, place
        if end - start >= 4 and rng.random() < MOVES:
            moved = int(rng.integers(start + 2, end - 1))
            row, column = divmod(place, 3)
            near = [r * 3 + c for r in range(3) for c in range(3) if abs(r - row) + abs(c - column) == 1]
            later = near[int(rng.integers(len(near)))]
        events.append(ObjectEvent(NAMES[index], PLACES[place], start, end, moved, PLACES[later]))
    return events
