"""The view Compare of one visitor: two to four methods on one clip, live or recorded. Independent of Gradio."""

from __future__ import annotations

import base64
import itertools
import math
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from hermes.errors import HermesError
from hermes.trace import LabRun, Run, TraceError
from ui.lab.choices import BUDGETS
from ui.lab.live import LiveLab, LiveLanes
from ui.lab.recording import LabRecording
from ui.lab.replay import NO_MODEL, LabReplay
from ui.ordering import Turns
from ui.player.clips import Clip
from ui.runs.recordings import download_offer
from ui.runs.runs import SPEEDS as REPLAY_SPEEDS
from ui.settings.model_choice import KEEP, ModelChoice
from ui.settings.model_loader import ModelLoader
from ui.untrusted import finite

if TYPE_CHECKING:
    from hermes.serving.engine import StreamSettings

SPEEDS = {1: 1.0, 4: 4.0, 0: math.inf}


class Lab:
    """The comparison of one visitor: a live run or a recorded one. Thread-safe."""

    def __init__(
        self,
        settings: StreamSettings,
        loader: ModelLoader,
        clips: Mapping[str, Clip],
        runs: Mapping[str, LabRun] = MappingProxyType({}),
        downloads: Path | None = None,
        *,
        live: bool = True,
        choice: ModelChoice = KEEP,
        require_room: Callable[[], None] = lambda: None,
    ) -> None:
        """Create a lab without a run.

        Args:
            settings: Model, frame rate and chunk of live runs.
            loader: Loads the model.
            clips: The bundled clips by id.
            runs: The bundled lab runs by id.
            downloads: Folder below which recordings are written.
            live: Whether memories can run here; otherwise only recorded runs are shown.
            choice: Selects models by clip.
            require_room: Raises BusyError if a live run may not take a slot, because others wait for it.
        """
        self._settings = settings
        self._loader = loader
        self._clips = clips
        self._runs = runs
        self._downloads = downloads or Path(tempfile.gettempdir())
        self._live = live
        self._choice = choice
        self._require_room = require_room
        self.turns = Turns()
        self._lock = threading.RLock()
        self._run: LiveLab | None = None
        self._replay: LabReplay | None = None
        self._recording: LabRecording | None = None
        self._recorded: dict[str, Any] | None = None
        self._notice: dict[str, Any] | None = None
        self._pin: dict[str, Any] | None = None
        self._starting = False
        self._closed = False
        self._numbers = itertools.count(1)

    # User actions -------------------------------------------------------------------------------------------

    def do(self, request: Mapping[str, Any]) -> None:
        """Apply an action: start, pause, resume, end, ask, record, or open and control a recorded run.

        Errors are reported with the next poll.
        """
        try:
            self._do(str(request.get("action")), request)
        except HermesError as error:
            self.notify(str(error))

    def notify(self, text: str) -> None:
        """Show a message."""
        self._notice = {"id": next(self._numbers), "text": text}

    def _do(self, action: str, request: Mapping[str, Any]) -> None:
        if action == "start":
            self._start(request)
        elif action == "ask":
            self._ask(str(request.get("question") or ""))
        elif action == "end":
            self._end()
        elif action == "record":
            self._record()
        elif action == "stop-recording":
            self._stop_recording()
        elif action == "open":
            self._open_bundled(request)
        elif self._replay is not None:
            _steer(self._replay, action, request)
        elif self._run is not None and action == "pause":
            self._run.pause()
        elif self._run is not None and action == "resume":
            if not self._run.holds_slot:
                self._require_room()
            self._run.resume()

    def _start(self, request: Mapping[str, Any]) -> None:
        clip = self._clips.get(str(request.get("clip")))
        if clip is None or not self._live:
            raise HermesError("This clip is not available here. Choose another one.")
        budget, speed = finite(request.get("budget"), 0), finite(request.get("speed"), -1)
        if budget not in BUDGETS or speed not in SPEEDS:
            raise HermesError("Choose a budget and a speed from the lists.")
        listed = request.get("policies")
        names = [str(name) for name in listed] if isinstance(listed, Sequence) and not isinstance(listed, str) else []
        model = self._choice.model_for("clip", clip.world, self._settings.model)
        settings = replace(self._settings, model=model, budget=int(budget), speed=SPEEDS[int(speed)], changed=())
        self._starting = True
        try:
            run = LiveLab.start(self._loader, settings, names, clip)
            with self._lock:
                if self._run is None or not self._run.holds_slot:  # otherwise it takes over the slot
                    self._require_room()
                self._end()
                if self._closed:
                    run.close()
                    return
                run.play(self._loader)
                self._run = run
        finally:
            self._starting = False

    def _ask(self, question: str) -> None:
        with self._lock:
            if self._replay is not None:
                raise HermesError(NO_MODEL)
            if self._run is None:
                raise HermesError("Start a comparison, then ask.")
            self._run.ask(question)

    def _end(self) -> None:
        """Free the memories or close the recorded run. A recording ends, and can still be saved."""
        with self._lock:
            run, self._run, self._replay = self._run, None, None
            if run is not None and self._recording is not None:
                self._recording.end(run.asked())
        if run is not None:
            run.close()

    @property
    def state(self) -> str:
        """State of the live run: "empty", "playing", "paused", "ended" or "failed"."""
        run = self._run
        return run.state if run is not None else "empty"

    def yield_slot(self) -> None:
        """Give up the live slot of the live run if it is paused."""
        run = self._run
        if run is not None:
            run.yield_slot()

    def close(self) -> None:
        """Free everything."""
        self._closed = True
        self._end()

    # Recorded runs ------------------------------------------------------------------------------------------------

    def open(self, run: LabRun, seconds: float = 0.0, *, play: bool = True) -> None:
        """Show a recorded lab run instead of the current one. Does not need a model.

        Args:
            run: The run.
            seconds: Stream time to start at.
            play: Whether it plays immediately.

        Raises:
            HermesError: `seconds` is not finite.
        """
        replay = LabReplay(run, seconds)
        with self._lock:
            self._end()
            if self._closed:
                return
            self._replay, self._notice = replay, None
        if play:
            replay.resume()

    def memory(self, number: object) -> tuple[Run, float]:
        """Return one memory of the shown recorded run as a separate run, and the current stream time.

        Args:
            number: Index of the memory, as sent by the browser.

        Raises:
            HermesError: No recorded run is shown, or the memory does not exist.
        """
        with self._lock:
            replay, live = self._replay, self._run is not None
        if replay is None and not live:
            raise HermesError("No comparison is open. Start one under Compare, or open a recorded one.")
        if replay is None:
            raise HermesError(
                "Only a recorded comparison can be opened in the stream view. Record this one, then open it."
            )
        if not isinstance(number, int) or not 0 <= number < len(replay.run.lanes):
            raise HermesError("This method does not exist in the comparison.")
        return replay.run.lanes[number], replay.position

    def live_lanes(self) -> LiveLanes | None:
        """Return the methods of the live comparison at the current moment, or None if none is shown."""
        with self._lock:
            run, recorded = self._run, self._recorded
        if run is None:
            return None
        return replace(run.lanes(), recording=recorded["name"] if recorded else "")

    def _open_bundled(self, request: Mapping[str, Any]) -> None:
        run = self._runs.get(str(request.get("id")))
        if run is None:
            raise HermesError("This comparison is not available here. Choose another one.")
        seconds = request.get("seconds")
        at = finite(seconds, math.nan) if isinstance(seconds, int | float) else 0.0
        self.open(run, at, play=request.get("play") is not False)

    # Pins -----------------------------------------------------------------------------------------------------------

    def offer_pin(self, result: dict[str, Any]) -> None:
        """Send a result of the stream view with the next poll. The browser keeps the pins; the server does not."""
        self._pin = result

    # Recording ----------------------------------------------------------------------------------------------------

    def _record(self) -> None:
        with self._lock:
            if self._replay is not None:
                raise HermesError("This is already a recording. Start a live comparison, then record it.")
            if self._run is None:
                raise HermesError("There is nothing to record yet. Start a comparison first.")
            if self._recording is not None:
                raise HermesError("A recording is already in progress. Save it first.")
            self._recorded = None
            self._recording = self._run.record(self._loader)

    def _stop_recording(self) -> None:
        with self._lock:
            recording, self._recording = self._recording, None
            if recording is None:
                raise HermesError("No recording is in progress.")
            if self._run is not None:
                recording.end(self._run.asked())
        path = recording.finish(self._downloads)
        if self._closed:  # the visitor left meanwhile, and its files are deleted
            shutil.rmtree(path.parent, ignore_errors=True)
            raise HermesError("This page was closed.")
        self._recorded = download_offer(path)

    # Messages to the browser -------------------------------------------------------------------------------------

    def poll(self, shown: int) -> dict[str, Any]:
        """Return the state of the run, with its picture if its number differs from `shown`, the one on the page."""
        message: dict[str, Any] = {"state": "empty", "answering": False, "asked": [], "lanes": [], "run": None}
        with self._lock:
            run, replay, recording = self._run, self._replay, self._recording
            more, jpeg = run.poll() if run is not None else ({}, None)
        try:
            if replay is not None:
                bundled = self._runs.get(replay.run.id) is replay.run
                startable = replay.run.head.clip_id if self._live and replay.run.head.clip_id in self._clips else ""
                more, jpeg = replay.poll(bundled=bundled, startable=startable)
        except TraceError as error:  # damage that was not detected when the file was opened
            self._end()
            self.notify(str(error))
        message |= more
        if self._starting:
            message["state"] = "starting"
        if jpeg is not None and message["frames"] != shown:
            message["frame"] = {"index": message["frames"], "jpeg": base64.b64encode(jpeg).decode("ascii")}
        pin, self._pin = self._pin, None
        if pin is not None:
            message["pin"] = pin
        saving = {"recording": recording.state() if recording else None, "recorded": self._recorded}
        return {"n": next(self._numbers), "notice": self._notice, **saving, **message}


def _steer(replay: LabReplay, action: str, request: Mapping[str, Any]) -> None:
    """Apply an action to the recorded run."""
    seconds, speed = request.get("seconds"), finite(request.get("speed"), -1)
    if action == "seek" and isinstance(seconds, int | float):
        replay.seek(finite(seconds, math.nan))
    elif action == "pace" and speed in REPLAY_SPEEDS:
        replay.pace(speed)
    elif action == "pause":
        replay.pause()
    elif action == "resume":
        replay.resume()
    elif action == "restart":
        replay.restart()
