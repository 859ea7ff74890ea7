"""Evaluation of a model on rendered streams of any world: questions, guess levels, intervals and summaries.

Questions are asked at the end of a stream through `StreamSession`, so policies are measured exactly as the page runs them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeVar

import numpy as np

from hermes.backbones.base import Backbone
from hermes.policies.limits import PUBLISHED_CHUNK
from hermes.session.stream_session import StreamSession
from hermes.text import normal_words
from hermes.worlds.questions import MOST, Question, is_correct
from hermes.worlds.stream import RenderedStream
from hermes.worlds.timeline import Occurrence

SEED_BASE: Final = 7_000_000  # first seed of evaluation streams
SPREAD: Final = 8  # questions are asked after one of the last SPREAD frames
EACH: Final = 2  # maximum number of questions of each kind per stream
AGES: Final = ((0, 8), (8, 32), (32, 64), (64, 128), (128, 10**9))  # age of the evidence, in frames
PUSHED: Final = 64  # frames pushed at once

E = TypeVar("E", bound=Occurrence)


@dataclass(frozen=True)
class Setup:
    """Parameters of a measurement.

    Attributes:
        streams: Number of streams.
        frames: Number of frames per stream.
        seed: Random seed of the streams.
        policy: Name of the policy.
        budget: Video tokens per layer; None for the policy's default.
        guidance: Method of computing the guidance; None for the policy's default.
        tempo: Duration of cards and pauses, a name of `TEMPOS`.
        background: A name of `BACKGROUNDS`, or "photo" (images passed by the caller).
        chunk: Frames per chunk.
    """

    streams: int = 24
    frames: int = 64
    seed: int = 0
    policy: str = "full"
    budget: int | None = None
    guidance: str | None = None
    tempo: str = "calm"
    background: str = "calm"
    chunk: int = PUBLISHED_CHUNK


@dataclass(frozen=True)
class ScoredReply:
    """A question with the model's answer."""

    stream: int
    question: Question
    answer: str
    correct: bool
    near: bool
    candidates: tuple[str, ...]


@dataclass(frozen=True)
class StreamTask:
    """A stream and its questions.

    Attributes:
        stream: The stream.
        at: Last frame to push before the questions.
        questions: Questions to ask.
        candidates: For each question, the answers that name something shown, for the guess level.
    """

    stream: RenderedStream[Any]
    at: int
    questions: Sequence[Question]
    candidates: Sequence[tuple[str, ...]]


def draw_moment(rng: np.random.Generator, frames: int, spans: Sequence[tuple[int, int]]) -> int:
    """Return the frame after which to ask: one of the last ones, with probability 3/4 one that shows something.

    Args:
        rng: Source of randomness.
        frames: Number of frames of the stream.
        spans: First frame of each event, and the frame after its last one.
    """
    last = max(frames - SPREAD, 0)
    moments = list(range(last, frames))
    shown = [at for at in moments if any(start <= at < end for start, end in spans)]
    return int(rng.choice(shown if shown and rng.random() < 0.75 else moments))


def sample_questions(
    rng: np.random.Generator,
    frames: int,
    stream: RenderedStream[E],
    kinds: Sequence[str],
    ask: Callable[[RenderedStream[E], int, str, np.random.Generator], Question | None],
) -> tuple[int, list[Question]]:
    """Return the frame after which to ask, and up to `EACH` different questions of each kind.

    Args:
        rng: Source of randomness.
        frames: Number of frames of the stream.
        stream: The stream.
        kinds: Kinds of questions.
        ask: Returns a question of a kind after a frame; None if none is well-defined.
    """
    at = draw_moment(rng, frames, [(event.start, event.end) for event in stream.events])
    questions: dict[str, Question] = {}
    for kind in kinds:
        for _ in range(EACH):
            question = ask(stream, at, kind, rng)
            if question is not None:
                questions.setdefault(question.text, question)
    return at, list(questions.values())


def guess_level(replies: Sequence[ScoredReply]) -> float:
    """Return the highest accuracy that answering without looking for the evidence reaches.

    This is the better of two strategies: always the most common true answer of each phrasing family (determined from the
    same questions, which favours guessing), or the most common answer among the cards shown in the stream.
    """
    by_form: dict[str, list[str]] = defaultdict(list)
    for reply in replies:
        by_form[reply.question.form].append(reply.question.answer)
    blind = sum(max(Counter(answers).values()) for answers in by_form.values()) / len(replies)
    naming = []
    for reply in replies:
        counts = Counter(reply.candidates)
        truth = " ".join(normal_words(reply.question.answer))
        best = max(counts.values(), default=0)
        ties = [name for name, count in counts.items() if count == best]
        naming.append((truth in ties) / len(ties) if ties else 0.0)
    return max(blind, float(np.mean(naming)))


