"""The lab of one visitor: two to four memories on one clip, one question to all, live or recorded. No Gradio, no browser."""

from __future__ import annotations

import base64
import itertools
import math
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from hermes.errors import HermesError
from hermes.trace import Head, LabRun, TraceError
from ui import telling
from ui.clips import Clip
from ui.fate import Judge, judge_of
from ui.lab_lanes import Asked, LaneState, Reply, told_lanes
from ui.lab_recording import LabHeads, LabRecording
from ui.lab_replay import NO_MODEL, LabReplay
from ui.models import Shelf
from ui.runs import SPEEDS as REPLAY_SPEEDS
from ui.runs import lab_card
from ui.tape import offered

if TYPE_CHECKING:
    from hermes.engine import StreamSettings
    from hermes.lab.side_by_side import Lane, SideBySide, SideView

BUDGETS = (64, 128, 256, 512, 1024)
SPEEDS = {1: 1.0, 4: 4.0, 0: math.inf}
_IDS = itertools.count(1)


def choices(policies: Mapping[str, Any]) -> list[dict[str, str]]:
    """What can be compared: every policy, and the presets of the ablations."""
    from hermes.policies.presets import PRESETS  # noqa: PLC0415 - loads torch, which a page may do without

    listed = [
        {"name": name, "title": str(policy.title), "badge": str(policy.badge)} for name, policy in policies.items()
    ]
    names = {row["name"] for row in listed}
    variants = [preset for preset in PRESETS.values() if preset.name not in names]
    return listed + [{"name": one.name, "title": one.title, "badge": f"variant of {one.policy}"} for one in variants]


def offer(
    clips: Mapping[str, Clip],
    policies: Mapping[str, Any],
    runs: Mapping[str, LabRun] = MappingProxyType({}),
    openings: Mapping[str, float] = MappingProxyType({}),
    *,
    live: bool = True,
) -> dict[str, Any]:
    """What the page's lab is made with: recorded runs, and clips with the questions that suit them, memories, budgets.

    Args:
        clips: The bundled clips.
        policies: The policies by name.
        runs: The bundled lab runs.
        openings: Where each of them opens, in seconds.
        live: Whether memories can be run here, or only recorded runs be shown.
    """
    recorded = [lab_card(run, openings.get(run.id, 0.0)) for run in runs.values()]
    if not live:
        return {"clips": [], "policies": [], "budgets": [], "runs": recorded}
    shown = [
        {"id": clip.id, "title": clip.title, "seconds": clip.seconds, "questions": [text for text, _ in clip.questions]}
        for clip in clips.values()
    ]
    return {"clips": shown, "policies": choices(policies), "budgets": list(BUDGETS), "runs": recorded}


