"""Accuracy of the pocket model by kind of question and age of the evidence, compared with guessing.

Streams are rendered from seeds that training never uses. Questions are asked at the end of a stream through
`StreamSession`, so policies are measured exactly as the demo runs them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from hermes.backbones.base import Backbone
from hermes.cards.backgrounds import CALM, HELD_OUT, PHOTOGRAPHIC
from hermes.cards.questions import KINDS, MOST, Question, ask, is_correct
from hermes.cards.timeline import COLOURS, PLACES, SHAPES
from hermes.cards.world import Stream, render_stream
from hermes.session.stream_session import StreamSession
from hermes.text import normal_words

SEED_BASE: Final = 7_000_000  # first seed of evaluation streams
SPREAD: Final = 8  # questions are asked after one of the last SPREAD frames
EACH: Final = 2  # maximum number of questions of each kind per stream
AGES: Final = ((0, 8), (8, 32), (32, 64), (64, 128), (128, 10**9))  # age of the evidence, in frames
BACKGROUNDS: Final = {"calm": CALM, "photographic": PHOTOGRAPHIC, "held-out": HELD_OUT}
PUSHED: Final = 64  # frames pushed at once


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
    """

    streams: int = 24
    frames: int = 64
    seed: int = 0
    policy: str = "full"
    budget: int | None = None
    guidance: str | None = None
    tempo: str = "calm"
    background: str = "calm"


@dataclass(frozen=True)
class ScoredReply:
    """A question with the model's answer."""

    stream: int
    question: Question
    said: str
    correct: bool
    near: bool
    candidates: tuple[str, ...]


def make_stream(setup: Setup, index: int, photos: Sequence[NDArray[np.uint8]] = ()) -> Stream:
    """Return the stream with the given index."""
    seed = SEED_BASE + 10_000 * setup.seed + index
    background = photos[index % len(photos)] if photos else None
    families = BACKGROUNDS.get(setup.background, CALM)
    return render_stream(seed, setup.frames, tempo=setup.tempo, background=background, families=families)


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


def draw_questions(setup: Setup, stream: Stream, index: int) -> tuple[int, list[Question]]:
    """Return the frame after which to ask, and up to `EACH` different questions of each kind."""
    rng = np.random.default_rng([SEED_BASE, setup.seed, index])
    at = draw_moment(rng, setup.frames, [(event.start, event.end) for event in stream.events])
    questions: dict[str, Question] = {}
    for kind in KINDS:
        for _ in range(EACH):
            question = ask(stream, at, kind, rng)
            if question is not None:
                questions.setdefault(question.text, question)
    return at, list(questions.values())


def named_candidates(question: Question, stream: Stream, at: int) -> tuple[str, ...]:
    """Return one answer for each card shown so far, in the form of the true answer."""
    seen = [event for event in stream.events if event.start <= at]
    words = normal_words(question.answer)
    if question.kind in ("exists", "count"):
        return ()
    if words[0] in COLOURS and len(words) == 1:
        return tuple(e.colour for e in seen)
    if words[0] in SHAPES:
        return tuple(e.shape for e in seen)
    if " ".join(words).replace(" ", "-") in PLACES:
        return tuple(e.place.replace("-", " ") for e in seen)
    if len(words) > 2:
        return tuple(f"{e.colour} {e.shape} {e.place.replace('-', ' ')}" for e in seen)
    return tuple(f"{e.colour} {e.shape}" for e in seen)


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


def is_near(question: Question, said: str) -> bool:
    """Return whether an answer to a counting question is within one of the true count ("more than 9" counts as 10)."""
    values = []
    for text in (question.answer, said):
        words = normal_words(text)
        number = next((int(w) for w in words if w.isdigit()), None)
        if number is None:
            return is_correct(question, said)
        values.append(MOST + 1 if "more" in words else number)
    return abs(values[0] - values[1]) <= 1


class Shown(Protocol):
    """A rendered stream of any world."""

    @property
    def frames(self) -> NDArray[np.uint8]:
        """Pictures, uint8 [T, H, W, 3], RGB."""

    @property
    def times(self) -> NDArray[np.float64]:
        """Seconds from the start, float64 [T]."""


def answer_stream(model: Backbone, setup: Setup, stream: Stream, index: int) -> list[ScoredReply]:
    """Push the frames of a stream into a session, then ask its questions."""
    at, questions = draw_questions(setup, stream, index)
    candidates = [named_candidates(question, stream, at) for question in questions]
    return ask_at(model, setup, stream, index, at, questions, candidates)


def ask_at(
    model: Backbone,
    setup: Setup,
    stream: Shown,
    index: int,
    at: int,
    questions: Sequence[Question],
    candidates: Sequence[tuple[str, ...]],
) -> list[ScoredReply]:
    """Stream the frames up to frame `at` through a session, then ask.

    Args:
        model: Model from `hermes.load`.
        setup: Policy, budget and guidance.
        stream: The stream.
        index: Index of the stream.
        at: Last frame to push.
        questions: Questions to ask.
        candidates: For each question, the answers that name something shown, for the guess level.
    """
    session = StreamSession(model, policy=setup.policy, budget=setup.budget, guidance=setup.guidance)
    for start in range(0, at + 1, PUSHED):
        stop = min(start + PUSHED, at + 1)
        session.push(stream.frames[start:stop], stream.times[start:stop])
    replies = []
    for question, named in zip(questions, candidates, strict=True):
        said = "".join(session.ask(question.text)).strip()
        correct = is_correct(question, said)
        near = is_near(question, said) if question.kind == "count" else correct
        replies.append(ScoredReply(index, question, said, correct, near, named))
    session.close()
    return replies


def summarise(replies: Sequence[ScoredReply], fps: float, kinds: Sequence[str] = KINDS) -> dict[str, Any]:
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


def evaluate(
    model: Backbone,
    setup: Setup,
    photos: Sequence[NDArray[np.uint8]] = (),
    progress: Callable[[int], None] | None = None,
    only: Iterable[int] | None = None,
) -> dict[str, Any]:
    """Measure a model.

    Args:
        model: Model from `hermes.load`.
        setup: Parameters of the measurement.
        photos: Backgrounds to use instead of procedural ones, uint8 RGB, 192 x 192 pixels.
        progress: Called with the number of completed streams.
        only: Indices of the streams to use; None for all.

    Returns:
        JSON-compatible results that the command prints: `setup`, `guidance_prompts`, `kinds`, `age_in_frames`.
    """
    replies: list[ScoredReply] = []
    fps = 2.0
    for done, index in enumerate(only if only is not None else range(setup.streams), 1):
        stream = make_stream(setup, index, photos)
        fps = stream.fps
        replies += answer_stream(model, setup, stream, index)
        if progress is not None:
            progress(done)
    return {"setup": asdict(setup), "guidance_prompts": dict(model.card.guidance), **summarise(replies, fps)}
