"""The view Compare of one visitor: two to four methods on one clip, live or recorded. Independent of Gradio."""

from __future__ import annotations

import base64
import itertools
import logging
import math
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from hermes.errors import HermesError
from hermes.trace import LabRun, Run, TraceError
from hermes.trace.archive import TraceWriteError
from ui.lab.choices import BUDGETS
from ui.lab.comparison import LiveComparison
from ui.lab.live import LiveLab
from ui.lab.replay import NO_MODEL, LabReplay
from ui.ordering import Turns
from ui.player import payloads
from ui.player.clips import Clip
from ui.runs.recordings import download_offer
from ui.runs.stream_recorder import new_file
from ui.settings.model_choice import KEEP, ModelChoice
from ui.settings.model_loader import ModelLoader
from ui.untrusted import finite

if TYPE_CHECKING:
    from hermes.view import StreamSettings

logger = logging.getLogger(__name__)

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
        self._run: LiveComparison | None = None
        self._replay: LabReplay | None = None
        self._recording: LiveComparison | None = None
        self._saving: list[LiveComparison] = []  # a new comparison must not free them meanwhile
        self._recorded: dict[str, Any] | None = None
        self._notice: dict[str, Any] | None = None
        self._pin: dict[str, Any] | None = None
        self._last: tuple[LiveComparison | None, dict[str, Any]] = (None, {})
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
            self._replay.steer(action, request)
        elif self._run is not None and action == "pause":
            self._run.run.call("pause")
        elif self._run is not None and action == "resume":
            if not self._run.holds_slot:
                self._require_room()
            self._run.run.call("resume")

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
            run = self._place(settings, names, clip)
            try:
                self._play(run)
            except BaseException:
                run.close(keep=False)
                raise
        finally:
            self._starting = False

    def _place(self, settings: StreamSettings, policies: Sequence[str], clip: Clip) -> LiveComparison:
        """Load the model and create the memories, on the engine of the previous comparison if there is one.

        Raises:
            HermesError: The model cannot be loaded, all slots are taken, or a policy name or setting is invalid.
        """
        self._loader.ensure(settings.model)
        model = self._loader.state(settings.model)
        facts = payloads.model_facts(settings.model, model.info if model else None)
        with self._lock:
            before = self._run.run if self._run is not None and self._run.holds_slot else None
        make = partial(LiveLab, settings=settings, policies=policies, clip=clip, model=facts)
        run = self._loader.engine.place(make, settings.model, before)
        return LiveComparison(run, clip.title, run.call("titles"))

    def _play(self, run: LiveComparison) -> None:
        """Play a comparison instead of the current one, unless the page was closed meanwhile.

        Raises:
            HermesError: The limit of streams is reached, or the clip cannot be played.
        """
        with self._lock:
            if self._run is None or not self._run.holds_slot:  # otherwise it takes over the slot
                self._require_room()
            self._end()
            if self._closed:
                run.close(keep=False)
                return
            run.run.call("play")
            self._run = run

    def _ask(self, question: str) -> None:
        with self._lock:
            if self._replay is not None:
                raise HermesError(NO_MODEL)
            if self._run is None:
                raise HermesError("Start a comparison, then ask.")
            self._run.run.call("ask", question)

    def _end(self) -> None:
        """Free the memories or close the recorded run. A recording ends, and can still be saved."""
        with self._lock:
            run, self._run, self._replay = self._run, None, None
            keep = run is self._recording or run in self._saving
        if run is not None:
            run.close(keep=keep)

    @property
    def state(self) -> str:
        """State of the live run: "empty", "playing", "paused", "ended" or "failed"."""
        run = self._run
        return run.state if run is not None else "empty"

    def yield_slot(self) -> None:
        """Give up the live slot of the live run if it is paused."""
        run = self._run
        if run is not None:
            run.run.call("yield_slot")

    def close(self) -> None:
        """Free everything."""
        self._closed = True
        self._end()
        recording, self._recording = self._recording, None
        if recording is not None:
            recording.run.discard()

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

    @property
    def recorded_run(self) -> LabRun | None:
        """The recorded comparison that is shown; None if there is none."""
        replay = self._replay
        return replay.run if replay is not None else None

    @property
    def live(self) -> LiveComparison | None:
        """The live comparison; None if none is shown."""
        return self._run

    @property
    def recording_name(self) -> str:
        """Name of the file to which the live comparison was recorded; "" if it was not."""
        recorded = self._recorded
        return str(recorded["name"]) if recorded else ""

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
            self._run.run.call("record")
            self._recording = self._run

    def _stop_recording(self) -> None:
        with self._lock:
            recording, self._recording = self._recording, None
            if recording is None:
                raise HermesError("No recording is in progress.")
            self._saving.append(recording)
        try:
            name, content = recording.run.call("finish_recording")
            with new_file(self._downloads, name) as path:
                path.write_bytes(content)
        except TraceWriteError:  # it can be saved again
            with self._lock:
                if self._recording is None and not self._closed:
                    self._recording = recording
                    self._saving.remove(recording)
                    raise
            self._forget(recording)
            raise
        except BaseException:
            self._forget(recording)
            raise
        self._forget(recording)
        if self._closed:  # the visitor left meanwhile, and its files are deleted
            shutil.rmtree(path.parent, ignore_errors=True)
            raise HermesError("This page was closed.")
        self._recorded = download_offer(path)

    def _forget(self, recording: LiveComparison) -> None:
        """Free a recording that was saved or cannot be saved."""
        try:
            recording.run.call("forget_recording")
        except HermesError:
            logger.debug("a recording could not be freed", exc_info=True)
        with self._lock:
            self._saving.remove(recording)
            ended = recording is not self._run
        if ended:
            recording.run.discard()

    # Messages to the browser -------------------------------------------------------------------------------------

    def poll(self, shown: int) -> dict[str, Any]:
        """Return the state of the run, with its picture if its number differs from `shown`, the one on the page."""
        message: dict[str, Any] = {"state": "empty", "answering": False, "asked": [], "lanes": [], "run": None}
        with self._lock:
            run, replay, recording = self._run, self._replay, self._recording
        more, jpeg = self._poll_live(run, shown) if run is not None else ({}, None)
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
        saving = {
            "recording": recording.recording_state() if recording is not None else None,
            "recorded": self._recorded,
        }
        return {"notice": self._notice, **saving, **message}

    def _poll_live(self, live: LiveComparison, shown: int) -> tuple[dict[str, Any], bytes | None]:
        """Return the payload of the live comparison and its picture; the last payload if its engine does not respond."""
        try:
            with self._lock:
                if live is not self._run:  # closed meanwhile
                    return {}, None
                found: tuple[dict[str, Any], bytes | None] = live.run.call("poll", shown)
                self._last = live, found[0]
                return found
        except HermesError as error:
            if live.run.lost:
                with self._lock:
                    self._run = None if self._run is live else self._run
                    self._recording = None if self._recording is live else self._recording
            self.notify(str(error))
            shown_of, last = self._last
            return (last if shown_of is live and not live.run.lost else {}), None
