"""Records the views of a stream and writes them to one file of limited size."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hermes.analysis.token_history import ScoreRecord
from hermes.files.limits import LATEST, RUN_LIMITS
from hermes.snapshot import AnswerTrace, Snapshot
from hermes.trace import moments
from hermes.trace.archive import write
from hermes.trace.block import TraceError, declared_size
from hermes.trace.head import Head, dump
from hermes.trace.moments import MOMENTS, RunHistory
from hermes.trace.pictures import Pictures
from hermes.trace.records import pack_answer, pack_history, pack_past, pack_scores
from hermes.view import LiveView

LIMIT = 9_000_000
"""Upper bound of a file in bytes: the hub rejects files of 10 MB and more outside its large-file storage."""
PASTS = 96
"""Number of moments for which the tokens per frame and layer are stored separately; see `Run.past`."""
MEMORY = RUN_LIMITS.memory_bytes // 2
"""Upper bound of the decoded moments in bytes; the rest of the readers' limit is for everything else."""
MAX_ANSWERS = 500
"""Number of answers of a recording; it is full before the next one."""
BLOCK_BYTES = 8_000_000
"""Size of decoded moments in bytes at which a block is closed early."""
_MOMENTS_SHARE, _PICTURES_SHARE = 0.55, 0.38  # the rest is for evictions, scores and answers
_BY_TOKEN_SHARE = 0.1
"""Share of the file for the attention of the answers' tokens, before compression; more is not recorded."""
_HEAD_BYTES, _PART_BYTES = 8000, 12
"""Estimated upper bounds in bytes: the head, and the lists per frame and block."""


@dataclass
class _Block:
    """Packed moments: data, times, and how often every other moment was dropped."""

    data: bytes
    times: list[float]
    thinned: int = 0

    @property
    def size(self) -> int:
        """Uncompressed size in bytes."""
        return declared_size(self.data)


