"""The engine: one worker thread runs the models for the streams of all visitors, one step at a time.

A step is a chunk of frames, the start of an answer, or one of its tokens. `hermes.serving.scheduling` chooses the next
step. A fault in a step, in `work` or in an error handler ends that stream; the worker and the other streams continue.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hermes.errors import HermesError
from hermes.importing import IMPORTING
from hermes.out_of_memory import attempt, report
from hermes.serving.local_reader import LocalObject
from hermes.serving.model_info import ModelInfo
from hermes.serving.roles import TurnTaker
from hermes.serving.scheduling import Choice, Scheduler, Work
from hermes.serving.slots import BusyError, Slots
from hermes.view import LiveView, StreamSettings

if TYPE_CHECKING:
    from hermes.backbones.base import Backbone
    from hermes.backbones.downloads import Confirm, Progress
    from hermes.memory.encoded import Layout
    from hermes.serving.stream import LiveStream

__all__ = ["BusyError", "Engine", "LiveView", "StreamSettings"]

logger = logging.getLogger(__name__)

IDLE_SECONDS = 0.5
"""Longest time in seconds until the worker polls for work, in case a wake-up is lost."""


class Engine:
    """Loads models once, shares them, and runs the streams that use them."""

    def __init__(
        self,
        max_streams: int = 16,
        loader: Callable[[str, Progress | None], Backbone] | None = None,
        max_pixels: int | None = None,
    ) -> None:
        """Start the worker.

        Args:
            max_streams: Maximum number of live streams; see `hermes.serving.slots`.
            loader: Loads a model by name; None: `hermes.load`.
            max_pixels: Largest number of pixels of a frame in a model, see `Backbone.limit_pixels`; None: the model's own.
        """
        self._loader = loader
        self._max_pixels = max_pixels
        self._models: dict[str, Backbone] = {}
        self._infos: dict[str, ModelInfo] = {}
        self._rates: dict[tuple[str, tuple[int, ...]], float] = {}
        self._loading = threading.Lock()
        self._measuring = threading.Lock()
        self._streams: list[TurnTaker] = []
        self._slots: Slots[TurnTaker] = Slots(max_streams)
        self._guard = threading.Lock()  # guards `_streams`, `_slots` and `_closed`; never held during a step
        self._on_free: Callable[[], None] = _nothing
        self._news = threading.Event()
        self._scheduler: Scheduler[TurnTaker] = Scheduler()
        self._closed = False
        self._worker = threading.Thread(target=self._run, name="engine", daemon=True)
        self._worker.start()

    # Models -------------------------------------------------------------------------------------------------------

    def load(self, name: str, progress: Progress | None = None, confirm: Confirm | None = None) -> ModelInfo:
        """Load a model if it is not loaded yet. Streams of other models continue meanwhile.

        Args:
            name: "pocket", a folder or a hub id.
            progress: Called with a description of the current step and the progress, 0 to 1.
            confirm: Called before a large download; None: download without asking.

        Raises:
            ConsentError: `confirm` returned False.
            ModelError: The model cannot be loaded; other models stay loaded.
            HermesError: The frame size of this engine is not one of the model.
        """
        with self._loading:
            if name not in self._models:
                model = self._read(name, progress, confirm)
                if self._max_pixels is not None:
                    model.limit_pixels(self._max_pixels)
                self._infos[name] = ModelInfo.of(name, model)  # now, since ZeroGPU moves the weights away later
                self._models[name] = model
            if progress:
                progress(f"{name} is ready", 1.0)
            return self._infos[name]

    def _read(self, name: str, progress: Progress | None, confirm: Confirm | None) -> Backbone:
        if progress:
            progress(f"Importing libraries for {name}", 0.0)
        if self._loader is not None:
            return self._loader(name, progress)
        with IMPORTING:
            from hermes.backbones.load import load  # noqa: PLC0415 - loads torch

        return load(name, progress=progress, confirm=confirm)

    def models(self) -> list[ModelInfo]:
        """The models loaded so far."""
        return list(self._infos.values())

    # Streams ------------------------------------------------------------------------------------------------------

    def open(self, settings: StreamSettings, replacing: LiveStream | None = None) -> LiveStream:
        """Open a stream for a visitor. It holds a live slot until its source has ended.

        Args:
            settings: Settings of the stream.
            replacing: A stream of the same visitor, whose slot the new stream takes over if it holds one.

        Raises:
            BusyError: All live slots are taken.
            HermesError: A setting is invalid, or the model is not loaded yet.
        """
        with self._guard:  # fail early, before allocating memory; `enter` checks again
            self._require_running()
            if replacing is None or not self._slots.holds(replacing):
                self._slots.require_room()
        with IMPORTING:
            from hermes.serving.stream import LiveStream  # noqa: PLC0415 - loads torch

        stream = LiveStream(self, settings)
        try:
            self.enter(stream, replacing)
        except HermesError:
            stream.close()
            raise
        return stream

    def check(self, settings: StreamSettings) -> None:
        """Check whether a stream could be opened with these settings; the model must be loaded.

        Raises:
            HermesError: A setting does not fit the model, or the model is not loaded yet.
        """
        with IMPORTING:
            from hermes.serving.stream_memory import open_session  # noqa: PLC0415 - loads torch

        settings.check()
        open_session(self.model(settings.model), settings).close()

    def layout(self, model: str, height: int, width: int) -> Layout:
        """Return the token layout of a model for frames of `height` x `width` pixels.

        Raises:
            HermesError: The model is not loaded yet.
        """
        return self.model(model).layout(height, width)

    def achievable_fps(self, settings: StreamSettings) -> float | None:
        """Estimate how many frames per second a new stream can process, from a short measurement.

        The measurement uses grey frames of 4:3 with the longest side that the settings allow, so it opens no file and is
        pessimistic for smaller frames. The result is kept for the model and the size to which it resizes frames.

        Args:
            settings: Settings of the stream; the model must be loaded.

        Returns:
            Frames per second; None if it cannot be measured, because the settings do not fit.

        Raises:
            HermesError: The model is not loaded.
        """
        model = self.model(settings.model)
        size = (max(1, settings.max_side * 3 // 4), settings.max_side)
        key = settings.model, model.layout(*size).pixels
        if (known := self._rates.get(key)) is not None:
            return known  # without waiting for the measurement of another model
        with self._measuring:
            if key not in self._rates:
                rate = self._measure(model, settings, size)
                if rate is None:
                    return None
                self._rates[key] = rate
        return self._rates[key]

    def _measure(self, model: Backbone, settings: StreamSettings, size: tuple[int, int]) -> float | None:
        """Measure the frame rate between the steps of the streams. It needs no slot: its memory is freed immediately."""
        with IMPORTING:
            from hermes.serving.rate import RateProbe  # noqa: PLC0415 - loads torch

        probe = RateProbe(model, settings, size)
        with self._guard:
            self._require_running()
            self._streams.append(probe)
        self._news.set()
        try:
            return probe.wait()
        finally:
            self.forget(probe)

    def enter(self, stream: TurnTaker, replacing: TurnTaker | None = None) -> None:
        """Schedule a stream until `forget` is called, and give it a live slot until `finish` is called.

        Args:
            stream: The stream. Nothing changes if it holds a slot.
            replacing: A stream whose slot it takes over if it holds one.

        Raises:
            BusyError: All live slots are taken.
            HermesError: The engine was closed.
        """
        with self._guard:
            self._require_running()
            self._slots.take(stream, replacing)
            if stream not in self._streams:
                self._streams.append(stream)
        self._news.set()

    def schedule(self, stream: TurnTaker) -> None:
        """Schedule a stream that has ended, so that it answers questions. It needs no live slot.

        Raises:
            HermesError: The engine was closed.
        """
        with self._guard:
            self._require_running()
            self._slots.keep(stream)
            if stream not in self._streams:
                self._streams.append(stream)
        self._news.set()

    def finish(self, stream: TurnTaker) -> None:
        """Free the live slot of a stream that has ended. Its memory stays while there is room; see `slots`."""
        with self._guard:
            freed = self._slots.finish(stream)
        if freed:
            self._news.set()
            self._on_free()

    def is_live(self, stream: TurnTaker) -> bool:
        """Return whether a stream holds a live slot."""
        return self._slots.holds(stream)

    def place(self, make: Callable[[Engine], Any], model: str, replacing: object = None) -> LocalObject:  # noqa: ARG002
        """Create an object that uses this engine; see `hermes.serving.interface.StreamEngine.place`.

        Raises:
            HermesError: The model is not loaded, or from `make`.
        """
        self.model(model)
        return LocalObject(make(self))

    @property
    def free_slots(self) -> int:
        """Number of free live slots."""
        return self._slots.free

    def on_free(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever a live slot becomes free. It runs in any thread and must return immediately."""
        self._on_free = listener

    def _require_running(self) -> None:
        if self._closed:
            raise HermesError("This server is shutting down.")

    def model(self, name: str) -> Backbone:
        """Return a loaded model by the name under which it was requested.

        Raises:
            HermesError: The model is not loaded yet.
        """
        if name not in self._models:
            raise HermesError(f"The model “{name}” is not loaded yet; please wait a moment.")
        return self._models[name]

    def wake(self) -> None:
        """Notify the worker that there may be work."""
        self._news.set()

    def forget(self, stream: TurnTaker) -> None:
        """Stop scheduling a stream that was closed, and free its slot."""
        with self._guard:
            if stream in self._streams:
                self._streams.remove(stream)
            freed = self._slots.remove(stream)
        self._news.set()
        if freed:
            self._on_free()

    # The worker ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        known: set[TurnTaker] = set()
        while not self._closed:
            try:
                known = self._turn(known)
            except BaseException as error:  # noqa: BLE001 - the worker serves all streams: nothing may end it
                report("the worker continues after", error)

    def _turn(self, known: set[TurnTaker]) -> set[TurnTaker]:
        """Run the next step, or wait for work; returns the streams known to the scheduler."""
        self._news.clear()
        with self._guard:
            streams = list(self._streams)
            surplus = self._slots.surplus(_size_of)
        for stream in surplus:
            attempt(stream.discard)
        for ended in known.difference(streams):
            self._scheduler.forget(ended)
        waiting = {stream: work for stream in streams if (work := self._work_of(stream))}
        while (choice := self._scheduler.choose(waiting)) is not None:
            began = time.perf_counter()
            if self._step(choice):
                self._scheduler.charge(choice, time.perf_counter() - began)
                return set(streams)
            del waiting[choice.key]  # an action of this visitor is in progress: serve other streams first
        self._news.wait(IDLE_SECONDS)
        return set(streams)

    def _work_of(self, stream: TurnTaker) -> Work:
        try:
            return stream.work()
        except BaseException as error:  # noqa: BLE001 - see `_run`
            self._expel(stream, error)
            return Work()

    def _step(self, choice: Choice[TurnTaker]) -> bool:
        try:
            return choice.key.step(choice.kind, contended=choice.contended)
        except BaseException as error:  # noqa: BLE001 - see `_run`
            self._expel(choice.key, error)
            return True

    def _expel(self, stream: TurnTaker, error: BaseException) -> None:
        """Stop scheduling a stream whose own error handling failed."""
        attempt(lambda: self.forget(stream), lambda: stream.fail(error))

    def close(self) -> None:
        """Close all streams and end the worker."""
        with self._guard:
            self._closed = True
            streams = list(self._streams)
        self._news.set()
        self._worker.join(timeout=10)
        attempt(*(stream.close for stream in streams))
        self._models.clear()
        self._infos.clear()
        self._rates.clear()


def _nothing() -> None:
    """No action."""


def _size_of(stream: TurnTaker) -> int:
    return stream.memory_bytes
