"""One visitor's stream: a source, a memory and the answer in progress.

All methods are thread-safe. The engine's worker runs the model, one step at a time. `view` and `ask` never wait for it;
other actions wait for the current step at most.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from hermes.analysis.token_history import ScoreRecord, TokenHistory, token_history_of
from hermes.backbones.base import Backbone
from hermes.errors import HermesError
from hermes.out_of_memory import attempt, give_back, sentence_of
from hermes.serving.answers import Answers
from hermes.serving.scheduling import Kind, Work
from hermes.serving.source import FrameSource
from hermes.serving.step_lock import StepLock
from hermes.serving.stream_memory import LiveMemory, open_session
from hermes.session.stream_session import StreamSession
from hermes.video import VideoSampler
from hermes.video.thumbnails import FramePictures
from hermes.view import LiveView, StreamSettings

logger = logging.getLogger(__name__)

Frame = npt.NDArray[np.uint8]
FREED = "The memory of this stream was freed for other visitors. Start the stream again."
CONTENDED_CHUNK = 4
"""Maximum number of frames per step while an answer of any visitor waits, to keep the delay short."""


class Host(Protocol):
    """The interface of the engine that a stream uses."""

    def wake(self) -> None:
        """Notify the worker that there may be work."""

    def model(self, name: str) -> Backbone:
        """Return a loaded model; raises HermesError if it is not loaded."""

    def enter(self, stream: Any) -> None:
        """Schedule a stream and give it a live slot; raises BusyError if all are taken."""

    def schedule(self, stream: Any) -> None:
        """Schedule a stream that has ended, without a live slot."""

    def finish(self, stream: Any) -> None:
        """Free the live slot of a stream whose source has ended."""

    def is_live(self, stream: Any) -> bool:
        """Return whether a stream holds a live slot."""

    def forget(self, stream: Any) -> None:
        """Stop scheduling a stream that was closed."""


class LiveStream:
    """A stream controlled by a page. Created by `Engine.open`."""

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

    # Sources ------------------------------------------------------------------------------------------------------

    def play(self, path: str | Path, title: str = "", sampler: VideoSampler | None = None) -> None:
        """Play a video file from its start with an empty memory.

        Args:
            path: The file.
            title: Title to display; "" for its name.
            sampler: A sampler that has opened the file with the frame rate and size of the settings; the stream closes it.

        Raises:
            VideoError: The file cannot be played; the stream is unchanged.
            BusyError: All live slots are taken; the stream is unchanged.
        """
        player = self._source.open(path, self.settings, sampler)
        try:
            with self._lock, self._slot():
                self._clear()
                self._source.use(player, title or Path(path).name)
        except BaseException:
            player.stop()  # frees its decoder
            raise

    def camera(self) -> None:
        """Accept camera frames from `offer` with an empty memory.

        Raises:
            BusyError: All live slots are taken.
        """
        with self._lock, self._slot():
            self._clear()
            self._source.use_camera()

    def restore(
        self,
        session: str | Path,
        title: str = "",
        path: str | Path | None = None,
        pictures: FramePictures | None = None,
    ) -> None:
        """Continue a saved session: paused at its newest frame, or ended if there is no video file.

        Args:
            session: The session file.
            title: Title of the source to display.
            path: The video file of the session; it continues after the session's newest frame.
            pictures: The pictures that `save` returned.

        Raises:
            HermesError: The session cannot be read, or belongs to another model; the stream is unchanged.
            VideoError: The file cannot be played; the stream is unchanged.
            BusyError: All live slots are taken; the stream is unchanged.
        """
        restored = StreamSession.load(session, self._model)
        player = self._source.open(path, self.settings) if path is not None else None
        try:
            with self._lock, self._slot():
                self._clear()
                self._memory.reset(restored, pictures)
                if player is None:
                    self._source.use_nothing(title)
                    return
                player.begin_after = restored.seconds
                player.pause()
                self._source.use(player, title or Path(player.path).name)
                self._source.pause()
        except BaseException:
            if player is not None:
                player.stop()  # frees its decoder
            raise

    def offer(self, frame: Frame, seconds: float | None = None) -> None:
        """Offer a camera frame; it is encoded together with those of the next `StreamSettings.gather` seconds.

        If more frames wait than the model can encode in that time, the oldest is dropped.

        Args:
            frame: uint8 [H, W, 3] RGB.
            seconds: Stream time of the frame in seconds; None: now.
        """
        self._source.offer(frame, seconds)

    def put(self, frames: Sequence[Frame], seconds: Sequence[float] | None, timeout: float) -> None:
        """Add camera frames that are encoded together, and wait for room instead of dropping frames.

        Args:
            frames: At most `StreamSettings.chunk` frames, uint8 [H, W, 3] RGB.
            seconds: Stream time of each frame in seconds, in ascending order; None: now.
            timeout: Longest wait, in seconds.

        Raises:
            HermesError: The stream does not accept frames, the times are invalid, or there was no room in time.
        """
        self._source.put(frames, seconds, timeout)

    def pause(self) -> None:
        """Stop the clock; questions can still be asked."""
        with self._lock:
            self._source.pause()

    def resume(self) -> None:
        """Restart the clock after `pause`; a camera's clock excludes the pause.

        Raises:
            BusyError: The stream has given up its live slot, and all are taken.
        """
        with self._lock:
            if self._source.state == "paused":
                with self._slot():
                    self._source.resume(self._memory.session.seconds)

    def yield_slot(self) -> None:
        """Give up the live slot of a paused stream for others. `resume` takes another one."""
        with self._lock:
            if self._source.state == "paused":
                self._host.finish(self)

    def skip_to(self, seconds: float) -> None:
        """Process the file as fast as the model allows up to a stream time in seconds, then pause.

        Has no effect on a camera, or on a file that does not play. `resume` continues at the usual speed.
        """
        with self._lock:
            self._source.skip_to(seconds)

    def stop(self) -> None:
        """End the source; the memory stays, and questions can still be asked."""
        with self._lock:
            self._source.stop()
            self._free_slot()

    def restart(self) -> None:
        """Play the same source from its start with an empty memory.

        Raises:
            HermesError: There is no source yet.
        """
        with self._lock:
            self._source.require()
            if self._source.player:
                self.play(self._source.player.path, self._source.title)
            else:
                self.camera()

    def _require_open(self) -> None:
        """Check that the stream is open, and schedule it again if the engine has stopped to.

        Raises:
            HermesError: It was closed, or its memory was freed.
        """
        if self._closed:
            raise HermesError("This stream was closed." if self._freed is None else FREED)
        if self._expelled:
            self._host.schedule(self)
            self._expelled = False

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
        """Free the live slot if the source has ended."""
        if self._source.state in ("ended", "failed"):
            self._host.finish(self)

    def _clear(self) -> None:
        """Stop everything and continue with an empty memory."""
        empty = open_session(self._model, self.settings)  # may raise, before anything is changed
        attempt(partial(self._answers.finish, _nothing))
        self._source.clear()
        self._memory.reset(empty)

    # Questions ----------------------------------------------------------------------------------------------------

    def ask(self, question: str) -> Iterator[str]:
        """Ask a question while frames are processed. Works in every state, also after the stream has ended or failed.

        Returns:
            Blocking iterator over the pieces of the answer. It raises HermesError if the question is too long
            (QuestionError) or the model fails on it.

        Raises:
            QuestionError: The question is invalid, no frame was seen yet, or another answer is in progress.
            HermesError: The stream was closed.
        """
        self._require_open()
        self._memory.session.check_question(question, frames_follow=self._source.is_camera)
        return self._answers.begin(partial(self._start_answer, question, time.perf_counter()))

    def _start_answer(self, question: str, asked: float) -> Iterator[str]:
        """Encode the camera frames that still wait, so that the answer sees them, and start it."""
        if self._source.is_camera:
            try:
                self._push(self._source.take(self.settings.chunk, now=True))
            except BaseException as error:  # noqa: BLE001 - the question can be answered without these frames
                self._fail(error, answering=False)
        return self._memory.session.ask(question, asked=asked)

    def stop_answer(self) -> None:
        """Stop the answer in progress and keep its text so far."""
        self._answers.stop()

    def _finish_answer(self) -> None:
        # Publish before the end is signalled, so that the next view contains the answer's trace.
        self._answers.finish(lambda: self._memory.publish(force=True))

    # Settings -----------------------------------------------------------------------------------------------------

    def change(self, settings: StreamSettings) -> list[str]:
        """Change settings. Another model resets the memory; other settings apply from the next chunk or eviction.

        Args:
            settings: All settings, changed or not; a new model must be loaded already.

        Returns:
            Messages for the user, as sentences.

        Raises:
            HermesError: A setting is invalid; nothing was changed.
        """
        settings.check()
        with self._lock:
            old, source = self.settings, self._source
            messages: list[str] = []
            if settings.model != old.model:
                return [self._change_model(settings)]
            if (settings.policy, settings.budget, settings.guidance) != (old.policy, old.budget, old.guidance):
                messages.append("Policy and budget apply from the next chunk on. Evicted tokens are not restored.")
            elif settings.changed != old.changed:
                messages.append("The change applies at the next eviction. Evicted tokens are not restored.")
            if messages:
                self._memory.session.configure(
                    settings.policy, settings.budget, dict(settings.changed), guidance=settings.guidance
                )
            self._memory.session.chunk = source.chunk = settings.chunk
            source.gather = settings.gather
            if settings.speed != old.speed and source.player:
                source.set_speed(settings.speed)
            if source.player and source.state in ("playing", "paused"):
                if settings.fps != old.fps:
                    messages.append("The new frame rate applies when the clip is restarted.")
                if settings.max_side != old.max_side:
                    messages.append("The new frame size applies when the clip is restarted.")
            self.settings = settings
            self._memory.publish(force=True)
            return messages

    def _change_model(self, settings: StreamSettings) -> str:
        model = self._host.model(settings.model)
        open_session(model, settings)  # raises before anything is changed
        player, title = self._source.player, self._source.title
        if player is not None:
            self._host.enter(self)  # may raise, before anything is changed
        self._model, self.settings, self._source.chunk = model, settings, settings.chunk
        self._clear()
        if player is not None:
            self.play(player.path, title)
        return f"A memory belongs to one model, so the stream restarts with {model.card.name}."

    # Display ------------------------------------------------------------------------------------------------------

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
        )

    @property
    def file_fps(self) -> float | None:
        """Mean frame rate of the file in frames per second; None if it is unknown, or for a camera."""
        player = self._source.player
        return player.info.fps if player else None

    def thumbnails(self, frames: Sequence[int]) -> dict[int, bytes]:
        """Return JPEG thumbnails of frames by number, without those that are no longer stored."""
        return self._memory.thumbnails.get(frames)

    @property
    def scores(self) -> tuple[ScoreRecord, ...]:
        """Score records of all evictions so far, oldest first."""
        return self._memory.session.token_history.records

    def token_history(self, frame: int) -> TokenHistory:
        """Return the token history of a frame, by its number."""
        return token_history_of(self.scores, frame)

    def save(self, path: str | Path) -> FramePictures:
        """Save the session to a file, between two steps, and return its pictures, which the file does not contain.

        Raises:
            HermesError: The session cannot be saved.
        """
        with self._lock:
            self._require_open()
            self._memory.session.save(path)
            return self._memory.pictures()

    # The worker's side --------------------------------------------------------------------------------------------

    def work(self) -> Work:
        """See `hermes.serving.engine.TurnTaker.work`."""
        if self._closed:
            return Work()
        return Work(self._answers.busy, self._source.has_work or self._memory.wants_snapshot)

    def step(self, kind: Kind, *, contended: bool) -> bool:
        """See `hermes.serving.engine.TurnTaker.step`: a step of the answer, or a chunk of frames."""
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
        """See `hermes.serving.engine.TurnTaker.fail`."""
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
        """See `hermes.serving.engine.TurnTaker.memory_bytes`."""
        snapshot = self._memory.snapshot
        return snapshot.cache_bytes + snapshot.archive_bytes + snapshot.state_bytes if snapshot is not None else 0

    @property
    def freed(self) -> bool:
        """Whether the memory was freed for other visitors."""
        return self._freed is not None

    def discard(self) -> None:
        """See `hermes.serving.engine.TurnTaker.discard`. The last view stays, with an error message."""
        with self._lock:
            if self._closed or self._host.is_live(self) or self._answers.busy:
                return
            self._freed = replace(self.view(), state="ended", error=FREED)
            self._closed = True
        self.close()

    def close(self) -> None:
        """Free the memory. The stream cannot be used afterwards."""
        self._closed = True
        self._answers.abandon()  # before taking the lock: the consumer must not wait for a step
        self._host.forget(self)
        attempt(self._source.end)
        with self._lock:
            attempt(partial(self._answers.finish, _nothing), self._source.clear, self._memory.close)


def _nothing() -> None:
    """No action."""
