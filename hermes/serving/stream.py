"""One visitor's stream, as a page drives it: a source, a memory, an answer in progress.

Every method may be called by any thread. The engine's worker does all of the model's work, one step at a time. `view` and
`ask` never wait for it; other actions wait for the step in progress, at most.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
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
from hermes.view import LiveView, StreamSettings

logger = logging.getLogger(__name__)

Frame = npt.NDArray[np.uint8]
CONTENDED_CHUNK = 4
"""Most frames per step while any visitor's answer waits, so that it does not wait long."""


class Host(Protocol):
    """What a stream needs of the engine it lives in."""

    def wake(self) -> None:
        """Tell the worker that there may be something to do."""

    def model(self, name: str) -> Backbone:
        """A loaded model; raises HermesError if it is not loaded."""

    def forget(self, stream: Any) -> None:
        """Stop scheduling a stream that was closed."""


class LiveStream:
    """A stream that a page drives. Made by `Engine.open`."""

    def __init__(self, host: Host, settings: StreamSettings) -> None:
        """Begin without a source.

        Args:
            host: The engine that does the work.
            settings: What the visitor chose.

        Raises:
            HermesError: A setting does not fit, or the model is not loaded yet.
        """
        settings.check()
        self.settings = settings
        self._host = host
        self._wake = host.wake
        self._model = model = host.model(settings.model)
        self._lock = StepLock(host.wake)  # guards everything below
        self._memory = LiveMemory(open_session(model, settings))
        self._source = FrameSource(host.wake, settings.chunk)
        self._answers = Answers(host.wake)
        self._closed = False
        self._last_view: LiveView | None = None

    # Sources ------------------------------------------------------------------------------------------------------

    def play(self, path: str | Path, title: str = "") -> None:
        """Play a video file from its start, into an empty memory.

        Raises:
            VideoError: The file cannot be played; the stream goes on as it was.
        """
        player = self._source.open(path, self.settings)
        with self._lock:
            self._require_open()
            self._clear()
            self._source.use(player, title or Path(path).name)

    def camera(self) -> None:
        """Take camera frames from `offer`, into an empty memory."""
        with self._lock:
            self._require_open()
            self._clear()
            self._source.use_camera()

    def restore(self, session: str | Path, title: str = "", path: str | Path | None = None) -> None:
        """Continue with a session that `save` wrote: paused at its newest frame, or ended where there is no source.

        Args:
            session: The session file.
            title: The source's name for people.
            path: The video file that the session has seen; it is played from the session's newest frame on.

        Raises:
            HermesError: The session cannot be read, or is another model's; the stream continues as it was.
            VideoError: The file cannot be played; the stream continues as it was.
        """
        restored = StreamSession.load(session, self._model)
        player = self._source.open(path, self.settings) if path is not None else None
        with self._lock:
            self._require_open()
            self._clear()
            self._memory.begin_again(restored)
            if player is None:
                self._source.use_nothing(title)
                return
            player.begin_after = restored.seconds
            player.pause()
            self._source.use(player, title or Path(player.path).name)
            self._source.pause()

    def offer(self, frame: Frame, seconds: float | None = None) -> None:
        """Hand over a camera frame; if the model has not taken the last one, the newer wins and the older is dropped.

        Args:
            frame: uint8 [H, W, 3] RGB.
            seconds: Its time on the stream's clock; None: now.
        """
        self._source.offer(frame, seconds)

    def pause(self) -> None:
        """Let the clock stand still; one can still ask."""
        with self._lock:
            self._source.pause()

    def resume(self) -> None:
        """Let the clock go on after `pause`; a camera's clock leaves the pause out."""
        with self._lock:
            self._source.resume(self._memory.session.seconds)

    def stop(self) -> None:
        """End the source; the memory stays, and questions can still be asked."""
        with self._lock:
            self._source.stop()

    def restart(self) -> None:
        """The same source from its start, into an empty memory.

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
        if self._closed:
            raise HermesError("This stream was closed.")

    def _clear(self) -> None:
        """Stop everything and continue with an empty memory."""
        empty = open_session(self._model, self.settings)  # may raise, before anything is changed
        attempt(partial(self._answers.finish, _nothing))
        self._source.clear()
        self._memory.begin_again(empty)

    # Questions ----------------------------------------------------------------------------------------------------

    def ask(self, question: str) -> Iterator[str]:
        """Ask; pieces come while further frames are processed. Works in every state, also after the stream failed or ended.

        Returns:
            Pieces of the answer; the calling thread waits between them. Iterating raises HermesError where the question
            cannot be answered: it is too long (QuestionError), or the model failed on it.

        Raises:
            QuestionError: Empty, before the first frame, or another answer is in progress.
        """
        self._memory.session.check_question(question)
        return self._answers.begin(partial(self._start_answer, question, time.perf_counter()))

    def _start_answer(self, question: str, asked: float) -> Iterator[str]:
        return self._memory.session.ask(question, asked=asked)

    def stop_answer(self) -> None:
        """Stop the answer in progress; the text so far stays."""
        self._answers.stop()

    def _finish_answer(self) -> None:
        # Published before the end is signalled, so that the consumer finds the answer's trace in the next view.
        self._answers.finish(lambda: self._memory.publish(force=True))

    # Settings -----------------------------------------------------------------------------------------------------

    def change(self, settings: StreamSettings) -> list[str]:
        """Change settings; what can be applied from the next chunk on keeps the memory.

        Args:
            settings: All settings, changed or not; another model must have been loaded before.

        Returns:
            What happened, as sentences.

        Raises:
            HermesError: A setting does not fit; nothing was changed.
        """
        settings.check()
        with self._lock:
            old, source, said = self.settings, self._source, []
            if settings.model != old.model:
                return [self._change_model(settings)]
            if (settings.policy, settings.budget, settings.guidance) != (old.policy, old.budget, old.guidance):
                said.append("Policy and budget apply from the next chunk on; what is forgotten stays forgotten.")
            elif settings.changed != old.changed:
                said.append("The change applies at the next eviction; what is forgotten stays forgotten.")
            if said:
                self._memory.session.configure(
                    settings.policy, settings.budget, dict(settings.changed), guidance=settings.guidance
                )
            self._memory.session.chunk = source.chunk = settings.chunk
            if settings.speed != old.speed and source.player:
                source.player.speed = settings.speed
            if settings.fps != old.fps and source.player and source.state in ("playing", "paused"):
                said.append("The new frame rate applies when the clip is restarted.")
            self.settings = settings
            self._memory.publish(force=True)
            return said

    def _change_model(self, settings: StreamSettings) -> str:
        model = self._host.model(settings.model)
        open_session(model, settings)  # raises before anything is changed
        self._model, self.settings, self._source.chunk = model, settings, settings.chunk
        player, title = self._source.player, self._source.title
        self._clear()
        if player is not None:
            self.play(player.path, title)
        return f"Another model cannot read this memory: the stream begins again with {model.card.name}."

    # What a page shows --------------------------------------------------------------------------------------------

    def view(self) -> LiveView:
        """The state of the stream as of the last step. Never waits for the model and never raises."""
        try:
            view = self._view()
        except Exception:
            if self._last_view is None:
                raise
            logger.exception("a view could not be made; the last one is shown")
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
            notes=source.notes,
        )

    @property
    def file_fps(self) -> float | None:
        """Mean frames per second of the file that is played; None for a camera, or where that is unknown."""
        player = self._source.player
        return player.info.fps if player else None

    def thumbnails(self, frames: Sequence[int]) -> dict[int, bytes]:
        """JPEG thumbnails of frames by number; those not kept any more are left out."""
        return self._memory.thumbnails.get(frames)

    @property
    def scores(self) -> tuple[ScoreRecord, ...]:
        """Score records of all evictions so far, oldest first."""
        return self._memory.session.token_history.records

    def token_history(self, frame: int) -> TokenHistory:
        """Return the token history of a frame, by its number."""
        return token_history_of(self.scores, frame)

    def save(self, path: str | Path) -> None:
        """Write the session to a file, between two steps."""
        with self._lock:
            self._memory.session.save(path)

    # The worker's side --------------------------------------------------------------------------------------------

    def work(self) -> Work:
        """See `hermes.serving.engine.TurnTaker.work`."""
        if self._closed:
            return Work()
        return Work(self._answers.busy, self._source.has_work or self._memory.wants_snapshot)

    def step(self, kind: Kind, *, contended: bool) -> bool:
        """See `hermes.serving.engine.TurnTaker.step`: a step of the answer, or a chunk of frames."""
        with self._lock.step() as mine:
            if not mine:
                return False
            if self._closed:
                return True
            try:
                if kind == "frames":
                    self._ingest(contended=contended)
                elif not self._answers.decode():
                    self._finish_answer()
            except BaseException as error:  # noqa: BLE001 - the worker must go on, whatever was raised
                self._fail(error, answering=kind == "answer")
            return True

    def _ingest(self, *, contended: bool) -> None:
        batch = self._source.take(min(CONTENDED_CHUNK, self.settings.chunk) if contended else self.settings.chunk)
        if batch:
            self._memory.push(batch)
            self._memory.publish(force=False)
            return
        # A view that tells of the end shows the whole stream.
        self._memory.publish(force=self._source.ends)
        self._source.note_end()

    def fail(self, error: BaseException) -> None:
        """See `hermes.serving.engine.TurnTaker.fail`."""
        sentence = sentence_of(error)
        attempt(
            lambda: self._source.fail(sentence),
            lambda: self._answers.fail(sentence_of(error, answering=True)),
        )

    def _fail(self, error: BaseException, *, answering: bool) -> None:
        """Fail the answer or the source; never raises.

        An answer reads a branch of the memory: frames continue after an answer failed, and an answer in progress continues
        after the frames failed.
        """
        sentence = sentence_of(error, answering=answering)
        error.__traceback__ = None  # its frames hold the tensors for which there was no room
        if answering:
            attempt(lambda: self._answers.fail(error if isinstance(error, HermesError) else sentence))
        else:
            attempt(lambda: self._source.fail(sentence))
        attempt(give_back, lambda: self._memory.publish(force=True))

    def close(self) -> None:
        """Free the memory; the stream cannot be used any more."""
        self._closed = True
        self._answers.abandon()  # before the lock: its consumer must not wait for a step
        self._host.forget(self)
        attempt(self._source.end)
        with self._lock:
            attempt(partial(self._answers.finish, _nothing), self._source.clear, self._memory.close)


def _nothing() -> None:
    """No action."""
