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
from hermes.trace import LabRun, Run, TraceError
from ui.lab.choices import BUDGETS
from ui.lab.live import LiveLab
from ui.lab.recording import LabRecording
from ui.lab.replay import NO_MODEL, LabReplay
from ui.ordering import Turns
from ui.player.clips import Clip
from ui.runs.recordings import download_offer
from ui.runs.runs import SPEEDS as REPLAY_SPEEDS
from ui.settings.model_loader import ModelLoader

if TYPE_CHECKING:
    from hermes.serving.engine import StreamSettings

SPEEDS = {1: 1.0, 4: 4.0, 0: math.inf}
_IDS = itertools.count(1)


class Lab:
    """What one visitor compares: a run of its own, or a recorded one. Methods may be called by any thread."""

    def __init__(
        self,
        settings: StreamSettings,
        loader: ModelLoader,
        clips: Mapping[str, Clip],
        runs: Mapping[str, LabRun] = MappingProxyType({}),
        downloads: Path | None = None,
        *,
        live: bool = True,
    ) -> None:
        """Begin without a run.

        Args:
            settings: Model, frame rate and chunk of live runs.
            loader: Loads the model.
            clips: The bundled clips by id.
            runs: The bundled lab runs by id.
            downloads: Recordings are written below it.
            live: Whether memories can be run here, or only recorded runs be shown.
        """
        self._settings = settings
        self._loader = loader
        self._clips = clips
        self._runs = runs
        self._downloads = downloads or Path(tempfile.gettempdir())
        self._live = live
        self.turns = Turns()
        self._lock = threading.RLock()
        self._run: LiveLab | None = None
        self._replay: LabReplay | None = None
        self._recording: LabRecording | None = None
        self._recorded: dict[str, Any] | None = None
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
            self.notify(str(error))

    def notify(self, text: str) -> None:
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
            run = LiveLab.start(self._loader, settings, names, clip)
            with self._lock:
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
                raise HermesError("Start a run, then ask.")
            self._run.ask(question)

    def _end(self) -> None:
        """Free the memories, or put the recorded run away; a recording ends, and can still be saved."""
        with self._lock:
            run, self._run, self._replay = self._run, None, None
            if run is not None and self._recording is not None:
                self._recording.end(run.asked())
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

    def memory(self, number: object) -> tuple[Run, float]:
        """One memory of the recorded run that is shown, as a run of its own, and the stream time shown.

        Args:
            number: Which, from 0, as the browser says it.

        Raises:
            HermesError: No recorded run is shown, or it has no such memory.
        """
        with self._lock:
            replay = self._replay
        if replay is None:
            raise HermesError("Only a recorded lab run can be shown on the board. Record this one, then open it.")
        if not isinstance(number, int) or not 0 <= number < len(replay.run.lanes):
            raise HermesError("This memory does not exist in the lab run.")
        return replay.run.lanes[number], replay.position

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
                raise HermesError("This is already a recording. Start a live run, then record it.")
            if self._run is None:
                raise HermesError("There is nothing to record yet. Start a run first.")
            if self._recording is not None:
                raise HermesError("A recording is already in progress. Stop it first.")
            self._recorded = None
            self._recording = self._run.record(self._loader)

    def _stop_recording(self) -> None:
        with self._lock:
            recording, self._recording = self._recording, None
            if recording is None:
                raise HermesError("No recording is in progress.")
            if self._run is not None:
                recording.end(self._run.asked())
        self._recorded = download_offer(recording.finish(self._downloads))

    # What the browser is told -------------------------------------------------------------------------------------

    def poll(self, shown: int) -> dict[str, Any]:
        """The state of the run; its picture only where it is another than `shown`, the number of the one on the page."""
        told: dict[str, Any] = {"state": "empty", "answering": False, "asked": [], "lanes": [], "run": None}
        with self._lock:
            run, replay, recording = self._run, self._replay, self._recording
            more, jpeg = run.poll() if run is not None else ({}, None)
        try:
            if replay is not None:
                bundled = self._runs.get(replay.run.id) is replay.run
                startable = replay.run.head.clip_id if self._live and replay.run.head.clip_id in self._clips else ""
                more, jpeg = replay.poll(bundled=bundled, startable=startable)
        except TraceError as error:  # the file is damaged in a way that only now shows
            self._end()
            self.notify(str(error))
        told |= more
        if self._starting:
            told["state"] = "starting"
        if jpeg is not None and told["frames"] != shown:
            told["frame"] = {"index": told["frames"], "jpeg": base64.b64encode(jpeg).decode("ascii")}
        saving = {"recording": recording.state() if recording else None, "recorded": self._recorded}
        return {"n": next(_IDS), "notice": self._notice, **saving, **told}


def _steer(replay: LabReplay, action: str, wish: Mapping[str, Any]) -> None:
    """A press of a button while a recorded run is shown."""
    seconds, speed = wish.get("seconds"), wish.get("speed")
    if action == "seek" and isinstance(seconds, int | float):
        replay.seek(float(seconds))
    elif action == "pace" and speed in REPLAY_SPEEDS:
        replay.pace(float(speed))
    elif action in ("pause", "resume", "restart"):
        getattr(replay, action)()
