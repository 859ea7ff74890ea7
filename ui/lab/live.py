"""A live run of the lab: several memories on one clip, the questions put to all of them, and their verdicts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, cast

from hermes.errors import HermesError
from hermes.importing import IMPORTING
from hermes.trace import Head
from ui.board.evidence import judge_of
from ui.lab.lanes import LabQuestion, LaneState, Reply, lanes_payload
from ui.lab.recording import LabHeads, LabRecording
from ui.player import payloads
from ui.player.clips import Clip
from ui.settings.model_loader import ModelLoader

MOST_ASKED: Final = 100
"""Questions of a comparison that are kept; the oldest are dropped. Every update of the page contains all of them."""

if TYPE_CHECKING:
    from hermes.lab.side_by_side import Lane, SideBySide, SideView
    from hermes.serving.engine import StreamSettings
    from hermes.serving.roles import Host


@dataclass(frozen=True)
class LiveLanes:
    """The methods of a live comparison at the current moment.

    Attributes:
        title: Title of the clip.
        lanes: The methods.
        recording: Name of the file to which the comparison was recorded; "" if it was not.
    """

    title: str
    lanes: tuple[Lane, ...]
    recording: str = ""


class LiveLab:
    """One run and its questions. Not thread-safe: callers must hold a lock."""

    def __init__(self, run: SideBySide, clip: Clip) -> None:
        """Wrap a run that has not started, and the clip that it will play."""
        self._run = run
        self._clip = clip
        self._judge = judge_of(clip.events, clip.fps, lambda: run.settings.fps)
        self._asked: list[LabQuestion] = []
        self._open: str | None = None

    @classmethod
    def start(cls, loader: ModelLoader, settings: StreamSettings, policies: Sequence[str], clip: Clip) -> LiveLab:
        """Load the model and create the memories. `play` starts the run.

        Raises:
            HermesError: The model cannot be loaded, comparisons cannot run here, or a policy name or setting is invalid.
        """
        if not loader.engine.hosts_comparisons:
            raise HermesError("Live comparisons are not available on this server. Recorded comparisons are.")
        loader.ensure(settings.model)
        with IMPORTING:
            from hermes.lab.side_by_side import SideBySide  # noqa: PLC0415 - imports torch, only needed for live runs

        return cls(SideBySide(cast("Host", loader.engine), settings, policies), clip)

    def play(self, loader: ModelLoader) -> None:
        """Start the run.

        Raises:
            HermesError: The limit of streams is reached, or the clip cannot be played.
        """
        try:
            loader.engine.enter(self._run)
            self._run.play(self._clip.path, self._clip.title)
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

    @property
    def state(self) -> str:
        """State of the clip: "empty", "playing", "paused", "ended" or "failed"."""
        return self._run.view().state

    @property
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

    def lanes(self) -> LiveLanes:
        """Return the methods at the current moment."""
        return LiveLanes(self._clip.title, self._run.view().lanes)

    def record(self, loader: ModelLoader) -> LabRecording:
        """Start recording. Pass the questions (`asked`) to the recording's `end`."""
        recording = LabRecording(self._run, self._heads(loader))
        recording.start()
        return recording

    def _heads(self, loader: ModelLoader) -> LabHeads:
        """Return the metadata of a recording of this run and its memories."""
        settings, clip = self._run.settings, self._clip
        model = loader.state(settings.model)
        whole = Head(
            title=clip.title,
            clip_id=clip.id,
            source=clip.title,
            settings=settings,
            model=payloads.model_facts(settings.model, model.info if model else None),
            events=clip.events,
        )
        lanes = []
        for lane in self._run.view().lanes:
            preset = lane.cell.preset
            own = replace(settings, policy=preset.policy, changed=preset.changed)
            lanes.append(whole.of_memory(own, lane.cell.facts))
        return LabHeads(whole, tuple(lanes), clip.fps)

    def asked(self) -> list[LabQuestion]:
        """Return the questions that all memories have answered, oldest first."""
        self._settle(self._run.view())
        return self._asked

    def poll(self) -> tuple[dict[str, Any], bytes | None]:
        """Return the lab's payload and the latest frame as JPEG."""
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
        return payload, view.frame_jpeg

    def _first_ms(self, index: int, lane: Lane) -> tuple[float, ...]:
        """Return the times to first token of a memory's answers, in milliseconds."""
        times = [one.replies[index].first_ms for one in self._asked]
        if self._open is not None and lane.state == "done":  # the other memories are still answering
            times.append(lane.first_token_ms)
        return tuple(one for one in times if one is not None)

    def close(self) -> None:
        """Free the memories."""
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
            del self._asked[:-MOST_ASKED]
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
