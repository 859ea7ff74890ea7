"""Evidence attribution: why an answer was right or wrong, from what the memory held and what the answer attended to.

Pure numpy functions of an `AnswerTrace` and a `Snapshot`. The caller supplies the true answer and its evidence (for the
card world, see `hermes.cards.truth`).

The definitions of held and attended are our own conventions, not the paper's:

* A moment is held if some layer keeps at least one token per frame of the moment on average, or if its remaining tokens are
  attended to. The paper finds that deep layers need one token per frame: their attention has one peak per frame. Tokens that
  were merged into a summary token or into another frame's token do not count as held.
* If an answer reads only a part of the memory, the tokens that it read count as held. A moment of which no layer read enough
  tokens, but of which an archive (or a part of the memory that was not read) holds enough, was not retrieved. Tokens that
  were archived after the answer count too.
* A tier (a third of the layers if the policy has no tiers) attends to the evidence if a token of the evidence gets at least
  `ATTENDED` times the attention of another frame token in that tier. For questions about one card, the ratio is far above 3
  for the pocket model's right answers and below 3 for most of its wrong ones (measured in
  `tests/unit/analysis/test_evidence_shipped.py`); counting questions spread their attention.
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

TOP_FRAMES: Final = 3

Span = tuple[float, float]
Float = npt.NDArray[np.float64]
Int = npt.NDArray[np.int64]
Outcome = Literal["not sampled", "evicted", "not retrieved", "unread", "read", "absent", "unknown"]
"""State of the evidence: no frame shows it; sampled, then evicted; archived, but not retrieved for the answer; held, but not
attended to; held and attended to; absent, since the answer depends on something that was not shown; unknown."""


@dataclass(frozen=True)
class Moment:
    """One time span of the evidence.

    Attributes:
        span: Start and end, in seconds.
        frames: Sampled frames within the span [frames of the moment].
        held: Share of those frames' tokens that each layer held for the answer [layers], 0 to 1.
        outcome: "not sampled", "evicted", "not retrieved" or "held".
        stored: Mean number of tokens per frame of the moment that each layer has in the memory or in an archive, read by the
            answer or not [layers].
    """

    span: Span
    frames: Int
    held: Float
    outcome: Literal["not sampled", "evicted", "not retrieved", "held"]
    stored: Float


@dataclass(frozen=True)
class TierEvidence:
    """The evidence in one tier; all shares are means over the tier's layers.

    Attributes:
        tier: Index into `TIERS`, by depth, also if the policy treats all layers the same.
        layers: First and last layer of the tier, inclusive, among those that hold tokens.
        held: Share of the evidence's tokens that the tier held, 0 to 1; nan without evidence.
        attention: Share of the tier's attention on the evidence, 0 to 1; nan without evidence.
        even: The same share for uniform attention over all frame tokens.
        attention_ratio: Attention on a token of the evidence divided by attention on another frame token; inf if no other
            token was held, nan if no token of the evidence was.
        most_read: Frames with the most attention and their shares of the tier's attention, highest first.
    """

    tier: int
    layers: tuple[int, int]
    held: float
    attention: float
    even: float
    attention_ratio: float
    most_read: tuple[tuple[int, float], ...]

    @property
    def attends(self) -> bool:
        """Whether the tier attends to the evidence, by our convention."""
        return self.attention_ratio >= ATTENDED


@dataclass(frozen=True)
class Verdict:
    """The evidence attribution of one answer.

    Attributes:
        outcome: State of the evidence: of the worst moment if all moments are needed, else of the best one.
        right: Whether the answer is correct; None if the truth is unknown.
        truth: The true answer; None if it is unknown.
        moments: The moments of the evidence.
        frames: Sampled frames of all moments, ascending [evidence frames].
        evicted_from: Layers that held no token of the evidence for the answer, among those that hold tokens.
        tiers: One entry per tier that has layers.
        tiered: Whether the policy treats the tiers differently.
        archive: Whether the policy keeps frames outside the memory.
        layer_numbers: Number in the decoder of each layer that holds tokens [layers], see `Snapshot.layer_numbers`.
        sentence: The verdict as a sentence.
    """

    outcome: Outcome
    right: bool | None
    truth: str | None
    moments: tuple[Moment, ...]
    frames: Int
    evicted_from: tuple[int, ...]
    tiers: tuple[TierEvidence, ...]
    tiered: bool = True
    archive: bool = False
    layer_numbers: tuple[int, ...] = ()
    sentence: str = ""


@dataclass(frozen=True)
class Tally:
    """Counts of answers by the state of their evidence.

    Attributes:
        answers: Answers whose truth is known.
        wrong: Wrong answers.
        not_sampled: Wrong answers whose evidence no frame shows.
        evicted: Wrong answers whose evidence was evicted.
        not_retrieved: Wrong answers whose evidence was archived, but not retrieved.
        unread: Wrong answers whose evidence was held, but not attended to.
        read: Wrong answers whose evidence was held and attended to.
        absent: Wrong answers that depend on something that was not shown.
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
    """Whether an answer equals the true one, ignoring case and punctuation."""
    return normal_words(answer) == normal_words(truth)


