"""Questions about streams of any world, with their true answers and the location of the evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, Self, TypeVar

import numpy as np

from hermes.text import normal_words
from hermes.worlds.timeline import Occurrence

MOST: Final = 9  # above this number the true answer to a counting question is "more than 9"
LISTED: Final = 8  # maximum number of events in a list
NOTHING: Final = "Nothing."
UNKNOWN_WORD: Final = "xyzzy"  # a word that the tokenizers do not know

E = TypeVar("E", bound=Occurrence)
E_co = TypeVar("E_co", covariant=True)


class Timeline(Protocol[E_co]):
    """The properties of a stream that questions need."""

    @property
    def events(self) -> Sequence[E_co]:
        """Events in order of time."""

    @property
    def fps(self) -> float:
        """Frames per second."""


@dataclass(frozen=True)
class Question:
    """One question with its true answer.

    Attributes:
        kind: One of the kinds of its world.
        text: Text of the question.
        answer: True answer in the model's format.
        evidence: Start and end of the evidence, in seconds.
        age: Seconds from the end of the evidence to the question.
        form: Phrasing family of the text (each family has its own guess level).
        subject: What the question names: words for colour, shape or place, or an object or category.
    """

    kind: str
    text: str
    answer: str
    evidence: tuple[float, float]
    age: float = 0.0
    form: str = ""
    subject: tuple[str, ...] = ()


@dataclass(frozen=True)
class Past(Generic[E]):
    """A stream up to and including frame `at`, and the source of randomness for questions about it."""

    seen: list[E]
    now: E | None
    at: int
    fps: float
    rng: np.random.Generator

    @classmethod
    def of(cls, stream: Timeline[E], at: int, rng: np.random.Generator) -> Self:
        """Return the past of a stream after frame `at`."""
        seen = [event for event in stream.events if event.start <= at]
        now = seen[-1] if seen and at < seen[-1].end else None
        return cls(seen, now, at, stream.fps, rng)

    def question(
        self,
        kind: str,
        form: str,
        text: str,
        answer: str,
        events: Sequence[E] | None,
        subject: tuple[str, ...] = (),
    ) -> Question:
        """Return a question with its evidence: `events`, or everything shown so far if there are none."""
        start = min((e.start for e in events), default=0) if events else 0
        end = max((min(e.end, self.at + 1) for e in events), default=self.at + 1) if events else self.at + 1
        if form.startswith("now"):
            start, end = self.at, self.at + 1
        age = (self.at + 1 - end) / self.fps
        return Question(kind, text, answer, (start / self.fps, end / self.fps), age, form, subject)

    def phrase(self, phrases: Sequence[str]) -> str:
        """Return a random phrase."""
        return phrases[int(self.rng.integers(len(phrases)))]

    def pick(self, events: Sequence[E]) -> E:
        """Return a random event."""
        return events[int(self.rng.integers(len(events)))]


def other_text(past: Past[E], phrases: Sequence[str], unknown: Sequence[str]) -> str:
    """Return a question from outside the world: one of `phrases`, or one of `unknown` with an unknown word for {u}."""
    if past.rng.random() < 0.5:
        return past.phrase(phrases)
    return past.phrase(unknown).replace("{u}", UNKNOWN_WORD)


def capital(text: str) -> str:
    """Return the text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def as_text(name: str) -> str:
    """Return the name of an object or place as it appears in text, with spaces in place of hyphens."""
    return name.replace("-", " ")


def count_answer(count: int) -> str:
    """Return the true answer to a counting question."""
    return f"{count}." if count <= MOST else f"More than {MOST}."


def list_answer(names: Sequence[str]) -> str | None:
    """Return the true answer that lists names; None if there are more than `LISTED`."""
    if len(names) > LISTED:
        return None
    return capital(", ".join(names)) + "." if names else NOTHING


def is_correct(question: Question, answer: str) -> bool:
    """Return whether an answer equals the true answer, ignoring case and punctuation."""
    return normal_words(answer) == normal_words(question.answer)
