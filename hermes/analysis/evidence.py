"""The fate of the evidence: why an answer was right or wrong, read off what the memory held and what the answer read.

Pure functions of an `AnswerTrace` and a `Snapshot`; numpy only. They do not know where the truth comes from (for the
pocket world, see `hermes.cards.truth`).

What counts as held and as attended is our own convention, not the paper's:

* A moment is held while some layer keeps at least one token for each of its frames on average, or while what is left of it
  is attended to. One a frame is what the paper finds deep layers to need: they attend in one peak a frame. What was folded
  into a summary token, or merged into another frame's token, does not count as held.
* Where an answer does not read the memory as it stands, held is what it read; what no layer read as much of, but an archive
  (or memory that the answer left out) holds at that rate, was not retrieved. What was archived since counts too.
* A tier (a third of the depth where the policy knows no tiers) attends to the evidence where a token of it gets at least
  `ATTENDED` times the attention of any other frame token that the tier holds. For questions about one card, the pocket
  model's right answers lie far above three times and most of its wrong ones below (`tests/unit/test_fate_shipped.py`
  measures it); questions that ask how many spread their attention.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from hermes.analysis.evidence_text import ATTENDED, sentence_of
from hermes.snapshot import TIERS, AnswerTrace, Snapshot
from hermes.text import normal_words

MOST_READ: Final = 3

Span = tuple[float, float]
Float = npt.NDArray[np.float64]
Int = npt.NDArray[np.int64]
Outcome = Literal["not sampled", "evicted", "not retrieved", "unread", "read", "absent", "unknown"]
"""What became of the evidence: no frame shows it; sampled, then evicted; archived, but not retrieved for the answer; held,
but not attended; held and attended; there is none to point at, since the answer rests on what was not shown; nobody knows
where it lies."""


@dataclass(frozen=True)
class Moment:
    """One moment of the evidence.

    Attributes:
        span: Start and end, in seconds.
        frames: Sampled frames within it [frames of the moment].
        held: Share of those frames' tokens that each layer held for the answer [layers], 0 to 1.
        outcome: "not sampled", "evicted", "not retrieved" or "held".
        stored: Tokens of each of its frames, on average, that each layer has in the memory or in an archive, whether the
            answer read them or not [layers].
    """

    span: Span
    frames: Int
    held: Float
    outcome: Literal["not sampled", "evicted", "not retrieved", "held"]
    stored: Float


@dataclass(frozen=True)
class TierFate:
    """The evidence in one tier, all shares as means over its layers.

    Attributes:
        tier: Index into `TIERS`: by the depth of the layers, also where the policy treats them all alike.
        layers: Its layers, first and last included.
        held: Share of the evidence's tokens that it held, 0 to 1; nan without evidence.
        attention: Share of the tier's whole attention that went to the evidence, 0 to 1; nan without evidence.
        even: What that share had been, had the attention on frames been spread evenly over their tokens.
        lift: Attention of a token of the evidence against that of another frame token; inf where nothing else was held,
            nan where none of the evidence was.
        most_read: Frames that it read most, with their share of its attention, most read first.
    """

    tier: int
    layers: tuple[int, int]
    held: float
    attention: float
    even: float
    lift: float
    most_read: tuple[tuple[int, float], ...]

    @property
    def attends(self) -> bool:
        """Whether it attends to the evidence, by our convention."""
        return self.lift >= ATTENDED


@dataclass(frozen=True)
class Verdict:
    """What became of the evidence of one answer.

    Attributes:
        outcome: In one word; of several moments the worst-off counts where all are needed, else the best-off.
        right: Whether the answer says what is true; None where nobody knows the truth.
        truth: The true answer; None where nobody knows it.
        moments: The moments of the evidence.
        frames: Sampled frames of all moments, rising [evidence frames].
        evicted_from: Layers that hold no token of the evidence for the answer.
        tiers: One entry a tier that has layers.
        tiered: Whether the policy treats the tiers differently.
        archive: Whether the policy keeps frames outside the memory.
        sentence: The verdict in plain words.
    """

    outcome: Outcome
    right: bool | None
    truth: str | None
    moments: tuple[Moment, ...]
    frames: Int
    evicted_from: tuple[int, ...]
    tiers: tuple[TierFate, ...]
    tiered: bool = True
    archive: bool = False
    sentence: str = ""


@dataclass(frozen=True)
class Tally:
    """Answers by what became of their evidence.

    Attributes:
        answers: Answers whose truth is known.
        wrong: Of those, the wrong ones.
        not_sampled: Wrong ones whose evidence no frame shows.
        evicted: Wrong ones whose evidence was evicted.
        not_retrieved: Wrong ones whose evidence was archived, but not retrieved.
        unread: Wrong ones whose evidence was held, but not attended.
        read: Wrong ones although the evidence was held and attended.
        absent: Wrong ones that rest on what was not shown.
    """

    answers: int = 0
    wrong: int = 0
    not_sampled: int = 0
    evicted: int = 0
    not_retrieved: int = 0
    unread: int = 0
    read: int = 0
    absent: int = 0


def is_right(answer: str, truth: str) -> bool:
    """Whether an answer says exactly what is true, case and punctuation aside."""
    return normal_words(answer) == normal_words(truth)


def fate(
    trace: AnswerTrace,
    snapshot: Snapshot,
    spans: Sequence[Span] | None,
    truth: str | None,
    *,
    every: bool = True,
    reach: float = 0.0,
) -> Verdict:
    """What became of the evidence of an answer.

    Args:
        trace: The answer and what it read.
        snapshot: The memory of that stream when the question was asked, or later.
        spans: Moments that the true answer rests on, start and end in seconds, the end excluded; empty where it rests on
            what was not shown; None: nobody knows.
        truth: The true answer; None: nobody knows.
        every: Whether all of `spans` are needed; else one of them is enough.
        reach: Seconds before its own time that a frame also shows, where a model merges frames.
    """
    times = snapshot.frame_times[: trace.frames_seen]
    memory = _Memory.of(trace, snapshot)
    moments = tuple(_moment(span, times, memory, reach) for span in spans or ())
    frames = np.unique(np.concatenate([m.frames for m in moments])) if moments else np.zeros(0, np.int64)
    tiers = tuple(_tier(tier, memory, frames) for tier in range(len(TIERS)) if len(memory.layers(tier)))
    evicted_from = tuple(np.flatnonzero(memory.tokens(frames) == 0).tolist()) if len(frames) else ()
    right = None if truth is None else is_right(trace.answer, truth)
    outcome = _outcome(spans, moments, tiers, every=every)
    verdict = Verdict(
        outcome, right, truth, moments, frames, evicted_from, tiers, snapshot.tiered, snapshot.archived.size > 0
    )
    return replace(verdict, sentence=sentence_of(verdict))


def tally(verdicts: Iterable[Verdict]) -> Tally:
    """Of the wrong answers, what became of their evidence."""
    known = [verdict for verdict in verdicts if verdict.right is not None]
    wrong = [verdict.outcome for verdict in known if not verdict.right]
    return Tally(
        answers=len(known),
        wrong=len(wrong),
        not_sampled=wrong.count("not sampled"),
        evicted=wrong.count("evicted"),
        not_retrieved=wrong.count("not retrieved"),
        unread=wrong.count("unread"),
        read=wrong.count("read"),
        absent=wrong.count("absent"),
    )


def read_most(profile: npt.NDArray[np.floating], most: int = MOST_READ) -> tuple[tuple[int, float], ...]:
    """The frames that were read most, none next to another: (frame, share) of `profile` [frames], most read first."""
    apart = max(1, round(len(profile) / 30))
    left = profile.astype(np.float64).copy()
    found: list[tuple[int, float]] = []
    while len(found) < most and left.size and left.max() > 0:
        frame = int(left.argmax())
        found.append((frame, float(profile[frame])))
        left[max(0, frame - apart) : frame + apart + 1] = 0
    return tuple(found)


@dataclass(frozen=True)
class _Memory:
    """What the layers held for the answer, and how it attended to that.

    Attributes:
        held: Tokens of each frame that each layer held [layers, frames].
        whole: Tokens of any frame that each layer held [layers].
        stored: Tokens of each frame in the memory or outside it, whether the answer read them or not [layers, frames].
        attention: Share of attention on each frame [layers, frames].
        tiers: Tier of each layer [layers].
        patches: Tokens that a frame had when it was seen.
    """

    held: Int
    whole: Int
    stored: Int
    attention: Float
    tiers: npt.NDArray[np.int8]
    patches: int

    @classmethod
    def of(cls, trace: AnswerTrace, snapshot: Snapshot) -> _Memory:
        frames = trace.attention.shape[1]
        layer = np.repeat(np.arange(len(trace.offsets) - 1), np.diff(trace.offsets))
        of_frame = trace.token_frame >= 0
        cell = layer[of_frame] * frames + trace.token_frame[of_frame]
        held = np.bincount(cell, minlength=(len(trace.offsets) - 1) * frames).reshape(-1, frames)
        stored = snapshot.kept.astype(np.int64)
        if snapshot.archived.size:
            stored = np.maximum(stored, snapshot.archived)  # a frame of the window may be archived as well
        return cls(
            held,
            held.sum(axis=1),
            stored,
            trace.attention.astype(np.float64),
            snapshot.tiers,
            snapshot.tokens_per_frame,
        )

    def layers(self, tier: int) -> Int:
        return np.flatnonzero(self.tiers == tier)

    def tokens(self, frames: Int) -> Float:
        """Tokens of some frames that each layer held [layers]."""
        return self.held[:, frames].sum(axis=1).astype(np.float64)

    def shares(self, frames: Int, tier: int) -> tuple[float, float, float]:
        """Share of a tier's attention on some frames, what an even look would give them, and the share on all frames."""
        layers = self.layers(tier)
        on_frames = self.attention.sum(axis=1)
        even = on_frames * self.tokens(frames) / np.maximum(self.whole, 1)
        read = self.attention[:, frames].sum(axis=1)
        return float(read[layers].mean()), float(even[layers].mean()), float(on_frames[layers].mean())

    def lift(self, frames: Int, tier: int) -> float:
        """Attention of a token of these frames against another's: of shares read and held, the ratio of the odds."""
        if not self.tokens(frames)[self.layers(tier)].any():
            return np.nan
        seen, even, whole = self.shares(frames, tier)
        others_read, others_held = max(whole - seen, 0.0), whole - even
        if others_held <= 1e-9 * max(whole, 1e-9) or others_read <= 1e-12:
            return np.inf if seen > 0 else 0.0
        return (seen / others_read) / (even / others_held)


