"""Packed training batches of streams of objects. The packing is that of the card model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from hermes.pocket.packing import Drawn, Packer, Plan
from hermes.things.objects import CATEGORY_OF, NAMES
from hermes.things.phrases import PHRASES
from hermes.things.questions import ask
from hermes.things.timeline import ObjectEvent, few_categories, make_events
from hermes.worlds.questions import Question
from hermes.worlds.timeline import PLACES

SHARES: Final = {
    "now": 1.0, "before": 1.2, "first": 1.0, "exists": 1.8, "category": 1.8, "after": 2.2, "place": 2.0, "count": 0.0,
    "other": 0.4, "recall": 0.2,
}  # fmt: skip


@dataclass(frozen=True)
class ObjectTrack:
    """The events of one stream, in the form that questions need."""

    events: list[ObjectEvent]
    fps: float = 1.0


def evidence_of(question: Question, track: ObjectTrack, at: int) -> list[int]:
    """Return the indices of the events with the answer; none for "now" (the newest frames contain it) and refusals."""
    seen = [index for index, event in enumerate(track.events) if event.start <= at]
    if question.kind in ("recall", "list", "count"):
        return seen
    if question.kind in ("now", "other") or question.form == "now-place" or question.answer in ("No.", "Nothing."):
        return []
    start, end = (time * track.fps for time in question.evidence)
    return [index for index in seen if start <= track.events[index].start < end][-1:]


def guess_level(question: Question, track: ObjectTrack, at: int) -> float:
    """Return the chance that naming something shown so far (or the likelier of yes and no) is correct."""
    names = {event.name for event in track.events if event.start <= at}
    if question.form in ("exists", "category"):
        return 0.5
    if question.kind in ("other", "recall") or not names:
        return 1.0
    return 1 / len(names)


class ObjectPacker(Packer):
    """Makes packed batches, reproducible from the random generator."""

    shares: Mapping[str, float] = SHARES
    lists: Sequence[str] = PHRASES["list"]

    def _draw(self, rng: np.random.Generator, plan: Plan) -> Drawn:
        drawn = Drawn.empty(plan.streams, plan.frames)
        for row in range(plan.streams):
            events = make_events(rng, plan.frames, plan.tempo, few_categories(rng) if rng.random() < plan.few else None)
            drawn.tracks.append(ObjectTrack(events))
            for index, event in enumerate(events):
                name = NAMES.index(event.name)
                drawn.labels[row, event.start : event.end, :2] = (name, CATEGORY_OF[name])
                drawn.labels[row, event.start : event.moved, 2] = PLACES.index(event.place)
                drawn.labels[row, event.moved : event.end, 2] = PLACES.index(event.later)
                drawn.put(row, index, events, (name + 1, CATEGORY_OF[name] + 1))
        return drawn

    def _ask(self, track: ObjectTrack, at: int, kind: str, rng: np.random.Generator) -> Question | None:
        return ask(track, at, kind, rng)

    def _evidence(self, question: Question, track: ObjectTrack, at: int) -> list[int]:
        return evidence_of(question, track, at)

    def _guess(self, question: Question, track: ObjectTrack, at: int) -> float:
        return guess_level(question, track, at)