def attribute_evidence(
    trace: AnswerTrace,
    snapshot: Snapshot,
    spans: Sequence[Span] | None,
    truth: str | None,
    *,
    every: bool = True,
    reach: float = 0.0,
) -> Verdict:
    """Attribute an answer to the state of its evidence.

    Args:
        trace: The answer and its attention.
        snapshot: The memory of the same stream when the question was asked, or later.
        spans: Moments that the true answer depends on: start and end in seconds, end exclusive; empty if it depends on
            something that was not shown; None if unknown.
        truth: The true answer; None if unknown.
        every: Whether all of `spans` are needed; else one of them is enough.
        reach: Seconds before its own time that a frame also covers, for models that merge frames.
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
        outcome, right, truth, moments, frames, evicted_from, tiers, snapshot.tiered, snapshot.archived.size > 0,
        snapshot.layer_numbers,
    )  # fmt: skip
    return replace(verdict, sentence=sentence_of(verdict))


def tally(verdicts: Iterable[Verdict]) -> Tally:
    """Count the wrong answers by the state of their evidence."""
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


def read_most(profile: npt.NDArray[np.floating], most: int = TOP_FRAMES) -> tuple[tuple[int, float], ...]:
    """Peaks of `profile` [frames], none next to another: (frame, share), highest first."""
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
    """The tokens that the layers held for the answer, and its attention to them.

    Attributes:
        held: Tokens of each frame that each layer held [layers, frames].
        whole: Frame tokens that each layer held [layers].
        stored: Tokens of each frame in the memory or in an archive, read by the answer or not [layers, frames].
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
        """Number of tokens of `frames` that each layer held [layers]."""
        return self.held[:, frames].sum(axis=1).astype(np.float64)

    def shares(self, frames: Int, tier: int) -> tuple[float, float, float]:
        """Share of a tier's attention on `frames`, the same for uniform attention, and the share on all frames."""
        layers = self.layers(tier)
        on_frames = self.attention.sum(axis=1)
        even = on_frames * self.tokens(frames) / np.maximum(self.whole, 1)
        read = self.attention[:, frames].sum(axis=1)
        return float(read[layers].mean()), float(even[layers].mean()), float(on_frames[layers].mean())

    def attention_ratio(self, frames: Int, tier: int) -> float:
        """Attention on a token of `frames` over that on another frame token: the odds ratio of shares read and held."""
        if not self.tokens(frames)[self.layers(tier)].any():
            return np.nan
        seen, even, whole = self.shares(frames, tier)
        others_read, others_held = max(whole - seen, 0.0), whole - even
        if others_held <= 1e-9 * max(whole, 1e-9) or others_read <= 1e-12:
            return np.inf if seen > 0 else 0.0
        return (seen / others_read) / (even / others_held)


def _moment(span: Span, times: npt.NDArray[np.float64], memory: _Memory, reach: float) -> Moment:
    start, end = span
    # Tolerance of 1 ms: files store times in milliseconds.
    inside = np.flatnonzero((times >= start - 1e-3) & (times - reach < end - 1e-3))
    if not len(inside):
        nothing = np.zeros(len(memory.held))
        return Moment(span, inside, nothing, "not sampled", nothing)
    held = memory.tokens(inside) / (len(inside) * memory.patches)
    there = held.max() >= 1 / memory.patches
    attended = any(
        memory.attention_ratio(inside, tier) >= ATTENDED for tier in range(len(TIERS)) if len(memory.layers(tier))
    )
    stored = memory.stored[:, inside].mean(axis=1)
    lost: Literal["not retrieved", "evicted"] = "not retrieved" if stored.max() >= 1 else "evicted"
    return Moment(span, inside, held, "held" if there or attended else lost, stored)


def _tier(tier: int, memory: _Memory, frames: Int) -> TierEvidence:
    layers, known = memory.layers(tier), len(frames) > 0
    seen, even, _ = memory.shares(frames, tier)
    held = float(memory.tokens(frames)[layers].mean()) / (len(frames) * memory.patches) if known else np.nan
    return TierEvidence(
        tier=tier,
        layers=(int(layers[0]), int(layers[-1])),
        held=held,
        attention=seen if known else np.nan,
        even=even if known else np.nan,
        attention_ratio=memory.attention_ratio(frames, tier),
        most_read=read_most(memory.attention[layers].mean(axis=0)),
    )


def _outcome(
    spans: Sequence[Span] | None, moments: tuple[Moment, ...], tiers: tuple[TierEvidence, ...], *, every: bool
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
