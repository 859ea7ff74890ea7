"""Payloads of comparisons, live or recorded: each memory's contents, last answer and cost."""

from __future__ import annotations

import base64
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hermes.analysis.evidence import Verdict
from hermes.snapshot import Snapshot
from ui.board.evidence import Judge

MAX_COLUMNS = 160
"""Maximum number of columns of a memory's retention chart; a clip with fewer frames has fewer."""


@dataclass(frozen=True)
class LaneState:
    """State of one memory at one moment.

    Attributes:
        name: Name of the policy or preset.
        title: Display name.
        badge: How closely the policy follows its publication.
        budget: Maximum number of video tokens per layer; None without a budget.
        state: "idle", "waiting", "writing", "done", "refused" or "failed", as in `hermes.lab.lane.Lane`.
        question: The last question.
        answer: The answer so far; if the question was refused, the reason.
        first_ms: Times to first token of all answers so far, in milliseconds.
        error: Error message if it failed.
        snapshot: Snapshot of the memory; None before the first frame.
    """

    name: str
    title: str
    badge: str
    budget: int | None
    state: str
    question: str
    answer: str
    first_ms: tuple[float, ...]
    error: str | None
    snapshot: Snapshot | None

    @property
    def frames(self) -> int:
        """Number of frames seen."""
        return self.snapshot.frames_seen if self.snapshot is not None else 0

    def verdict(self, judge: Judge) -> Verdict | None:
        """Return the verdict on the last answer, or None if there is no finished answer."""
        return judge(self.snapshot) if self.snapshot is not None and self.state == "done" else None


@dataclass(frozen=True)
class Reply:
    """One memory's answer to a question put to all memories.

    Attributes:
        answer: The answer; if `refused`, the reason.
        right: Whether it is correct; None without ground truth.
        first_ms: Time to first token, in milliseconds; None if not measured.
        refused: Whether the memory could not answer.
    """

    answer: str
    right: bool | None = None
    first_ms: float | None = None
    refused: bool = False


@dataclass(frozen=True)
class LabQuestion:
    """A question put to all memories.

    Attributes:
        question: The question.
        at: Stream time, in seconds.
        truth: The correct answer; None without ground truth.
        replies: The reply of each memory.
    """

    question: str
    at: float
    truth: str | None
    replies: tuple[Reply, ...]

    def payload(self) -> dict[str, Any]:
        """Return the question as a row of the page's table."""
        replies = [None if one.refused else {"answer": one.answer, "right": one.right} for one in self.replies]
        return {"question": self.question, "at": round(self.at, 2), "truth": self.truth, "replies": replies}


@dataclass(frozen=True)
class Axis:
    """Time axis of the clip, shared by all runs.

    Attributes:
        frames: Number of frames of the whole clip.
        columns: Number of columns.
    """

    frames: int
    columns: int

    @classmethod
    def of(cls, frames: int, duration: float | None, fps: float) -> Axis:
        """Return the axis of a clip of `duration` seconds sampled at `fps`, of which `frames` have been seen."""
        whole = max(math.ceil((duration or 0) * fps), frames, 1)
        return cls(whole, min(whole, MAX_COLUMNS))

    def of_frames(self, frames: int) -> npt.NDArray[np.int64]:
        """Return the column of each of the first `frames` frames: int64 [frames]."""
        return np.arange(frames) * self.columns // self.frames


def lanes_payload(lanes: Sequence[LaneState], duration: float | None, fps: float, judge: Judge) -> dict[str, Any]:
    """Return the payload of all memories, and of the axis of their charts.

    Args:
        lanes: The memories.
        duration: Length of the clip, in seconds; None if unknown.
        fps: Sampled frames per second.
        judge: Returns the verdict on an answer.
    """
    newest = max((lane.snapshot for lane in lanes if lane.snapshot), key=lambda shot: shot.frames_seen, default=None)
    rate = newest.frame_rate(fps) if newest is not None else fps  # models may merge frames
    axis = Axis.of(max(lane.frames for lane in lanes), duration, rate)
    return {"columns": axis.columns, "duration": duration, "lanes": [_encode(lane, axis, judge) for lane in lanes]}


def _encode(lane: LaneState, axis: Axis, judge: Judge) -> dict[str, Any]:
    payload: dict[str, Any] = {
        "name": lane.name,
        "title": lane.title,
        "badge": lane.badge,
        "budget": lane.budget,
        "state": lane.state,
        "question": lane.question,
        "answer": lane.answer.strip(),
        "first": _spread(lane.first_ms),
        "error": lane.error,
    }
    snapshot = lane.snapshot
    if snapshot is None or not snapshot.frames_seen:
        return payload
    verdict = lane.verdict(judge)
    trace = snapshot.answer
    payload |= {
        "resident": int(snapshot.kept_per_layer.max()),
        "seen": snapshot.tokens_seen,
        "archive": snapshot.archive_bytes,
        "held": _bytes(held(snapshot, axis)),
        "layers": snapshot.num_layers,
        "tiers": snapshot.tiers.tolist() if snapshot.tiered else None,
    }
    if trace is not None and lane.state == "done":
        payload |= {"moved": trace.moved_bytes, "spots": _bytes(spots(snapshot, axis))}
        if len(trace.tokens_read):
            payload["read"] = int((trace.tokens_read - snapshot.prompt_len).max())
    if verdict is not None:
        payload["verdict"] = {
            "right": verdict.right,
            "truth": verdict.truth,
            "outcome": verdict.outcome,
            "sentence": verdict.sentence,
            "moments": [list(moment.span) for moment in verdict.moments],
        }
    return payload


def _spread(times: Sequence[float]) -> dict[str, float] | None:
    """Return the median and the range of times in milliseconds, or None if there are none."""
    if not times:
        return None
    return {
        "median": round(statistics.median(times), 1),
        "low": round(min(times), 1),
        "high": round(max(times), 1),
        "count": len(times),
    }


def held(snapshot: Snapshot, axis: Axis) -> npt.NDArray[np.uint8]:
    """Return the share of each column's tokens that each layer holds.

    Returns:
        uint8 [layers, columns], 0 to 254, or 255 where no frame has been seen yet.
    """
    column = axis.of_frames(snapshot.frames_seen)
    counts = np.bincount(column, minlength=axis.columns)
    shares = snapshot.kept / max(snapshot.tokens_per_frame, 1)
    sums = np.stack([np.bincount(column, layer, axis.columns) for layer in shares])
    share = np.clip(sums / np.maximum(counts, 1), 0, 1)
    return np.where(counts > 0, np.ceil(share * 254), 255).astype(np.uint8)


def spots(snapshot: Snapshot, axis: Axis) -> npt.NDArray[np.uint8]:
    """Return the last answer's attention on each column, averaged over layers.

    Returns:
        uint8 [columns], relative to the largest.
    """
    trace = snapshot.answer
    sums = np.zeros(axis.columns)
    if trace is not None:
        np.add.at(sums, axis.of_frames(trace.frames_seen), trace.attention.mean(0))
    return np.round(255 * sums / max(float(sums.max()), 1e-9)).astype(np.uint8)


def _bytes(values: npt.NDArray[np.uint8]) -> str:
    return base64.b64encode(values.tobytes()).decode("ascii")