class Recorder:
    """Records one stream.

    If the file would exceed its limit, every other older moment is dropped and pictures are scaled down. The first moment
    after each answer is always kept, so the number and the size of answers are limited: then the recorder is full.

    Attributes:
        frames: Number of frames seen so far.
        moments: Number of moments recorded so far.
        full: Whether nothing more can be recorded.
    """

    def __init__(self, limit: int = LIMIT, shared: Pictures | None = None, memory: int = MEMORY) -> None:
        """Start empty.

        Args:
            limit: Approximate upper bound of the file in bytes.
            shared: Pictures shared with other recorders, which are then not written; see `hermes.trace.lab_recorder`.
            memory: Upper bound of the decoded moments in bytes. A quarter of it bounds the answers, and an eighth the tokens
                per frame and layer at earlier moments.
        """
        self.full = False
        self._limit = limit
        self._memory = memory
        self._pictures = Pictures(int(limit * _PICTURES_SHARE)) if shared is None else shared
        self._own = self._pictures if shared is None else None
        self._moments_share = _MOMENTS_SHARE + (0 if shared is None else _PICTURES_SHARE)
        self._blocks: list[_Block] = []
        self._open: list[LiveView] = []
        self._open_bytes = 0
        self._last: LiveView | None = None
        self._answers: list[AnswerTrace] = []
        self._answer_bytes = 0
        self._newest_answer: AnswerTrace | None = None
        self._token_bytes = 0
        self._answered: list[tuple[str, float]] = []
        self._scores: Sequence[ScoreRecord] = ()
        self._pasts: list[npt.NDArray[np.uint16]] = []
        self._past_step = 1

    @property
    def frames(self) -> int:
        """Number of frames seen so far."""
        return self._last.snapshot.frames_seen if self._last and self._last.snapshot else 0

    @property
    def moments(self) -> int:
        """Number of moments recorded so far."""
        return sum(len(block.times) for block in self._blocks) + len(self._open)

    @property
    def seconds(self) -> float:
        """Stream time of the newest moment, in seconds; 0 before the first."""
        return self._last.clock if self._last else 0.0

    def answered(self, question: str, asked: float) -> float:
        """Return the stream time of the first moment with the answer to a question asked at `asked`; else `asked`."""
        return next((at for known, at in self._answered if known == question and at >= asked), asked)

    def add(
        self,
        view: LiveView,
        thumbnails: Callable[[Sequence[int]], dict[int, bytes]] | None = None,
        scores: Sequence[ScoreRecord] = (),
    ) -> bool:
        """Record a view; views without frames or without changes are ignored.

        Args:
            view: The current state of the stream.
            thumbnails: Returns pictures of the frames between the last view and this one.
            scores: All score records of the stream so far.

        Returns:
            False if nothing is recorded, because the memory was reset since the last view or the recorder is full.
        """
        snapshot = view.snapshot
        if snapshot is None or not snapshot.frames_seen:
            return self._last is None
        if self.full:
            return False
        last = self._last
        if last is not None and last.snapshot is not None:
            if not _continues(last.snapshot, snapshot):
                return False
            if snapshot.sequence == last.snapshot.sequence and _status(view) == _status(last):
                return True
        if not self._take_answer(snapshot, view.clock) or self._too_long(snapshot, scores):
            self.full = True
            return False
        if snapshot.answer is not None:  # without the attention of its tokens if there is no room for it
            view = replace(view, snapshot=replace(snapshot, answer=self._answers[-1]))
        self._take_pictures(view, self.frames, thumbnails)
        self._scores = scores or self._scores
        self._take_past(snapshot.kept)
        self._last = view
        known = view.duration is not None and 0 <= view.duration <= LATEST  # the container's value may be arbitrary
        # A live view may show a newer frame than its snapshot, which is taken less often.
        frame = min(view.frame_index, snapshot.frames_seen - 1)
        self._open.append(replace(view, frame_jpeg=None, frame_index=frame, duration=view.duration if known else None))
        self._open_bytes += _size_of(snapshot)
        if len(self._open) >= MOMENTS or self._open_bytes >= BLOCK_BYTES:
            self._close_block()
        return True

    def _take_answer(self, snapshot: Snapshot, clock: float) -> bool:
        """Store the answer of a snapshot if it is new; returns False if it exceeds a limit."""
        answer = snapshot.answer
        if answer is None or answer is self._newest_answer:
            return True
        stored = self._with_room(answer)
        nbytes = self._answer_bytes + sum(v.nbytes for v in vars(stored).values() if isinstance(v, np.ndarray))
        if len(self._answers) >= MAX_ANSWERS or nbytes > self._memory // 4:
            return False
        self._newest_answer = answer
        self._answers.append(stored)
        self._answered.append((answer.question, clock))
        self._answer_bytes = nbytes
        return True

    def _with_room(self, answer: AnswerTrace) -> AnswerTrace:
        """Return an answer without the attention of its tokens if the file has no room for it."""
        if not answer.attention_by_token.size:
            return answer
        nbytes = answer.attention_by_token.itemsize * int(np.count_nonzero(answer.attention_by_token))
        if self._token_bytes + nbytes > self._limit * _BY_TOKEN_SHARE or answer.attention_by_token.nbytes > BLOCK_BYTES:
            return answer.without_tokens()
        self._token_bytes += nbytes
        return answer

    @staticmethod
    def _too_long(snapshot: Snapshot, scores: Sequence[ScoreRecord]) -> bool:
        """Whether a stream has become longer than a file may be."""
        most = max(len(snapshot.evictions), len(scores))
        return snapshot.frames_seen > RUN_LIMITS.frames or most > RUN_LIMITS.events

    def _take_past(self, kept: npt.NDArray[np.uint16]) -> None:
        """Store the tokens per frame and layer every `_past_step` frames; the step doubles when there are too many."""
        if self._pasts and kept.shape[1] < self._pasts[-1].shape[1] + self._past_step:
            return
        self._pasts.append(kept)
        while len(self._pasts) > 2 * PASTS or (
            len(self._pasts) > 1 and sum(past.nbytes for past in self._pasts) > self._memory // 8
        ):
            self._past_step *= 2
            self._pasts = self._pasts[1::2]

    def _take_pictures(
        self, view: LiveView, seen: int, thumbnails: Callable[[Sequence[int]], dict[int, bytes]] | None
    ) -> None:
        frames = view.snapshot.frames_seen if view.snapshot else 0
        if thumbnails is not None:
            for frame, picture in thumbnails([i for i in range(seen, frames) if i != view.frame_index]).items():
                self._pictures.add(frame, picture)
        if view.frame_jpeg and 0 <= view.frame_index < frames:
            self._pictures.add(view.frame_index, view.frame_jpeg)

    def _history(self) -> RunHistory:
        newest = self._last.snapshot if self._last else None
        if newest is None:
            if self.full:
                raise TraceError("This stream is too long to be recorded from here on. Restart it, then record it.")
            raise TraceError("There is nothing to record yet: no frame has been seen.")
        return RunHistory(newest.frame_times, newest.evictions, self._answers)

    def _close_block(self) -> None:
        if not self._open:
            return
        data = moments.encode(self._open, self._history())
        self._blocks.append(_Block(data, [view.clock for view in self._open]))
        self._open, self._open_bytes = [], 0
        while self._too_large() and self._thin():
            pass

    def _too_large(self) -> bool:
        """Whether the moments are too many, or too large in the file or decoded."""
        expanded = sum(block.size for block in self._blocks)
        return (
            self._moments_bytes() > self._limit * self._moments_share
            or expanded > self._memory
            or self.moments > RUN_LIMITS.moments
        )

    def _moments_bytes(self) -> int:
        return sum(len(block.data) for block in self._blocks)

    def _fit(self, rest: int) -> None:
        """Shrink moments and pictures, the larger first, until both and `rest` bytes fit into the limit."""
        while rest + self._moments_bytes() + (self._own.nbytes if self._own else 0) > self._limit:
            actions = [self._thin, *([self._own.shrink] if self._own else [])]
            if self._own and self._own.nbytes > self._moments_bytes():
                actions.reverse()
            if not any(action() for action in actions):
                return

    def _thin(self) -> bool:
        """Join two blocks and drop every other moment; returns False if no moment can be dropped.

        The oldest of the least thinned blocks are chosen.
        """
        pairs = range(len(self._blocks) - 2)  # never the newest
        level = [max(self._blocks[i].thinned, self._blocks[i + 1].thinned) for i in pairs]
        if not level:
            return False
        at = level.index(min(level))
        history = self._history()
        views = [v for b in self._blocks[at : at + 2] for v in moments.decode(b.data, history, {})]
        known = None if not at else moments.decode(self._blocks[at - 1].data, history, {})[-1].snapshot
        answers = [known.answer if known else None, *(v.snapshot.answer for v in views if v.snapshot)]
        fresh = [before is not after for before, after in itertools.pairwise(answers)]
        kept = [view for i, (view, new) in enumerate(zip(views, fresh, strict=True)) if new or i % 2 == 0]
        data = moments.encode(kept, history)
        self._blocks[at : at + 2] = [_Block(data, [view.clock for view in kept], level[at] + 1)]
        return len(kept) < len(views)

    def write(self, path: str | Path, head: Head) -> int:
        """Write the recording so far to a file, which is replaced atomically. Recording can continue afterwards.

        Args:
            path: The output file.
            head: Metadata of the run.

        Returns:
            Size of the file in bytes.

        Raises:
            TraceError: Nothing was recorded, or the file cannot be written.
        """
        return write(Path(path), self.parts(head))

    def parts(self, head: Head) -> dict[str, bytes]:
        """Return the parts of the file by name, without shared pictures.

        Raises:
            TraceError: Nothing was recorded.
        """
        self._close_block()
        history = self._history()
        grown = {
            "history.xz": pack_history(history),
            "past.xz": pack_past(self._pasts),
            **{f"answers/{i}.xz": pack_answer(answer) for i, answer in enumerate(self._answers)},
            **({"scores.xz": pack_scores(self._scores)} if self._scores else {}),
        }
        self._fit(sum(map(len, grown.values())) + _HEAD_BYTES + _PART_BYTES * (self.frames + len(self._blocks)))
        parts = {
            **grown,
            **(self._own.parts() if self._own else {}),
            **{f"moments/{i:04}.xz": block.data for i, block in enumerate(self._blocks)},
        }
        more = {
            "seconds": self._blocks[-1].times[-1],
            "frames": self.frames,
            "answers": [name for name in parts if name.startswith("answers/")],
            "scores": bool(self._scores),
            "moments": [{"part": f"moments/{i:04}.xz", "times": block.times} for i, block in enumerate(self._blocks)],
        }
        head = replace(head, thinned=any(block.thinned for block in self._blocks))
        return {"run.json": dump(head, more), **parts}


def _size_of(snapshot: Snapshot) -> int:
    """Estimate the bytes of a moment in a block."""
    tokens = (snapshot.frame, snapshot.patch, snapshot.kind, snapshot.mass, snapshot.position, snapshot.token_seconds)
    return sum(values.nbytes for values in (*tokens, snapshot.kept, snapshot.archived))


def _continues(before: Snapshot, now: Snapshot) -> bool:
    """Whether a snapshot can be a later state of the same memory."""
    seen = before.frames_seen
    return (
        now.sequence >= before.sequence
        and now.frames_seen >= seen
        and now.num_layers == before.num_layers
        and now.model == before.model
        and len(now.evictions) >= len(before.evictions)
        and bool((now.frame_times[:seen] == before.frame_times).all())
    )


def _status(view: LiveView) -> tuple[Any, ...]:
    return view.state, view.answering, view.error, view.first_token_ms
