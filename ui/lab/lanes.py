"""What the browser is told of one memory of the lab, live or recorded: what it holds, what it said, what that cost."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hermes.analysis.evidence import Verdict
from hermes.snapshot import Snapshot
from ui.board.evidence import Judge

MOST_COLUMNS = 160
"""Columns of the small drawing of what a memory holds; fewer for a clip of fewer frames."""


@dataclass(frozen=True)
class LaneState:
    """One memory at one moment.

    Attributes:
        name: Of the policy or preset.
        title: Its name for people.
        badge: How close it is to its publication.
        budget: Video tokens that a layer may hold; None where it has no budget.
        state: "idle", "waiting", "writing", "done", "refused" or "failed", as in `hermes.lab.side_by_side.Lane`.
        question: The last question that it was asked.
        answer: What it answered so far; where it was refused, why.
        first_ms: Time to first token of that answer.
        error: Why it could not go on.
        snapshot: Its memory; None before the first frame.
    """

    name: str
    title: str
    badge: str
    budget: int | None
    state: str
    question: str
    answer: str
    first_ms: float | None
    error: str | None
    snapshot: Snapshot | None

    @property
    def frames(self) -> int:
        """Frames that it has seen."""
        return self.snapshot.frames_seen if self.snapshot is not None else 0

    def verdict(self, judge: Judge) -> Verdict | None:
        """Whether its last answer is right, and why; None while there is none."""
        return judge(self.snapshot) if self.snapshot is not None and self.state == "done" else None


@dataclass(frozen=True)
class Reply:
    """One memory's answer to a question that all were asked.

    Attributes:
        said: What it answered; with `refused`, why it could not.
        right: Whether that is true; None where nobody knows.
        first_ms: Time to first token, in milliseconds; None: not measured.
        refused: Whether there is no answer.
    """

    said: str
    right: bool | None = None
    first_ms: float | None = None
    refused: bool = False


@dataclass(frozen=True)
class LabQuestion:
    """A question that all were asked.

    Attributes:
        question: What was asked.
        at: Stream time, in seconds.
        truth: The true answer; None where nobody knows it.
        replies: The reply of each memory.
    """

    question: str
    at: float
    truth: str | None
    replies: tuple[Reply, ...]

    def told(self) -> dict[str, Any]:
        """As a row of the page's table."""
        replies = [None if one.refused else {"said": one.said, "right": one.right} for one in self.replies]
        return {"question": self.question, "at": round(self.at, 2), "truth": self.truth, "replies": replies}


@dataclass(frozen=True)
class Axis:
    """The clip's time as columns, the same for all lanes.

    Attributes:
        frames: Frames of the whole clip.
        columns: How many columns they share.
    """

    frames: int
    columns: int

    @classmethod
    def of(cls, frames: int, duration: float | None, fps: float) -> Axis:
        """For a clip of `duration` seconds at `fps`, of which `frames` were seen."""
        whole = max(math.ceil((duration or 0) * fps), frames, 1)
        return cls(whole, min(whole, MOST_COLUMNS))

    def of_frames(self, frames: int) -> npt.NDArray[np.int64]:
        """Column of each of the first frames [frames]."""
        return np.arange(frames) * self.columns // self.frames


def lanes_payload(lanes: Sequence[LaneState], duration: float | None, fps: float, judge: Judge) -> dict[str, Any]:
    """The memories for the page, and the columns that they are drawn in.

    Args:
        lanes: The memories.
        duration: Length of the clip, in seconds; None: not known.
        fps: Frames a second that are sampled.
        judge: Says whether an answer is right.
    """
    axis = Axis.of(max(lane.frames for lane in lanes), duration, fps)
    return {"columns": axis.columns, "duration": duration, "lanes": [_told(lane, axis, judge) for lane in lanes]}


def _told(lane: LaneState, axis: Axis, judge: Judge) -> dict[str, Any]:
    told: dict[str, Any] = {
        "name": lane.name,
        "title": lane.title,
        "badge": lane.badge,
        "budget": lane.budget,
        "state": lane.state,
        "question": lane.question,
        "answer": lane.answer.strip(),
        "first_ms": None if lane.first_ms is None else round(lane.first_ms, 1),
        "error": lane.error,
    }
    snapshot = lane.snapshot
    if snapshot is None or not snapshot.frames_seen:
        return told
    verdict = lane.verdict(judge)
    trace = snapshot.answer
    told |= {
        "resident": int(snapshot.kept_per_layer.max()),
        "seen": snapshot.tokens_seen,
        "archive": snapshot.archive_bytes,
        "held": _bytes(held(snapshot, axis)),
        "layers": snapshot.num_layers,
        "tiers": snapshot.tiers.tolist() if snapshot.tiered else None,
    }
    if trace is not None and lane.state == "done":
        told |= {"moved": trace.moved_bytes, "spots": _bytes(spots(snapshot, axis))}
        if len(trace.tokens_read):
            told["read"] = int((trace.tokens_read - snapshot.prompt_len).max())
    if verdict is not None:
        told["verdict"] = {
            "right": verdict.right,
            "truth": verdict.truth,
            "outcome": verdict.outcome,
            "sentence": verdict.sentence,
            "moments": [list(moment.span) for moment in verdict.moments],
        }
    return told


def held(snapshot: Snapshot, axis: Axis) -> npt.NDArray[np.uint8]:
    """Share of the frames of each column that each layer holds, in 254 steps; 255: nothing was seen there yet.

    Returns:
        uint8 [layers, columns].
    """
    column = axis.of_frames(snapshot.frames_seen)
    counts = np.bincount(column, minlength=axis.columns)
    shares = snapshot.kept / max(snapshot.tokens_per_frame, 1)
    sums = np.stack([np.bincount(column, layer, axis.columns) for layer in shares])
    share = np.clip(sums / np.maximum(counts, 1), 0, 1)
    return np.where(counts > 0, np.ceil(share * 254), 255).astype(np.uint8)


def spots(snapshot: Snapshot, axis: Axis) -> npt.NDArray[np.uint8]:
    """Where the last answer looked: attention on each column's frames, mean of all layers, against the largest [columns]."""
    trace = snapshot.answer
    sums = np.zeros(axis.columns)
    if trace is not None:
        np.add.at(sums, axis.of_frames(trace.frames_seen), trace.attention.mean(0))
    return np.round(255 * sums / max(float(sums.max()), 1e-9)).astype(np.uint8)


def _bytes(values: npt.NDArray[np.uint8]) -> str:
    return base64.b64encode(values.tobytes()).decode("ascii")
