"""What happens in a stream of objects: which object, where, from when to when. No pixels here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from hermes.cards.timeline import TEMPOS, Tempo
from hermes.things.objects import CATEGORIES, CATEGORY_NAMES, CATEGORY_OF, NAMES, PLACES

__all__ = ["TEMPOS", "ObjectEvent", "Tempo", "few_categories", "make_events", "shown_at"]

MOVES: Final = 0.25  # share of events of four frames or more in which the object moves


@dataclass(frozen=True)
class ObjectEvent:
    """One object that is shown for a while.

    Attributes:
        name: one of `NAMES`.
        place: one of `PLACES`, where it appears.
        start: index of the first frame that shows it.
        end: index of the first frame that no longer shows it.
        moved: from which frame on it is at `later`; `end` if it stays.
        later: one of `PLACES`.
    """

    name: str
    place: str
    start: int
    end: int
    moved: int
    later: str

    @property
    def category(self) -> str:
        """The object's category."""
        return CATEGORY_NAMES[CATEGORY_OF[NAMES.index(self.name)]]

    def place_at(self, frame: int) -> str:
        """Where it is, or was when it was last seen."""
        return self.later if frame >= self.moved else self.place


def few_categories(rng: np.random.Generator) -> list[int]:
    """Indices of the objects of two to four categories."""
    kinds = set(rng.permutation(len(CATEGORIES))[: int(rng.integers(2, 5))].tolist())
    return [index for index, kind in enumerate(CATEGORY_OF) if kind in kinds]


def make_events(
    rng: np.random.Generator, frames: int, tempo: Tempo = TEMPOS["calm"], objects: Sequence[int] | None = None
) -> list[ObjectEvent]:
    """Draw the events of one stream; no object returns before all were shown.

    Args:
        rng: source of randomness.
        frames: length of the stream.
        tempo: length of events and of the pauses between them.
        objects: indices of the objects to draw from; None for all.

    Returns:
        Events in order of time, none overlapping, all inside the stream.
    """
    events: list[ObjectEvent] = []
    deck: list[int] = []
    at = int(rng.integers(0, tempo.pause[1] + 1))
    while at < frames:
        if not deck:
            deck = rng.permutation(len(NAMES) if objects is None else np.asarray(objects)).tolist()
        name = NAMES[deck.pop()]
        end = min(at + int(rng.integers(tempo.shown[0], tempo.shown[1] + 1)), frames)
        place = int(rng.integers(len(PLACES)))
        moved, later = end, place
        if end - at >= 4 and rng.random() < MOVES:
            moved = int(rng.integers(at + 2, end - 1))
            row, column = divmod(place, 3)
            near = [r * 3 + c for r in range(3) for c in range(3) if abs(r - row) + abs(c - column) == 1]
            later = near[int(rng.integers(len(near)))]
        events.append(ObjectEvent(name, PLACES[place], at, end, moved, PLACES[later]))
        at = end + int(rng.integers(tempo.pause[0], tempo.pause[1] + 1))
    return events


def shown_at(events: Sequence[ObjectEvent], frame: int) -> ObjectEvent | None:
    """The event that a frame shows, or None."""
    return next((event for event in events if event.start <= frame < event.end), None)
