"""One visitor's stream, as a page drives it: a source, a memory, an answer in progress.

Every method may be called by any thread. The model's work is done by the engine's worker, one step at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from hermes.backbones.base import Backbone
from hermes.errors import HermesError
from hermes.life import Life, ScoreRecord, life_of
from hermes.live_answers import Answers
from hermes.live_memory import LiveMemory, open_session
from hermes.live_source import Source
from hermes.live_view import LiveView, StreamSettings
from hermes.shortage import give_back, sentence_of

Frame = npt.NDArray[np.uint8]
ANSWERING_CHUNK = 4
"""Frames a step while an answer is decoded, so that tokens do not wait long."""


class Host(Protocol):
    """What a stream needs of the engine it lives in."""

    def wake(self) -> None:
        """There is something to do."""

    def model(self, name: str) -> Backbone:
        """A loaded model; raises HermesError if it is not loaded."""

    def forget(self, stream: Any) -> None:
        """Something that took turns was closed."""


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
        self._lock = threading.RLock()  # guards everything below; the worker holds it during a step
        self._memory = LiveMemory(open_session(model, settings))
        self._source = Source(host.wake, settings.chunk)
        self._answers = Answers(host.wake)
        self._answer_turn = False
        self._closed = False

    # Sources ------------------------------------------------------------------------------------------------------

    def play(self, path: str | Path, title: str = "") -> None:
        """Play a video file from its start, into an empty memory.

        Raises:
            VideoError: The file cannot be played; the stream goes on as it was.
        """
        player = self._source.open(path, self.settings)
        with self._lock:
            self._clear()
            self._source.use(player, title or Path(path).name)

    def camera(self) -> None:
        """Take camera frames from `offer`, into an empty memory."""
        with self._lock:
            self._clear()
            self._source.use_camera()

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
            self._source.resume(self._memory.clock)

    def stop(self) -> None:
        """End the source; the memory stays, and one can still ask."""
        with self._lock:
            self._source.stop()
        self._wake()

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

    def _clear(self) -> None:
        """Stop everything and begin with an empty memory."""
        self._answers.stop()
        self._finish_answer()
        self._source.clear()
        self._memory.begin_again(open_session(self._model, self.settings))

    # Questions ----------------------------------------------------------------------------------------------------

    def ask(self, question: str) -> Iterator[str]:
        """Ask; pieces come while frames go on being seen.

        Returns:
            Pieces of the answer; the calling thread waits between them.

        Raises:
            QuestionError: Empty, too long, before the first frame, or another answer is in progress.
        """
        with self._lock:
            return self._answers.begin(lambda: self._memory.session.ask(question))

    def stop_answer(self) -> None:
        """Stop the answer in progress; what was said so far stays."""
        self._answers.stop()

    def _finish_answer(self) -> None:
        # Published before the end is told, so that who waits for it sees the answer's trace.
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
        """The state of the stream as of the last step."""
        source, memory, player = self._source, self._memory, self._source.player
        clock = memory.clock
        return LiveView(
            state=source.state,
            source=source.title if source.state != "empty" else "",
            clock=clock,
            duration=player.info.duration if player else None,
            behind=source.behind(clock),
            frame_jpeg=memory.frame_jpeg(),
            frame_index=memory.frame_index,
            snapshot=memory.snapshot,
            dropped=source.dropped,
            skipped=player.skipped if player else 0,
            ingest_fps=memory.ingest_fps,
            first_token_ms=memory.first_token_ms,
            answering=self._answers.busy,
            error=source.error,
        )

    def thumbnails(self, frames: Sequence[int]) -> dict[int, bytes]:
        """JPEG thumbnails of frames by number; those not kept any more are left out."""
        return self._memory.thumbnails.get(frames)

    @property
    def scores(self) -> tuple[ScoreRecord, ...]:
        """What every token scored at each eviction so far, oldest first."""
        return self._memory.session.life.records

    def life(self, frame: int) -> Life:
        """The life of a frame, by its number."""
        return life_of(self.scores, frame)

    def save(self, path: str | Path) -> None:
        """Write the session to a file, between two steps."""
        with self._lock:
            self._memory.session.save(path)

    # The worker's side --------------------------------------------------------------------------------------------

    def has_work(self) -> bool:
        """Whether a step would do something."""
        return not self._closed and (self._answers.busy or self._source.has_work)

    def step(self) -> None:
        """Do one piece of work: a token of the answer or a chunk of frames, in turn."""
        with self._lock:
            if self._closed:
                return
            self._answer_turn = self._answers.busy and (not self._answer_turn or not self._source.waits)
            answered = self._answer_turn
            try:
                if answered:
                    if not self._answers.decode():
                        self._finish_answer()
                else:
                    self._ingest()
            except Exception as error:  # noqa: BLE001 - told, and logged there
                sentence = sentence_of(error)
                error.__traceback__ = None  # its frames hold the tensors for which there was no room
                # Frames that are refused leave the memory as it was: an answer from it goes on.
                self._fail(sentence, answer=answered or not isinstance(error, HermesError))

    def _ingest(self) -> None:
        batch = self._source.take(ANSWERING_CHUNK if self._answers.busy else self.settings.chunk)
        if batch:
            self._memory.push(batch)
        else:
            self._source.note_end()
        self._memory.publish(force=not self._source.waits)

    def _fail(self, sentence: str, *, answer: bool) -> None:
        self._source.fail(sentence)
        if answer:
            self._answers.fail(HermesError(sentence))
        give_back()
        self._memory.publish(force=True)

    def close(self) -> None:
        """Free the memory; the stream cannot be used any more."""
        self._host.forget(self)
        self._closed = True
        self._source.end()
        with self._lock:
            self._finish_answer()
            self._source.clear()
            self._memory.close()
