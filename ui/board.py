"""The server's side of the memory board: a snapshot becomes a small message, and the next one only what changed.

It knows nothing of Gradio. A message is a dict ready for JSON; `static/js/codec.js` reads it. Arrays travel as base64
of little-endian numbers. A message with `base` None is a key frame and holds everything; any other is the difference
to the message whose `seq` equals its `base`. Where a stream has more frames than fit, neighbouring frames share a
column (`bin`), and the board says so.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hermes.snapshot import AnswerTrace, Snapshot

MAX_COLUMNS = 600
HISTORY_BINS = 96
THUMBNAILS = 24
THUMBNAILS_A_MESSAGE = 3
FIRST_COLUMNS = 60

Bytes = npt.NDArray[np.uint8]
Thumbnails = Callable[[Sequence[int]], dict[int, bytes]]


def pack(values: npt.NDArray[Any]) -> str:
    """Base64 of an array's little-endian bytes."""
    return base64.b64encode(values.astype(values.dtype.newbyteorder("<")).tobytes()).decode("ascii")


def bin_sum(values: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    """Sum neighbouring columns: [rows, frames] -> [rows, ceil(frames / size)]."""
    if size == 1 or not values.shape[1]:
        return values
    return np.add.reduceat(values, np.arange(0, values.shape[1], size), axis=1)


def room_for(frames: int, expected: int | None) -> tuple[int, int]:
    """Columns of the time axis and frames a column (a power of two), at most `MAX_COLUMNS` columns.

    A file's length is known, so its axis is whole from the start; a camera's axis doubles when it is full.
    """
    if expected is None:
        expected = FIRST_COLUMNS
        while expected < frames:
            expected *= 2
    expected = max(expected, frames, 1)
    size = 1
    while math.ceil(expected / size) > MAX_COLUMNS:
        size *= 2
    return math.ceil(expected / size), size


def read_peaks(profile: npt.NDArray[np.float32], most: int = 3) -> list[int]:
    """The frames that an answer read most, none next to another: indices into `profile` [frames], most read first."""
    apart = max(1, round(len(profile) / 30))
    left = profile.astype(np.float64).copy()
    peaks: list[int] = []
    while len(peaks) < most and left.size and left.max() > 0:
        frame = int(left.argmax())
        peaks.append(frame)
        left[max(0, frame - apart) : frame + apart + 1] = 0
    return peaks


class RetentionHistory:
    """How much of every frame each tier held, over stream time, on a coarse grid that fits the axis.

    Row `m` tells of the moment when `(m + 1) * step` frames had been seen: [3, m + 1] shares as bytes, a tier a row.
    """

    def __init__(self, expected: int) -> None:
        self.step = 1
        while math.ceil(expected / self.step) > HISTORY_BINS:
            self.step *= 2
        self.bins = math.ceil(expected / self.step)
        self.rows: list[Bytes] = []

    def add(self, retention: npt.NDArray[np.float32]) -> list[int]:
        """Take the shares of now [3, frames]; returns the rows that changed. A gap is filled with what is known now."""
        frames = retention.shape[1]
        if not frames:
            return []
        sums = bin_sum(retention, self.step)
        counts = bin_sum(np.ones((1, frames), np.float32), self.step)
        now = np.rint(sums / counts * 255).astype(np.uint8)
        newest = now.shape[1] - 1
        first = min(len(self.rows), newest)
        self.rows[first:] = [now[:, : row + 1] for row in range(first, newest + 1)]
        return list(range(first, newest + 1))

    def widened(self, expected: int) -> RetentionHistory:
        """The same history on a coarser grid for a longer axis."""
        wide = RetentionHistory(expected)
        factor = wide.step // self.step
        for row in self.rows[factor - 1 :: factor] if factor > 1 else self.rows:
            sums = bin_sum(row.astype(np.float32), factor)
            counts = bin_sum(np.ones((1, row.shape[1]), np.float32), factor)
            wide.rows.append(np.rint(sums / counts).astype(np.uint8))
        return wide


class BoardEncoder:
    """Makes the messages of one board. Not safe for two threads at once: the visitor's lock guards it."""

    def __init__(self) -> None:
        self._seq = 0
        self._drop()

    def _drop(self) -> None:
        self._meta: dict[str, Any] | None = None
        self._axis_key: tuple[float | None, float] | None = None
        self._columns = self._size = 0
        self._kept: Bytes = np.zeros((0, 0), np.uint8)
        self._times: npt.NDArray[np.float32] = np.zeros(0, np.float32)
        self._history: RetentionHistory | None = None
        self._answer: AnswerTrace | None = None
        self._held: list[int] = []
        self._snapshot: Snapshot | None = None
        self._thumbs: set[int] = set()
        self._meters: dict[str, Any] = {}

    def encode(
        self,
        snapshot: Snapshot,
        *,
        acknowledged: int | None,
        duration: float | None,
        fps: float,
        meters: dict[str, Any],
        thumbnails: Thumbnails,
    ) -> dict[str, Any] | None:
        """The message that brings the browser up to date; None where nothing changed.

        Args:
            snapshot: The memory now.
            acknowledged: Number of the last message that the browser applied; None asks for a key frame.
            duration: Seconds of the file that streams; None for a camera.
            fps: Frames a second that are sampled.
            meters: Figures shown above the board, without those that the snapshot holds.
            thumbnails: Gives JPEG bytes of frames, those that it has.
        """
        if self._snapshot is not None and snapshot.frames_seen < self._snapshot.frames_seen:
            self._drop()
        key = acknowledged is None or acknowledged != self._seq or self._fit_axis(snapshot, duration, fps)
        if self._meta is None:
            self._fit_axis(snapshot, duration, fps)
            key = True
        if key:
            self._kept = np.zeros((0, 0), np.uint8)
            self._times = np.zeros(0, np.float32)
            self._held, self._answer, self._meters, self._thumbs = [], None, {}, set()
        message = self._changes(snapshot, fps, meters, thumbnails, key=key)
        self._snapshot = snapshot
        if not message:
            return None
        base = None if key else self._seq
        self._seq += 1
        return {"seq": self._seq, "base": base, **message}

    def _fit_axis(self, snapshot: Snapshot, duration: float | None, fps: float) -> bool:
        """Choose columns and bin; true where the axis changed. A file's axis moves only when its settings do."""
        axis_key = (duration, fps)
        if axis_key == self._axis_key and snapshot.frames_seen <= self._columns * self._size:
            return False
        expected = None
        if duration:
            left = max(0.0, duration - (snapshot.seconds if snapshot.frames_seen else 0.0))
            expected = snapshot.frames_seen + max(0, math.ceil(left * fps))
        columns, size = room_for(snapshot.frames_seen, expected)
        changed = (columns, size) != (self._columns, self._size)
        self._axis_key, self._columns, self._size = axis_key, columns, size
        if changed:
            room = columns * size
            self._history = self._history.widened(room) if self._history else RetentionHistory(room)
        return changed

    def _changes(
        self, snapshot: Snapshot, fps: float, meters: dict[str, Any], thumbnails: Thumbnails, *, key: bool
    ) -> dict[str, Any]:
        message: dict[str, Any] = {}
        history = self._history
        if history is None:
            raise RuntimeError("The axis is fitted before changes are told.")
        meta = self._describe(snapshot, fps, history)
        if key or meta != self._meta:
            self._meta = message["meta"] = meta
        moved = self._snapshot is None or key or snapshot.sequence != self._snapshot.sequence
        if moved:
            message["frames"] = snapshot.frames_seen
            self._add_columns(message, snapshot)
            changed_rows = history.add(snapshot.retention())
            rows = range(len(history.rows)) if key else changed_rows
            message["history"] = [{"at": row, "values": pack(history.rows[row])} for row in rows]
            held = [int(count) for count in snapshot.kept_per_layer]
            if held != self._held:
                self._held = message["held"] = held
        if snapshot.answer is not self._answer or (key and snapshot.answer is not None):
            self._answer = snapshot.answer
            message["answer"] = self._encode_answer(snapshot.answer, thumbnails) if snapshot.answer else None
        thumbs = self._new_thumbnails(snapshot, thumbnails)
        if thumbs:
            message["thumbs"] = thumbs
        now = {
            **meters,
            "kept": round(float(np.mean(self._held))) if self._held else 0,
            "seen": snapshot.tokens_seen,
            "cache": snapshot.cache_bytes,
            "full": snapshot.full_cache_bytes,
        }
        if now != self._meters:
            self._meters = message["meters"] = now
        return message

    def _describe(self, snapshot: Snapshot, fps: float, history: RetentionHistory) -> dict[str, Any]:
        return {
            "layers": snapshot.num_layers,
            "tiers": [int(tier) for tier in snapshot.tiers],
            "columns": self._columns,
            "bin": self._size,
            "fps": fps,
            "tokens_per_frame": snapshot.tokens_per_frame,
            "budget": snapshot.budget,
            "policy": snapshot.policy,
            "history_bins": history.bins,
            "history_step": history.step,
        }

    def _add_columns(self, message: dict[str, Any], snapshot: Snapshot) -> None:
        """Columns that differ from those last told: their tokens, a byte a layer, and the time of their first frame."""
        full = self._size * snapshot.tokens_per_frame
        sums = bin_sum(snapshot.kept.astype(np.float64), self._size)
        kept = np.rint(sums if full <= 255 else sums * 255 / full).astype(np.uint8)
        times = snapshot.frame_times[:: self._size].astype(np.float32)
        known = self._kept.shape[1]
        changed = np.ones(kept.shape[1], bool)
        if known:
            changed[:known] = (kept[:, :known] != self._kept).any(axis=0)
        index = np.flatnonzero(changed).astype(np.uint16)
        self._kept, self._times = kept, times
        if len(index):
            message["columns"] = {"index": pack(index), "values": pack(kept.T[index]), "times": pack(times[index])}

    def _encode_answer(self, answer: AnswerTrace, thumbnails: Thumbnails) -> dict[str, Any]:
        """Attention of the answer on every column, a byte relative to its layer's largest, and what went elsewhere."""
        profile = answer.attention.mean(axis=0)
        peaks = read_peaks(profile)
        pictures = thumbnails(peaks)
        attention = bin_sum(answer.attention.astype(np.float32), self._size)
        largest = attention.max(axis=1, initial=0.0)
        scaled = np.rint(attention / np.maximum(largest, 1e-9)[:, None] * 255).astype(np.uint8)
        prompt, summary, text = (float(share) for share in answer.attention_rest.mean(axis=0))
        return {
            "question": answer.question,
            "answer": answer.answer,
            "seconds": None if math.isnan(answer.asked_seconds) else answer.asked_seconds,
            "columns": attention.shape[1],
            "attention": pack(scaled),
            "largest": [round(float(value), 6) for value in largest],
            "rest": {"prompt": prompt, "summary": summary, "text": text},
            "peaks": [
                {
                    "frame": frame,
                    "share": round(float(profile[frame]), 4),
                    "jpeg": base64.b64encode(pictures[frame]).decode("ascii") if frame in pictures else None,
                }
                for frame in peaks
            ],
        }

    def _new_thumbnails(self, snapshot: Snapshot, thumbnails: Thumbnails) -> dict[str, str]:
        """A few thumbnails that the browser lacks, evenly along the axis, as base64 by frame."""
        step = max(1, self._columns // THUMBNAILS) * self._size
        wanted = [frame for frame in range(0, snapshot.frames_seen, step) if frame not in self._thumbs]
        if not wanted:
            return {}
        pictures = thumbnails(wanted[:THUMBNAILS_A_MESSAGE])
        self._thumbs.update(wanted[:THUMBNAILS_A_MESSAGE])
        return {str(frame): base64.b64encode(jpeg).decode("ascii") for frame, jpeg in pictures.items()}
