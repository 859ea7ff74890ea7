"""The visitor's actions on a stream: sources, transport, questions and settings.

All methods are thread-safe. The engine's worker runs the model, one step at a time. `view` and `ask` never wait for it;
other actions wait for the current step at most.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hermes.analysis.token_history import ScoreRecord, TokenHistory, token_history_of
from hermes.serving.local_reader import LocalReader
from hermes.serving.scheduled_stream import Frame, ScheduledStream
from hermes.serving.stream_memory import open_session
from hermes.session.stream_session import StreamSession
from hermes.video import VideoSampler
from hermes.video.thumbnails import FramePictures
from hermes.view import StreamSettings


class LiveStream(ScheduledStream):
    """A stream controlled by a page. Created by `Engine.open`."""

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
        """Give up the live slot of a paused stream for others, unless it is busy. `resume` takes another one."""
        with self._lock.step() as acquired:  # does not wait for an action or a step: the caller serves all visitors
            if acquired and self._source.state == "paused":
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
            player, title = self._source.player, self._source.title
        if player is not None:
            self.play(player.path, title)
        else:
            self.camera()

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
        pieces = self._answers.begin(partial(self._start_answer, question, time.perf_counter()))
        self._reschedule()  # the engine may have stopped to schedule it since the check
        return pieces

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

    # Settings -----------------------------------------------------------------------------------------------------

    def change(self, settings: StreamSettings, sampler: VideoSampler | None = None) -> list[str]:
        """Change settings. Another model resets the memory; other settings apply from the next chunk or eviction.

        Args:
            settings: All settings, changed or not; a new model must be loaded already.
            sampler: For another model: a sampler that has opened the file that plays with the frame rate and size of
                `settings`. The stream closes it.

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
                return [self._change_model(settings, sampler)]
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

    def _change_model(self, settings: StreamSettings, sampler: VideoSampler | None) -> str:
        model = self._host.model(settings.model)
        open_session(model, settings)  # raises before anything is changed
        source, title = self._source, self._source.title
        filming = source.is_camera and source.state in ("playing", "paused")
        player = source.open(source.player.path, settings, sampler) if source.player is not None else None
        try:
            if player is not None or filming:
                self._host.enter(self)  # may raise, like the calls before, before anything is changed
            self._model, self.settings, source.chunk = model, settings, settings.chunk
            self._clear()
            if player is not None:
                source.use(player, title)
            elif filming:
                source.use_camera()
        except BaseException:
            if player is not None:
                player.stop()  # frees its decoder
            raise
        finally:
            self._free_slot()
        if player is None and sampler is not None:
            sampler.close()
        return f"A memory belongs to one model, so the stream restarts with {model.card.name}."

    # Display ----------------------------------------------------------------------------------------------------------

    def attach(self, make: Callable[[], Any]) -> LocalReader:
        """Create a reader of this stream, see `hermes.serving.interface.StreamReader`."""
        return LocalReader(self, make())

    @property
    def lost(self) -> bool:
        """See `hermes.serving.interface.StreamControl.lost`: never, the stream runs in this process."""
        return False

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
