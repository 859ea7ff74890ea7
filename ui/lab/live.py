"""A live comparison: several memories on one clip, the questions put to all of them, and their verdicts.

It runs next to an engine, see `hermes.serving.interface.StreamEngine.place`; the page calls its methods, whose arguments and
results are picklable.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from hermes.assets import CLIPS
from hermes.errors import HermesError
from hermes.importing import IMPORTING
from hermes.trace import Head
from ui.board.evidence import judge_of
from ui.board.trail import Trail
from ui.lab.lanes import LabQuestion, LaneState, Reply, lanes_payload
from ui.lab.recording import LabHeads, LabRecording
from ui.player.clips import Clip

MAX_ASKED: Final = 100
"""Questions of a comparison that are kept; the oldest are dropped. Every update of the page contains all of them."""

if TYPE_CHECKING:
    from hermes.analysis.token_history import ScoreRecord
    from hermes.lab.lane import Lane
    from hermes.lab.side_by_side import SideView
    from hermes.serving.roles import Host
    from hermes.snapshot import Snapshot
    from hermes.view import StreamSettings


@dataclass(frozen=True)
class LaneMoment:
    """One method of a live comparison at the current moment.

    Attributes:
        snapshot: Its memory; None before the first frame.
        moments: Its earlier moments, oldest first; see `Trail.until`.
        scores: Its scores at all evictions so far.
    """

    snapshot: Snapshot | None
    moments: tuple[Snapshot, ...] = ()
    scores: tuple[ScoreRecord, ...] = ()


class LiveLab:
    """One run and its questions. Not thread-safe: callers must hold a lock."""

    def __init__(
        self, host: Host, settings: StreamSettings, policies: Sequence[str], clip: Clip, model: Mapping[str, Any]
    ) -> None:
        """Create the memories. `play` starts the run.

        Args:
            host: The engine, which has loaded the model.
            settings: Settings of all memories.
            policies: Names of the policies or presets.
            clip: A bundled clip.
            model: What recordings state about the model, see `payloads.model_facts`.

        Raises:
            HermesError: A policy name or setting is invalid.
        """
        with IMPORTING:
            from hermes.lab.side_by_side import SideBySide  # noqa: PLC0415 - imports torch, only needed for live runs

        self._host = host
        self._run = SideBySide(host, settings, policies)
        self._clip = clip
        self._model = model
        self._judge = judge_of(clip.events, clip.fps, lambda: self._run.settings.fps)
        self._asked: list[LabQuestion] = []
        self._open: str | None = None
        self._trails = tuple(Trail() for _ in self._run.view().lanes)
        self._trails_lock = threading.Lock()
        self._recording: LabRecording | None = None
        self._run.listen(self._hear)

    def _hear(self, view: SideView) -> None:
        """Collect a moment of each memory, for the retention over time and for the recording."""
        with self._trails_lock:
            for trail, lane in zip(self._trails, view.lanes, strict=True):
                trail.note(lane.snapshot)
        if self._recording is not None:
            self._recording.hear(view)

    def titles(self) -> tuple[str, ...]:
        """Return the titles of the methods."""
        return tuple(lane.cell.preset.title for lane in self._run.view().lanes)

    def play(self) -> None:
        """Start the run.

        Raises:
            HermesError: The limit of streams is reached, or the clip cannot be played.
        """
        path = self._clip.path if self._clip.path.is_file() else CLIPS / self._clip.path.name  # another machine's
        try:
            self._host.enter(self._run)
            self._run.play(path, self._clip.title)
        except BaseException:
            self._run.close()  # free its slot in the engine
            raise

    def pause(self) -> None:
        """Pause the clock."""
        self._run.pause()

    def resume(self) -> None:
        """Resume the clock.

        Raises:
            HermesError: It has given up its live slot, and all are taken.
        """
        self._run.resume()

    def state(self) -> str:
        """State of the clip: "empty", "playing", "paused", "ended" or "failed"."""
        return self._run.view().state

    def holds_slot(self) -> bool:
        """Whether it holds a live slot."""
        return self._run.holds_slot

    def yield_slot(self) -> None:
        """Give up the live slot if the run is paused."""
        self._run.yield_slot()

    def ask(self, question: str) -> None:
        """Ask all memories a question.

        Raises:
            HermesError: Questions cannot be asked now.
        """
        self._settle(self._run.view())
        self._run.ask(question)
        self._open = question.strip()

    def lane(self, number: int) -> LaneMoment:
        """Return a method at the current moment."""
        lane = self._run.view().lanes[number]
        if lane.snapshot is None or not lane.snapshot.frames_seen:
            return LaneMoment(None)
        with self._trails_lock:
            moments = self._trails[number].until(lane.snapshot)
        return LaneMoment(lane.snapshot, moments, tuple(lane.session.token_history.records))

    # Recording ----------------------------------------------------------------------------------------------------

    def record(self) -> None:
        """Start recording."""
        self._recording = LabRecording(self._heads())
        self._run.listen(self._hear)  # reports the current moment, too

    def recording_state(self) -> dict[str, Any] | None:
        """Return the recording's progress for the page; None if nothing is recorded."""
        return self._recording.state() if self._recording is not None else None

    def finish_recording(self) -> tuple[str, bytes]:
        """End the recording, and return the file's name and content. It stays until `forget_recording` is called.

        Raises:
            TraceWriteError: The file cannot be written. Can be called again.
            HermesError: Nothing was recorded.
        """
        if self._recording is None:
            raise HermesError("No recording is in progress.")
        self._recording.end(self._answered_by_all())
        return self._recording.finish()

    def forget_recording(self) -> None:
        """Free the recording."""
        self._recording = None

    def _heads(self) -> LabHeads:
        """Return the metadata of a recording of this run and its memories."""
        settings, clip = self._run.settings, self._clip
        whole = Head(
            title=clip.title,
            clip_id=clip.id,
            source=clip.title,
            settings=settings,
            model=self._model,
            events=clip.events,
        )
        lanes = []
        for lane in self._run.view().lanes:
            preset = lane.cell.preset
            own = replace(settings, policy=preset.policy, changed=preset.changed)
            lanes.append(whole.of_memory(own, lane.cell.facts))
        return LabHeads(whole, tuple(lanes), clip.fps)

    def _answered_by_all(self) -> list[LabQuestion]:
        """Return the questions that all memories have answered, oldest first."""
        self._settle(self._run.view())
        return self._asked

    # Messages -----------------------------------------------------------------------------------------------------

    def poll(self, shown: int) -> tuple[dict[str, Any], bytes | None]:
        """Return the lab's payload, and the latest frame as JPEG unless it is `shown`, the number of the one on the page."""
        view = self._run.view()
        self._settle(view)
        lanes = [_state_of(lane, self._first_ms(i, lane)) for i, lane in enumerate(view.lanes)]
        payload = {
            "title": self._clip.title,
            "state": view.state,
            "answering": view.answering,
            "asked": [one.payload() for one in self._asked],
            "clock": None if math.isnan(view.clock) else round(view.clock, 2),
            "frames": view.frames,
            "error": view.error,
            **lanes_payload(lanes, view.duration, self._run.settings.fps, self._judge),
        }
        return payload, view.frame_jpeg if view.frames != shown else None

    def _first_ms(self, index: int, lane: Lane) -> tuple[float, ...]:
        """Return the times to first token of a memory's answers, in milliseconds."""
        times = [one.replies[index].first_ms for one in self._asked]
        if self._open is not None and lane.state == "done":  # the other memories are still answering
            times.append(lane.first_token_ms)
        return tuple(one for one in times if one is not None)

    def close(self) -> None:
        """Free the memories. A recording ends, and can still be finished."""
        if self._recording is not None:
            self._recording.end(self._answered_by_all())
        self._run.close()

    def _settle(self, view: SideView) -> None:
        """Add the open question to the list once all memories have answered it."""
        if self._open is None or view.answering:
            return
        verdicts = [_state_of(lane, ()).verdict(self._judge) for lane in view.lanes]
        known = next((verdict for verdict in verdicts if verdict is not None), None)
        times = (_asked_at(lane, self._open) for lane in view.lanes)
        at = next((seconds for seconds in times if seconds is not None), view.clock)
        replies = tuple(
            Reply(lane.answer.strip(), verdict.right if verdict else None, lane.first_token_ms)
            if _answered(lane, self._open)
            else Reply(lane.error or lane.answer, refused=True)
            for lane, verdict in zip(view.lanes, verdicts, strict=True)
        )
        if not math.isnan(at):
            self._asked.append(LabQuestion(self._open, at, known.truth if known else None, replies))
            del self._asked[:-MAX_ASKED]
        self._open = None


def _state_of(lane: Lane, first_ms: tuple[float, ...]) -> LaneState:
    return LaneState(
        name=lane.cell.policy,
        title=lane.cell.preset.title,
        badge=lane.cell.badge,
        budget=lane.cell.budget,
        state=lane.state,
        question=lane.question,
        answer=lane.answer,
        first_ms=first_ms,
        error=lane.error,
        snapshot=lane.snapshot,
    )


def _answered(lane: Lane, question: str) -> bool:
    return lane.state == "done" and lane.question == question


def _asked_at(lane: Lane, question: str) -> float | None:
    """Return the stream time at which the question was asked, or None if the memory has not answered it."""
    trace = lane.snapshot.answer if lane.snapshot is not None else None
    return trace.asked_seconds if trace is not None and _answered(lane, question) else None
