"""A stream as the engine sees it: its source, memory and answer in progress, which the worker advances step by step."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt

from hermes.errors import HermesError
from hermes.out_of_memory import attempt, give_back, sentence_of
from hermes.serving.answers import Answers
from hermes.serving.roles import Host
from hermes.serving.scheduling import CONTENDED_CHUNK, Kind, Work
from hermes.serving.source import FrameSource
from hermes.serving.step_lock import StepLock
from hermes.serving.stream_memory import LiveMemory, open_session
from hermes.view import LiveView, StreamSettings

logger = logging.getLogger(__name__)

Frame = npt.NDArray[np.uint8]
FREED = "The memory of this stream was freed for other visitors. Start the stream again."


class ScheduledStream:
    """The state of a stream, and what the engine does with it; see `hermes.serving.roles.TurnTaker`.

    `hermes.serving.stream.LiveStream` adds the visitor's actions.
    """

    def __init__(self, host: Host, settings: StreamSettings) -> None:
        """Start without a source.

        Args:
            host: The engine.
            settings: Settings chosen by the visitor.

        Raises:
            HermesError: A setting is invalid, or the model is not loaded yet.
        """
        settings.check()
        self.settings = settings
        self._host = host
        self._wake = host.wake
        self._model = model = host.model(settings.model)
        self._lock = StepLock(host.wake)  # guards everything below
        self._memory = LiveMemory(open_session(model, settings))
        self._source = FrameSource(host.wake, settings.chunk, settings.gather)
        self._answers = Answers(host.wake)
        self._closed = False
        self._expelled = False  # the engine stopped scheduling it, see `fail`
        self._freed: LiveView | None = None  # the last view, if the engine freed the memory
        self._last_view: LiveView | None = None

    # Slot -------------------------------------------------------------------------------------------------------------

    def _require_open(self) -> None:
        """Check that the stream is open, and schedule it again if the engine has stopped to.

        Raises:
            HermesError: It was closed, or its memory was freed.
        """
        if self._closed:
            raise HermesError("This stream was closed." if self._freed is None else FREED)
        self._reschedule()

    def _reschedule(self) -> None:
        """Schedule the stream again if the engine has stopped to; see `fail`."""
        if self._expelled:
            self._expelled = False
            self._host.schedule(self)
            if self._closed:  # meanwhile
                self._host.forget(self)

    @contextmanager
    def _slot(self) -> Iterator[None]:
        """Take a live slot for the block. The stream keeps it unless its source has ended at the end of the block.

        Raises:
            HermesError: The stream was closed.
            BusyError: All live slots are taken.
        """
        self._require_open()
        self._host.enter(self)
        try:
            yield
        finally:
            self._free_slot()

    def _free_slot(self) -> None:
        """Free the live slot if the source has ended, or there is none."""
        if self._source.state in ("empty", "ended", "failed"):
            self._host.finish(self)

    def _clear(self) -> None:
        """Stop everything and continue with an empty memory."""
        empty = open_session(self._model, self.settings)  # may raise, before anything is changed
        attempt(partial(self._answers.finish, _nothing))
        self._source.clear()
        self._memory.reset(empty)

    # Steps of the worker ----------------------------------------------------------------------------------------------

    def work(self) -> Work:
        """See `hermes.serving.roles.TurnTaker.work`."""
        if self._closed:
            return Work()
        return Work(self._answers.busy, self._source.has_work or self._memory.wants_snapshot)

    def step(self, kind: Kind, *, contended: bool) -> bool:
        """See `hermes.serving.roles.TurnTaker.step`: a step of the answer, or a chunk of frames."""
        with self._lock.step() as acquired:
            if not acquired:
                return False
            if self._closed:
                return True
            try:
                if kind == "frames":
                    self._ingest(contended=contended)
                elif not self._answers.decode():
                    self._finish_answer()
            except BaseException as error:  # noqa: BLE001 - the worker must continue after any exception
                self._fail(error, answering=kind == "answer")
            return True

    def _ingest(self, *, contended: bool) -> None:
        if self._push(
            self._source.take(min(CONTENDED_CHUNK, self.settings.chunk) if contended else self.settings.chunk)
        ):
            return
        # The view that reports the end must show the whole stream.
        self._memory.publish(force=self._source.ends or self._source.skipped_to)
        self._source.note_end()
        self._free_slot()

    def _push(self, batch: list[tuple[Frame, float]]) -> bool:
        """Push frames into the memory; returns whether there were any."""
        if batch:
            self._memory.push(batch)
            self._memory.publish(force=False)
            self._source.speed = self._memory.ingest_fps
        return bool(batch)

    def fail(self, error: BaseException) -> None:
        """See `hermes.serving.roles.TurnTaker.fail`."""
        self._expelled = True
        sentence = sentence_of(error)
        attempt(
            lambda: self._source.fail(sentence),
            lambda: self._answers.fail(sentence_of(error, answering=True)),
        )

    def _fail(self, error: BaseException, *, answering: bool) -> None:
        """Fail the answer or the source; never raises.

        An answer reads a branch of the memory, so frames continue if an answer fails, and an answer continues if the frames
        fail.
        """
        sentence = sentence_of(error, answering=answering)
        error.__traceback__ = None  # its frames hold large tensors
        if answering:
            attempt(lambda: self._answers.fail(error if isinstance(error, HermesError) else sentence))
        else:
            attempt(lambda: self._source.fail(sentence), self._free_slot)
        attempt(give_back, lambda: self._memory.publish(force=True))

    @property
    def memory_bytes(self) -> int:
        """See `hermes.serving.roles.TurnTaker.memory_bytes`."""
        snapshot = self._memory.snapshot
        return snapshot.cache_bytes + snapshot.archive_bytes + snapshot.state_bytes if snapshot is not None else 0

    @property
    def freed(self) -> bool:
        """Whether the memory was freed for other visitors."""
        return self._freed is not None

    def discard(self) -> None:
        """See `hermes.serving.roles.TurnTaker.discard`. The last view stays, with an error message."""
        with self._lock.step() as acquired:  # the worker never waits for an action; it tries again
            if not acquired or self._closed or self._host.is_live(self) or self._answers.busy:
                return
            self._freed = replace(self.view(), state="ended", error=FREED)
            self.close()

    def close(self) -> None:
        """Free the memory. The stream cannot be used afterwards."""
        self._closed = True
        self._answers.abandon()  # before taking the lock: the consumer must not wait for a step
        self._host.forget(self)
        attempt(self._source.end)
        with self._lock:
            attempt(partial(self._answers.finish, _nothing), self._source.clear, self._memory.close)
        self._host.forget(self)  # again: an action in progress may have taken a slot

    def _finish_answer(self) -> None:
        # Publish before the end is signalled, so that the next view contains the answer's trace.
        self._answers.finish(lambda: self._memory.publish(force=True))

    # State for display ------------------------------------------------------------------------------------------------

    def view(self) -> LiveView:
        """Return the state of the stream after the last step. Never waits for the model and never raises."""
        if self._freed is not None:
            return self._freed
        try:
            view = self._view()
        except Exception:
            if self._last_view is None:
                raise
            logger.exception("creating a view failed; the last one is shown")
            return self._last_view
        self._last_view = view
        return view

    def status(self) -> LiveView:
        """Return the state of the stream without memory and picture. Never waits for the model and never raises."""
        return replace(self.view(), snapshot=None, frame_jpeg=None)

    def _view(self) -> LiveView:
        memory = self._memory
        if memory.note_view():
            self._wake()
        snapshot = memory.snapshot
        clock = snapshot.seconds if snapshot is not None else float("nan")
        source = self._source.status(clock)
        return LiveView(
            state=source.state,
            source=source.title,
            clock=clock,
            duration=source.duration,
            behind=source.behind,
            frame_jpeg=memory.frame_jpeg(),
            frame_index=memory.frame_index,
            snapshot=snapshot,
            dropped=source.dropped,
            skipped=source.skipped,
            ingest_fps=memory.ingest_fps,
            first_token_ms=memory.first_token_ms,
            answering=self._answers.busy,
            error=source.error,
            notes=(*source.notes, *memory.session.notes),
            recognised=memory.recognised,
        )


def _nothing() -> None:
    """No action."""
