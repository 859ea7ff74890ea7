"""Ground truth of bundled clips of any world: true answers to typed questions, with their evidence.

A clip's file lists its events: cards with `colour` and `shape`, objects with `object`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

from hermes.cards import truth as cards
from hermes.cards.timeline import Event
from hermes.things import truth as things
from hermes.things.timeline import ObjectEvent
from hermes.worlds.truth import Truth

CARDS: Final = "cards"
OBJECTS: Final = "objects"
EARLY: Final = 0.1
"""Frames by which a stream time may be early, because files store times in milliseconds."""


class GroundTruth:
    """The events of a stream. False in a condition if there are none."""

    def __init__(self, listed: Iterable[Mapping[str, Any]], fps: float) -> None:
        """Read the events of a clip's file.

        Args:
            listed: Events with their times in seconds.
            fps: Frames per second in which times are compared.
        """
        listed = list(listed)
        self._fps = fps
        self._objects: list[ObjectEvent] = []
        self._cards: list[Event] = []
        if world_of(listed) == OBJECTS:
            self._objects = things.read_events(listed, fps)
        else:
            self._cards = cards.read_events(listed, fps)

    def __bool__(self) -> bool:
        return bool(self._cards or self._objects)

    def answer(self, question: str, seconds: float) -> Truth | None:
        """Return the true answer to a question asked at a stream time in seconds.

        Returns:
            None if the question is not about this world, or has no well-defined answer.
        """
        at = math.floor(seconds * self._fps + EARLY)
        if self._objects:
            return things.truth_of(question, self._objects, at, self._fps)
        return cards.truth_of(question, self._cards, at, self._fps)


def world_of(listed: Iterable[Mapping[str, Any]]) -> str:
    """Return the world of a clip's events; "" if there are none."""
    first = next(iter(listed), None)
    return "" if first is None else OBJECTS if "object" in first else CARDS


def name_of(event: Mapping[str, Any]) -> str:
    """Return what an event of a clip's file shows, as in "red triangle" or "computer mouse"."""
    return str(event["object"]) if "object" in event else f"{event['colour']} {event['shape']}"


def noun_of(event: Mapping[str, Any]) -> str:
    """Return the word for the things that an event belongs to: "card" or "object"."""
    return "object" if "object" in event else "card"


def kind_of(question: str, world: str) -> str | None:
    """Return the kind of a question about a world of objects; None if it is another question or another world."""
    return things.kind_of(question) if world == OBJECTS else None
