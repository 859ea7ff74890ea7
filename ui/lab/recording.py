"""Recording of a visitor's comparison.

It receives every moment at which all memories have seen the same frames, and a thread stores the changes.
"""

from __future__ import annotations

import datetime as dt
import logging
import queue
import shutil
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hermes
from hermes.analysis.token_history import ScoreRecord
from hermes.bench.machine import machine_sentence
from hermes.trace import Head, LabRecorder, RunTurn
from hermes.view import LiveView
from ui.lab.lanes import LabQuestion
from ui.runs.stream_recorder import FAULT, FULL, file_name, new_file

if TYPE_CHECKING:
    from hermes.lab.lane import Lane
    from hermes.lab.side_by_side import SideView

logger = logging.getLogger(__name__)

MAX_WAITING = 64
"""Maximum number of queued moments. Each holds complete snapshots."""


Seen = tuple[LiveView, tuple[ScoreRecord, ...]]
"""One memory at one moment, and its scores at all evictions so far."""


@dataclass(frozen=True)
class LabHeads:
    """Metadata of a recorded lab run.

    Attributes:
        whole: Metadata of the run, without date and machine.
        lanes: Metadata of each memory, without its conversation.
        events_fps: Frame rate of the clip's events.
    """

    whole: Head
    lanes: tuple[Head, ...]
    events_fps: float | None


class LabRecording:
    """One recording: call `hear` for each moment, then `end`, then `finish`."""

    def __init__(self, heads: LabHeads, recorder: LabRecorder | None = None) -> None:
        """Start recording. The first recorded moment contains what the memories hold already."""
        self._heads = heads
        self._recorder = recorder or LabRecorder(len(heads.lanes))
        self._queue: queue.SimpleQueue[tuple[Seen, ...] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._keep, name="lab recording", daemon=True)
        self._asked: tuple[LabQuestion, ...] = ()
        self._answers: list[int] = []
        self._over = False
        self.ended = ""
        self._thread.start()

    def hear(self, view: SideView) -> None:
        """Queue a moment. Ignored once the recording has ended."""
        if self.ended:
            return
        answers = [id(lane.snapshot.answer) if lane.snapshot else 0 for lane in view.lanes]
        if answers == self._answers and self._queue.qsize() >= MAX_WAITING:
            return  # the queue is full; moments with a new answer are never dropped
        self._answers = answers
        self._queue.put(tuple((_view(view, lane), lane.session.token_history.records) for lane in view.lanes))

    def _keep(self) -> None:
        try:
            while (seen := self._queue.get()) is not None:
                for recorder, (view, scores) in zip(self._recorder.lanes, seen, strict=True):
                    recorder.add(view, scores=scores)
                if any(recorder.full for recorder in self._recorder.lanes):
                    self.ended = FULL
                    return
        except Exception:
            logger.exception("the recording ended early")
            self.ended = FAULT

    def state(self) -> dict[str, Any]:
        """Return the recording's progress for the page."""
        recorder = self._recorder.lanes[0]
        return {"seconds": round(self._recorder.seconds, 1), "moments": recorder.moments, "ended": self.ended}

    def end(self, asked: Sequence[LabQuestion]) -> None:
        """Stop recording.

        Args:
            asked: All answered questions of the run, including those from before the recording.
        """
        if self._over:
            return
        self._asked, self._over, self.ended = tuple(asked), True, self.ended or "the run ended"
        self._queue.put(None)

    def finish(self) -> tuple[str, bytes]:
        """Return the file's name and content. Call `end` first.

        Raises:
            TraceWriteError: The file cannot be written. Can be called again.
            HermesError: Nothing was recorded.
        """
        self._thread.join()
        created = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        made: dict[str, Any] = {"created": created, "machine": machine_sentence(), "program": hermes.__version__}
        whole = replace(self._heads.whole, **made)
        lanes = [replace(lane, **made, chat=self._turns(i, lane)) for i, lane in enumerate(self._heads.lanes)]
        name = file_name(replace(whole, title=f"{whole.title} lab"))
        with new_file(Path(tempfile.gettempdir()), name) as path:
            self._recorder.write(path, whole, lanes, self._heads.events_fps)
            content = path.read_bytes()
        shutil.rmtree(path.parent)
        return name, content

    def _turns(self, index: int, lane: Head) -> tuple[RunTurn, ...]:
        known = [asked for asked in self._asked if asked.at <= self._recorder.seconds]
        replies = [(asked, asked.replies[index]) for asked in known]
        return tuple(
            RunTurn(asked.question, reply.answer, asked.at, asked.at, "error" if reply.refused else "done", reply.first_ms,
                 lane.policy["title"], asked.truth)
            for asked, reply in replies
        )  # fmt: skip


def _view(side: SideView, lane: Lane) -> LiveView:
    """Return one memory as a view of a stream. All memories share the clock and the frame."""
    return LiveView(
        state="failed" if lane.error else "playing",
        source="",
        clock=side.clock,
        duration=side.duration,
        behind=0.0,
        frame_jpeg=side.frame_jpeg,
        frame_index=side.frames - 1,
        snapshot=lane.snapshot,
        dropped=0,
        skipped=0,
        ingest_fps=0.0,
        first_token_ms=lane.first_token_ms,
        answering=False,
        error=lane.error,
    )
