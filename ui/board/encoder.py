"""Encodes snapshots as incremental messages for the memory board. Independent of Gradio.

A message is a JSON-compatible dict, decoded by `static/js/board/codec.js`. Arrays are sent as base64 of little-endian
numbers. A message with `base` None is a key frame with the complete state; any other contains the changes since the
message whose `seq` equals its `base`. If a stream has more frames than columns, `bin` neighboring frames share a column,
which the board displays.
"""

from __future__ import annotations

import base64
import copy
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hermes.snapshot import AnswerTrace, Snapshot
from ui.board.cells import SCORE_MODES, Film, ScoreColumns, Wanted, film, groups_of, score_columns
from ui.board.encoding import encode_answer, encode_scores, encode_start, pack
from ui.board.evidence import Judge, Thumbnails, encode_verdict, judge_of
from ui.board.history import EventHistory, RetentionHistory, bin_sum, shares_of_groups

MAX_COLUMNS = 600
THUMBNAILS_A_MESSAGE = 4
FIRST_COLUMNS = 60
CANDIDATES = 16
MAX_MARKS = 100

Bytes = npt.NDArray[np.uint8]


def room_for(frames: int, expected: int | None) -> tuple[int, int]:
    """Return the columns of the time axis, at most `MAX_COLUMNS`, and the frames per column, a power of two.

    Args:
        frames: Frames seen so far.
        expected: Total number of frames; None for a camera, whose axis doubles when it is full.
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


class BoardEncoder:
    """Encodes the messages of one board. Not thread-safe: callers must hold a lock."""

    def __init__(self, judge: Judge | None = None) -> None:
        """Create the encoder of an empty board.

        Args:
            judge: Returns the verdict on an answer; None if the stream has no ground truth.
        """
        self._judge = judge or judge_of(())
        self._seq = 0
        self._drop()

    def _drop(self) -> None:
        self._meta: dict[str, Any] | None = None
        self._axis_key: tuple[float | None, float, bool] | None = None
        self._columns = self._size = 0
        self._kept: Bytes = np.zeros((0, 0), np.uint8)
        self._times: npt.NDArray[np.float32] = np.zeros(0, np.float32)
        self._history: RetentionHistory | None = None
        self._events: EventHistory | None = None
        self._marks: list[tuple[int, str]] = []
        self._marks_sent = True
        self._answer: AnswerTrace | None = None
        self._held: list[int] = []
        self._snapshot: Snapshot | None = None
        self._thumbs: set[int] = set()
        self._missing: set[int] = set()  # frames whose thumbnail is no longer stored
        self._scores: tuple[str, ScoreColumns] | None = None
        self._start: dict[str, Any] | None = None
        self._evidence = np.zeros(0, np.int64)
        self._film: Film | None = None
        self._meters: dict[str, Any] = {}
        self._unchanged: tuple[Any, ...] | None = None  # the arguments of the last call that found no change

    def encode(
        self,
        snapshot: Snapshot,
        *,
        acknowledged: int | None,
        duration: float | None,
        fps: float,
        meters: dict[str, Any],
        thumbnails: Thumbnails,
        wanted: Wanted | None = None,
    ) -> dict[str, Any] | None:
        """Return the message that brings the browser up to date, or None if nothing changed.

        Args:
            snapshot: The memory now.
            acknowledged: Number of the last message that the browser applied; None requests a key frame.
            duration: Length of the video file in seconds; None for a camera.
            fps: Sampled frames per second.
            meters: Metrics shown above the board, except those that the snapshot contains.
            thumbnails: Returns JPEG bytes of the requested frames that are stored.
            wanted: What the browser shows now. Scores and filmstrip are sent only if visible.
        """
        asked = (id(snapshot), acknowledged, duration, fps, meters, wanted)
        if snapshot is self._snapshot and asked == self._unchanged:
            return None
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
            self._missing = set()
            self._scores, self._film, self._start = None, None, None
        message = self._changes(snapshot, fps, meters, thumbnails, key=key)
        self._add_wanted(message, snapshot, wanted or Wanted(), thumbnails)
        self._snapshot, self._unchanged = snapshot, None
        if not message:
            self._unchanged = asked
            return None
        base = None if key else self._seq
        self._seq += 1
        return {"seq": self._seq, "base": base, **message}

    def recall(
        self, snapshot: Snapshot, past: Sequence[npt.NDArray[np.uint16]], *, duration: float | None, fps: float
    ) -> None:
        """Restore the retention history when a recorded run is opened in the middle.

        Args:
            snapshot: The memory now.
            past: Number of tokens held per layer and frame at earlier moments, each [layers, frames].
            duration: As in `encode`.
            fps: As in `encode`.
        """
        self._fit_axis(snapshot, duration, fps)
        for kept in past:
            before = replace(snapshot, kept=kept, frame_times=snapshot.frame_times[: kept.shape[1]])
            if self._history is not None and kept.shape[1] <= snapshot.frames_seen:
                self._history.add(shares_of_groups(before))

    def mark(self, frame: int, text: str) -> None:
        """Mark a change of settings on the time axis. Only the newest `MAX_MARKS` are kept.

        Args:
            frame: Number of frames seen before the change.
            text: The change, for display.
        """
        self._marks = [*self._marks, (frame, text)][-MAX_MARKS:]
        self._marks_sent, self._unchanged = False, None

    def fork(self) -> BoardEncoder:
        """Return an independent copy, which continues from the current state for another browser."""
        other = copy.copy(self)
        other._history, other._events = copy.deepcopy((self._history, self._events))  # noqa: SLF001 - same class
        other._thumbs, other._missing = set(self._thumbs), set(self._missing)  # noqa: SLF001
        return other

    def whole(self, snapshot: Snapshot, *, duration: float | None, fps: float, **given: Any) -> dict[str, Any]:
        """Return a complete key frame with all thumbnails, for example for a saved page, without changing this encoder."""
        other = self.fork()
        message = other.encode(snapshot, acknowledged=None, duration=duration, fps=fps, **given) or {}
        while more := other.encode(snapshot, acknowledged=other._seq, duration=duration, fps=fps, **given):  # noqa: SLF001
            message.setdefault("thumbs", {}).update(more.get("thumbs", {}))
        return message

    def _fit_axis(self, snapshot: Snapshot, duration: float | None, fps: float) -> bool:
        """Fit the columns and their size to the stream, and return whether they changed."""
        # Models that merge frames see fewer than are sampled; their rate is known from the second frame on.
        axis_key = (duration, fps, snapshot.frames_seen > 1)
        if axis_key == self._axis_key and snapshot.frames_seen <= self._columns * self._size:
            return False
        expected = None
        if duration:
            left = max(0.0, duration - (snapshot.seconds if snapshot.frames_seen else 0.0))
            expected = snapshot.frames_seen + max(0, math.ceil(left * snapshot.frame_rate(fps)))
        columns, size = room_for(snapshot.frames_seen, expected)
        changed = (columns, size) != (self._columns, self._size)
        self._axis_key, self._columns, self._size = axis_key, columns, size
        if changed:
            room = columns * size
            self._history = self._history.widened(room) if self._history else RetentionHistory(room)
            self._events = EventHistory(self._history.step)
        return changed

    def _changes(
        self, snapshot: Snapshot, fps: float, meters: dict[str, Any], thumbnails: Thumbnails, *, key: bool
    ) -> dict[str, Any]:
        message: dict[str, Any] = {}
        history, events = self._history, self._events
        if history is None or events is None:
            raise RuntimeError("The axis must be fitted before changes are encoded.")
        meta = self._describe(snapshot, fps, history)
        if key or meta != self._meta:
            self._meta = message["meta"] = meta
        moved = self._snapshot is None or key or snapshot.sequence != self._snapshot.sequence
        if moved:
            message["frames"] = snapshot.frames_seen
            self._add_columns(message, snapshot)
            changed_rows = history.add(shares_of_groups(snapshot))
            rows = range(len(history.rows)) if key else changed_rows
            message["history"] = [{"at": row, "values": pack(history.rows[row])} for row in rows]
            changed_bins = events.add(snapshot.evictions, snapshot.tiers)
            if bins := sorted(events.rows) if key else changed_bins:
                message["events"] = events.encoded(bins)
            held = [int(count) for count in snapshot.kept_per_layer]
            if held != self._held:
                self._held = message["held"] = held
            start = encode_start(snapshot)
            if start != self._start:
                self._start = message["start"] = start
        if snapshot.answer is not self._answer or (key and snapshot.answer is not None):
            self._answer = snapshot.answer
            message["answer"] = encode_answer(snapshot.answer, thumbnails, self._size) if snapshot.answer else None
            verdict = self._judge(snapshot)
            self._evidence = verdict.frames if verdict is not None else np.zeros(0, np.int64)
            if verdict is not None:
                message["answer"]["verdict"] = encode_verdict(verdict, snapshot, thumbnails)
        if self._marks and (key or not self._marks_sent):
            message["marks"], self._marks_sent = self._marks, True
        now = {
            **meters,
            "kept": round(float(np.mean(self._held))) if self._held else 0,
            "seen": snapshot.tokens_seen,
            "cache": snapshot.cache_bytes,
            "full": snapshot.full_cache_bytes,
            "archive": snapshot.archive_bytes,
            "moved": snapshot.answer.moved_bytes if snapshot.answer else 0,
            "by_head": bool(len(snapshot.held_by)),
        }
        if now != self._meters:
            self._meters = message["meters"] = now
        return message

    def _describe(self, snapshot: Snapshot, fps: float, history: RetentionHistory) -> dict[str, Any]:
        return {
            "layers": snapshot.num_layers,
            "numbers": list(snapshot.layer_numbers) if snapshot.state_layers else None,
            "state_layers": len(snapshot.state_layers),
            "state_bytes": snapshot.state_bytes,
            "tiers": groups_of(snapshot)[1].tolist(),
            "tiered": snapshot.tiered,
            "groups": groups_of(snapshot)[0],
            "grid": list(snapshot.grid),
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
        """Add the columns that changed since the last message: tokens (one byte per layer) and time of the first frame."""
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

    def _add_wanted(self, message: dict[str, Any], snapshot: Snapshot, wanted: Wanted, thumbnails: Thumbnails) -> None:
        """Add the scores and the filmstrip if they are visible and changed."""
        if wanted.mode in SCORE_MODES:
            self._add_scores(message, snapshot, wanted.mode)
        if wanted.pictures:
            now = film(snapshot, wanted, self._columns * self._size, self._film, self._evidence)
            self._add_film(message, now, thumbnails, snapshot)

    def _add_scores(self, message: dict[str, Any], snapshot: Snapshot, mode: str) -> None:
        before = self._scores
        if before is not None and before[0] == mode and self._snapshot is snapshot:
            return
        scores = score_columns(snapshot, mode, self._size)
        known = before[1] if before is not None and before[0] == mode else None
        changed = np.ones(scores.values.shape[1], bool)
        if known is not None and known.values.shape[1] <= len(changed):
            columns = known.values.shape[1]
            changed[:columns] = (scores.values[:, :columns] != known.values).any(axis=0)
        self._scores = (mode, scores)
        if changed.any() or known is None or (known.least, known.largest) != (scores.least, scores.largest):
            message["scores"] = encode_scores(mode, scores, changed, fresh=known is None)

    def _add_film(self, message: dict[str, Any], now: Film, thumbnails: Thumbnails, snapshot: Snapshot) -> None:
        before = self._film
        window = (now.first, now.size, now.masks.shape[1:])
        same = before is not None and (before.first, before.size, before.masks.shape[1:]) == window
        changed = np.ones(len(now.masks), bool)
        if before is not None and same:
            known = min(len(before.masks), len(now.masks))
            changed[:known] = (before.masks[:known] != now.masks[:known]).any(axis=(1, 2))
            changed[:known] |= before.shown[:known] != now.shown[:known]
        self._film = now
        index = np.flatnonzero(changed)
        if len(index) or not same:
            message["film"] = {
                "first": now.first,
                "size": now.size,
                "fresh": not same,
                "index": index.tolist(),
                "values": pack(now.masks[index]),
                "shown": now.shown[index].tolist(),
            }
        thumbs = self._new_thumbnails(now, snapshot, thumbnails)
        if thumbs:
            message["thumbs"] = thumbs

    def _new_thumbnails(self, now: Film, snapshot: Snapshot, thumbnails: Thumbnails) -> dict[str, str]:
        """Return up to `THUMBNAILS_A_MESSAGE` filmstrip pictures that the browser lacks, as base64 by frame.

        If the thumbnail of a frame is not stored, the nearest one is sent.
        """
        pictures: dict[str, str] = {}
        for picture in range(len(now.masks)):
            first = now.first + picture * now.size
            stop = min(first + now.size, snapshot.frames_seen)
            shown = int(now.shown[picture])
            begin = max(first, min(shown - CANDIDATES // 2, stop - CANDIDATES))
            near = sorted(range(begin, min(stop, begin + CANDIDATES)), key=lambda frame: abs(frame - shown))
            if shown in self._thumbs or (shown in self._missing and any(frame in self._thumbs for frame in near)):
                continue
            found = thumbnails(near)
            if shown not in found:
                self._missing.add(shown)
            if found:
                frame = min(found, key=lambda frame: abs(frame - shown))
                self._thumbs.add(frame)
                pictures[str(frame)] = base64.b64encode(found[frame]).decode("ascii")
            if len(pictures) == THUMBNAILS_A_MESSAGE:
                break
        return pictures
