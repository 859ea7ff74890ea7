"""True answers, with their evidence, to typed questions about a world."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from hermes.text import normal_words
from hermes.worlds.timeline import Occurrence

Span = tuple[float, float]
_NEGATIVE: Final = (["nothing"], ["no"], ["none"], ["0"])


@dataclass(frozen=True)
class Truth:
    """A parsed question with its true answer.

    Attributes:
        kind: One of the kinds of the world's questions.
        answer: True answer in the model's format.
        evidence: Start and end of the evidence as a whole, in seconds.
        spans: Start and end of each part of the evidence, in seconds; empty if the answer says that something was not shown.
        every: Whether all `spans` are needed; otherwise any one of them is sufficient.
    """

    kind: str
    answer: str
    evidence: Span
    spans: tuple[Span, ...]
    every: bool = True


def truth_with(
    kind: str, form: str, answer: str, evidence: Sequence[Occurrence], at: int, fps: float, *, every: bool
) -> Truth:
    """Return the truth of a question asked after frame `at`.

    Args:
        kind: Kind of the question.
        form: Phrasing family; the evidence of a family "now…" is the newest frame.
        answer: True answer.
        evidence: Events that the answer depends on.
        at: Index of the last frame seen.
        fps: Frames per second of the events and of `at`.
        every: Whether all of `evidence` is needed.
    """
    spans = tuple((event.start / fps, min(event.end, at + 1) / fps) for event in evidence)
    if form.startswith("now"):
        spans = ((at / fps, (at + 1) / fps),)
    if not spans:
        whole = (0.0, (at + 1) / fps)
    elif every:
        whole = (min(start for start, _ in spans), max(end for _, end in spans))
    else:
        whole = spans[-1]
    return Truth(kind, answer, whole, () if is_negative(answer) else spans, every)


def is_negative(answer: str) -> bool:
    """Whether an answer says that something was not shown ("Nothing.", "No.", "0."): no frame contains its evidence."""
    return normal_words(answer) in _NEGATIVE