def interval(
    replies: Sequence[ScoredReply], value: Callable[[ScoredReply], float], draws: int = 2000
) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of a mean, resampling streams, since questions of a stream are not independent."""
    sums: dict[int, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for reply in replies:
        sums[reply.stream][0] += value(reply)
        sums[reply.stream][1] += 1
    table = np.array(list(sums.values()))
    picks = np.random.default_rng(0).integers(0, len(table), (draws, len(table)))
    drawn = table[picks].sum(1)
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [0.025, 0.975])
    return round(float(low), 4), round(float(high), 4)


def is_near(question: Question, answer: str) -> bool:
    """Return whether an answer to a counting question is within one of the true count ("more than 9" counts as 10)."""
    values = []
    for text in (question.answer, answer):
        words = normal_words(text)
        number = next((int(w) for w in words if w.isdigit()), None)
        if number is None:
            return is_correct(question, answer)
        values.append(MOST + 1 if "more" in words else number)
    return abs(values[0] - values[1]) <= 1


def answer_task(model: Backbone, setup: Setup, task: StreamTask, index: int) -> list[ScoredReply]:
    """Push the frames of stream number `index` into a session, then ask its questions."""
    session = StreamSession(model, policy=setup.policy, budget=setup.budget, guidance=setup.guidance, chunk=setup.chunk)
    for start in range(0, task.at + 1, PUSHED):
        stop = min(start + PUSHED, task.at + 1)
        session.push(task.stream.frames[start:stop], task.stream.times[start:stop])
    replies = []
    for question, named in zip(task.questions, task.candidates, strict=True):
        answer = "".join(session.ask(question.text)).strip()
        correct = is_correct(question, answer)
        near = is_near(question, answer) if question.kind == "count" else correct
        replies.append(ScoredReply(index, question, answer, correct, near, named))
    session.close()
    return replies


def summarise(replies: Sequence[ScoredReply], fps: float, kinds: Sequence[str]) -> dict[str, Any]:
    """Return accuracy, guess level, number and interval by kind (of `kinds`) and by age of the evidence."""

    def row(chosen: Sequence[ScoredReply]) -> dict[str, Any]:
        found = {
            "accuracy": round(float(np.mean([r.correct for r in chosen])), 4),
            "guess": round(guess_level(chosen), 4),
            "n": len(chosen),
            "interval": interval(chosen, lambda r: float(r.correct)),
        }
        if chosen[0].question.kind == "count":
            found["within_one"] = round(float(np.mean([r.near for r in chosen])), 4)
        return found

    by_kind = {kind: [r for r in replies if r.question.kind == kind] for kind in kinds}
    memory = [r for r in replies if r.question.kind not in ("now", "exists", "count")]
    ages = {}
    for low, high in AGES:
        chosen = [r for r in memory if low <= r.question.age * fps < high]
        if chosen:
            ages[f"{low}-{high}" if high < 10**9 else f"{low}+"] = row(chosen)
    return {"kinds": {k: row(v) for k, v in by_kind.items() if v}, "age_in_frames": ages}


def measure_streams(
    model: Backbone,
    setup: Setup,
    make: Callable[[int], StreamTask],
    kinds: Sequence[str],
    progress: Callable[[int], None] | None = None,
    only: Iterable[int] | None = None,
) -> dict[str, Any]:
    """Measure a model on streams.

    Args:
        model: Model from `hermes.load`.
        setup: Parameters of the measurement.
        make: Creates the task of a stream from its index.
        kinds: Kinds of questions to report.
        progress: Called with the number of completed streams.
        only: Indices of the streams to use; None for all.

    Returns:
        JSON-compatible: `setup`, `guidance_prompts`, `kinds`, `age_in_frames`.
    """
    replies: list[ScoredReply] = []
    fps = 2.0
    for done, index in enumerate(only if only is not None else range(setup.streams), 1):
        task = make(index)
        fps = task.stream.fps
        replies += answer_task(model, setup, task, index)
        if progress is not None:
            progress(done)
    return {"setup": asdict(setup), "guidance_prompts": dict(model.card.guidance), **summarise(replies, fps, kinds)}