class Lab:
    """What one visitor compares: a run of its own, or a recorded one. Methods may be called by any thread."""

    def __init__(
        self,
        settings: StreamSettings,
        shelf: Shelf,
        clips: Mapping[str, Clip],
        runs: Mapping[str, LabRun] = MappingProxyType({}),
        downloads: Path | None = None,
        *,
        live: bool = True,
    ) -> None:
        """Begin without a run.

        Args:
            settings: Model, frame rate and chunk of live runs.
            shelf: Loads the model.
            clips: The bundled clips by id.
            runs: The bundled lab runs by id.
            downloads: Recordings are written below it.
            live: Whether memories can be run here, or only recorded runs be shown.
        """
        self._settings = settings
        self._shelf = shelf
        self._clips = clips
        self._runs = runs
        self._downloads = downloads or Path(tempfile.gettempdir())
        self._live = live
        self._lock = threading.RLock()
        self._run: SideBySide | None = None
        self._clip: Clip | None = None
        self._replay: LabReplay | None = None
        self._recording: LabRecording | None = None
        self._recorded: dict[str, Any] | None = None
        self._judge: Judge = judge_of(())
        self._asked: list[Asked] = []
        self._open: str | None = None
        self._notice: dict[str, Any] | None = None
        self._starting = False
        self._closed = False

    # What a person does -------------------------------------------------------------------------------------------

    def do(self, wish: Mapping[str, Any]) -> None:
        """Start, pause, resume, end, ask, record, or open and steer a recorded run.

        What goes wrong is told with the next look.
        """
        try:
            self._do(str(wish.get("action")), wish)
        except HermesError as error:
            self.tell(str(error))

    def tell(self, text: str) -> None:
        """Show a sentence in the lab."""
        self._notice = {"id": next(_IDS), "text": text}

    def _do(self, action: str, wish: Mapping[str, Any]) -> None:
        if action == "start":
            self._start(wish)
        elif action == "ask":
            self._ask(str(wish.get("question") or ""))
        elif action == "end":
            self._end()
        elif action == "record":
            self._record()
        elif action == "stop-recording":
            self._stop_recording()
        elif action == "open":
            self._open_bundled(wish)
        elif self._replay is not None:
            _steer(self._replay, action, wish)
        elif self._run is not None and action in ("pause", "resume"):
            getattr(self._run, action)()

    def _start(self, wish: Mapping[str, Any]) -> None:
        from hermes.lab.side_by_side import SideBySide  # noqa: PLC0415 - loads torch, which a page may do without

        clip = self._clips.get(str(wish.get("clip")))
        if clip is None or not self._live:
            raise HermesError("This clip is not bundled here. Choose another one.")
        budget, speed = wish.get("budget"), wish.get("speed")
        if budget not in BUDGETS or speed not in SPEEDS:
            raise HermesError("Choose a budget and a speed from the lists.")
        listed = wish.get("policies")
        names = [str(name) for name in listed] if isinstance(listed, Sequence) and not isinstance(listed, str) else []
        settings = replace(self._settings, budget=int(budget), speed=SPEEDS[speed], changed=())
        self._starting = True
        try:
            self._shelf.ensure(settings.model)
            run = SideBySide(self._shelf.engine, settings, names)
            with self._lock:
                self._end()
                if self._closed:
                    run.close()
                    return
                self._shelf.engine.enter(run)
                run.play(clip.path, clip.title)
                self._run, self._clip, self._asked = run, clip, []
                self._judge = judge_of(clip.events, clip.fps, lambda: settings.fps)
        finally:
            self._starting = False

    def _ask(self, question: str) -> None:
        with self._lock:
            if self._replay is not None:
                raise HermesError(NO_MODEL)
            if self._run is None:
                raise HermesError("Start a run first, then ask.")
            self._settle(self._run.view())
            self._run.ask(question)
            self._open = question.strip()

    def _end(self) -> None:
        """Free the memories, or put the recorded run away; a recording ends, and can still be saved."""
        with self._lock:
            run, self._run, self._replay = self._run, None, None
            if run is not None:
                self._settle(run.view())
            if self._recording is not None:
                self._recording.end(self._asked)
            self._open = None
        if run is not None:
            run.close()

    def close(self) -> None:
        """Free everything."""
        self._closed = True
        self._end()

    # Recorded runs ------------------------------------------------------------------------------------------------

    def open(self, run: LabRun, seconds: float = 0.0, *, play: bool = True) -> None:
        """Show a recorded lab run in place of what was shown; no model is needed.

        Args:
            run: The run.
            seconds: Stream time to begin at.
            play: Whether it plays at once.

        Raises:
            HermesError: `seconds` is no time.
        """
        replay = LabReplay(run, seconds)
        with self._lock:
            self._end()
            if self._closed:
                return
            self._replay, self._notice = replay, None
        if play:
            replay.resume()

    def _open_bundled(self, wish: Mapping[str, Any]) -> None:
        run = self._runs.get(str(wish.get("id")))
        if run is None:
            raise HermesError("This lab run is not bundled here. Choose another one.")
        seconds = wish.get("seconds")
        at = float(seconds) if isinstance(seconds, int | float) else 0.0
        self.open(run, at, play=wish.get("play") is not False)

    # Recording ----------------------------------------------------------------------------------------------------

    def _record(self) -> None:
        with self._lock:
            if self._replay is not None:
                raise HermesError("This is a recorded run already. Run memories live, then record them.")
            if self._run is None or self._clip is None:
                raise HermesError("There is nothing to record yet: start a run first.")
            if self._recording is not None:
                raise HermesError("A recording runs already: stop it first.")
            self._recorded = None
            self._recording = LabRecording(self._run, self._heads(self._run, self._clip))
            self._recording.start()

    def _heads(self, run: SideBySide, clip: Clip) -> LabHeads:
        """What a recording says of this run and its memories."""
        model = self._shelf.state(run.settings.model)
        whole = Head(
            title=clip.title,
            clip_id=clip.id,
            source=clip.title,
            settings=run.settings,
            model=telling.model_facts(run.settings.model, model.info if model else None),
            events=clip.events,
        )
        lanes = []
        for lane in run.view().lanes:
            preset = lane.cell.preset
            settings = replace(run.settings, policy=preset.policy, changed=preset.changed)
            lanes.append(replace(whole, title=preset.title, settings=settings, policy=lane.cell.facts))
        return LabHeads(whole, tuple(lanes), clip.fps)

    def _stop_recording(self) -> None:
        with self._lock:
            recording, self._recording = self._recording, None
            if recording is None:
                raise HermesError("Nothing is being recorded.")
            if self._run is not None:
                self._settle(self._run.view())
            recording.end(self._asked)
        self._recorded = offered(recording.finish(self._downloads))

    # What the browser is told -------------------------------------------------------------------------------------

    def look(self, shown: int) -> dict[str, Any]:
        """The state of the run; its picture only where it is another than `shown`, the number of the one on the page."""
        with self._lock:
            run, replay = self._run, self._replay
            view = run.view() if run is not None else None
            if view is not None:
                self._settle(view)
            recording = self._recording
        told: dict[str, Any] = {"state": "empty", "answering": False, "asked": [], "lanes": [], "run": None}
        jpeg = None
        try:
            if replay is not None:
                bundled = self._runs.get(replay.run.id) is replay.run
                startable = replay.run.head.clip_id if self._live and replay.run.head.clip_id in self._clips else ""
                told |= replay.look(bundled=bundled, startable=startable)
                jpeg = replay.picture(told["frames"])
            elif view is not None:
                told |= self._live_state(view)
                jpeg = view.frame_jpeg
        except TraceError as error:  # the file was damaged in a way that only now shows
            self._end()
            self.tell(str(error))
        if self._starting:
            told["state"] = "starting"
        if jpeg is not None and told["frames"] != shown:
            told["frame"] = {"index": told["frames"], "jpeg": base64.b64encode(jpeg).decode("ascii")}
        saving = {"recording": recording.state() if recording else None, "recorded": self._recorded}
        return {"n": next(_IDS), "notice": self._notice, **saving, **told}

    def _live_state(self, view: SideView) -> dict[str, Any]:
        lanes = [_state_of(lane) for lane in view.lanes]
        return {
            "state": view.state,
            "answering": view.answering,
            "asked": [one.told() for one in self._asked],
            "clock": None if math.isnan(view.clock) else round(view.clock, 2),
            "frames": view.frames,
            "error": view.error,
            **told_lanes(lanes, view.duration, self._settings.fps, self._judge),
        }

    def _settle(self, view: SideView) -> None:
        """Put a question on the list once all have answered it."""
        if self._open is None or view.answering:
            return
        verdicts = [_state_of(lane).verdict(self._judge) for lane in view.lanes]
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
            self._asked.append(Asked(self._open, at, known.truth if known else None, replies))
        self._open = None


def _steer(replay: LabReplay, action: str, wish: Mapping[str, Any]) -> None:
    """A press of a button while a recorded run is shown."""
    seconds, speed = wish.get("seconds"), wish.get("speed")
    if action == "seek" and isinstance(seconds, int | float):
        replay.seek(float(seconds))
    elif action == "pace" and speed in REPLAY_SPEEDS:
        replay.pace(float(speed))
    elif action in ("pause", "resume", "restart"):
        getattr(replay, action)()


def _state_of(lane: Lane) -> LaneState:
    return LaneState(
        name=lane.cell.policy,
        title=lane.cell.preset.title,
        badge=lane.cell.badge,
        budget=lane.cell.budget,
        state=lane.state,
        question=lane.question,
        answer=lane.answer,
        first_ms=lane.first_token_ms,
        error=lane.error,
        snapshot=lane.snapshot,
    )


def _answered(lane: Lane, question: str) -> bool:
    return lane.state == "done" and lane.question == question


def _asked_at(lane: Lane, question: str) -> float | None:
    """Stream time at which a lane was asked; None where it has not answered."""
    trace = lane.snapshot.answer if lane.snapshot is not None else None
    return trace.asked_seconds if trace is not None and _answered(lane, question) else None