def _moment(span: Span, times: npt.NDArray[np.float64], memory: _Memory, reach: float) -> Moment:
    start, end = span
    # A thousandth of a second aside: files write times in milliseconds.
    inside = np.flatnonzero((times >= start - 1e-3) & (times - reach < end - 1e-3))
    if not len(inside):
        nothing = np.zeros(len(memory.held))
        return Moment(span, inside, nothing, "not sampled", nothing)
    held = memory.tokens(inside) / (len(inside) * memory.patches)
    there = held.max() >= 1 / memory.patches
    attended = any(memory.lift(inside, tier) >= ATTENDED for tier in range(len(TIERS)) if len(memory.layers(tier)))
    stored = memory.stored[:, inside].mean(axis=1)
    lost: Literal["not retrieved", "evicted"] = "not retrieved" if stored.max() >= 1 else "evicted"
    return Moment(span, inside, held, "held" if there or attended else lost, stored)


def _tier(tier: int, memory: _Memory, frames: Int) -> TierFate:
    layers, known = memory.layers(tier), len(frames) > 0
    seen, even, _ = memory.shares(frames, tier)
    held = float(memory.tokens(frames)[layers].mean()) / (len(frames) * memory.patches) if known else np.nan
    return TierFate(
        tier=tier,
        layers=(int(layers[0]), int(layers[-1])),
        held=held,
        attention=seen if known else np.nan,
        even=even if known else np.nan,
        lift=memory.lift(frames, tier),
        most_read=read_most(memory.attention[layers].mean(axis=0)),
    )


def _outcome(
    spans: Sequence[Span] | None, moments: tuple[Moment, ...], tiers: tuple[TierFate, ...], *, every: bool
) -> Outcome:
    if spans is None:
        return "unknown"
    if not moments:
        return "absent"
    found = {moment.outcome for moment in moments}
    order: tuple[Literal["not sampled", "evicted", "not retrieved"], ...] = ("not sampled", "evicted", "not retrieved")
    for worst in order if every else order[::-1]:
        if worst in found and (every or "held" not in found):
            return worst
    return "read" if any(tier.attends for tier in tiers) else "unread"
