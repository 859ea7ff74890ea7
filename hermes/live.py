"""One visitor's stream, as a page drives it: a source, a session, an answer in progress.

Every method may be called by any thread. The model's work is done by the engine's worker, one step at a time.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from hermes.backbones.base import Backbone
from hermes.errors import HermesError
from hermes.live_view import LiveView, StreamSettings
from hermes.player import Player
from hermes.session import QuestionError, StreamSession
from hermes.snapshot import Snapshot
from hermes.thumbnails import Thumbnails, jpeg

logger = logging.getLogger(__name__)

Frame = npt.NDArray[np.uint8]
VIEW_WIDTH = 448
SNAPSHOT_SECONDS = 0.2
ANSWERING_CHUNK = 4
"""Frames a step while an answer is decoded, so that tokens do not wait long."""


class Host(Protocol):
    """What a stream needs of the engine it lives in."""

    def wake(self) -> None:
        """There is something to do."""

    def model(self, name: str) -> Backbone:
        """A loaded model; raises HermesError if it is not loaded."""

    def forget(self, stream: LiveStream) -> None:
        """The stream was closed."""


class _AnswerInProgress:
    """An answer on its way from the worker to the thread that asked."""

    def __init__(self, pieces: Iterator[str]) -> None:
        self.pieces = pieces
        self.outbox: queue.SimpleQueue[str | HermesError | None] = queue.SimpleQueue()
        self.stopped = False


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
        self._room = threading.Condition(threading.Lock())  # guards the inbox alone, so that offering never waits
        self._inbox: deque[tuple[Frame, float]] = deque()
        self._session = self._new_session(model, settings)
        self._player: Player | None = None
        self._title = ""
        self._camera_began: float | None = None
        self._state = "empty"
        self._error: str | None = None
        self._answer: _AnswerInProgress | None = None
        self._answer_turn = False
        self._newest: Frame | None = None
        self._frame_index = -1
        self._jpeg: tuple[int, bytes] | None = None
        self._thumbnails = Thumbnails()
        self._snapshot: Snapshot | None = None
        self._snapshot_at = 0.0
        self._dropped = 0
        self._speeds: deque[tuple[int, float]] = deque(maxlen=16)
        self._closed = False

    @staticmethod
    def _new_session(model: Backbone, settings: StreamSettings) -> StreamSession:
        return StreamSession(model, settings.policy, settings.budget, settings.guidance, chunk=settings.chunk)

    # Sources ------------------------------------------------------------------------------------------------------

    def play(self, path: str | Path, title: str = "") -> None:
        """Play a video file from its start, into an empty memory.

        Raises:
            VideoError: The file cannot be played; the stream goes on as it was.
        """
        player = Player(path, self.settings.fps, self.settings.speed, self._take_from_player, self._wake)
        with self._lock:
            self._clear()
            self._player, self._title, self._state = player, title or Path(path).name, "playing"
            player.start()

    def camera(self) -> None:
        """Take camera frames from `offer`, into an empty memory."""
        with self._lock:
            self._clear()
            self._camera_began, self._title, self._state = time.monotonic(), "camera", "playing"

    def offer(self, frame: Frame, seconds: float | None = None) -> None:
        """Hand over a camera frame; if the model has not taken the last one, the newer wins and the older is dropped.

        Args:
            frame: uint8 [H, W, 3] RGB.
            seconds: Its time on the stream's clock; None: now.
        """
        if self._camera_began is None or self._state != "playing":
            return
        now = time.monotonic() - self._camera_began if seconds is None else seconds
        with self._room:
            self._dropped += len(self._inbox)
            self._inbox.clear()
            self._inbox.append((np.ascontiguousarray(frame), now))
        self._wake()

    def _take_from_player(self, frame: Frame, seconds: float) -> bool:
        """Put a frame of a file into the inbox, once there is room; False when the stream has another source by now."""
        me = threading.current_thread()
        with self._room:
            while len(self._inbox) >= self.settings.chunk and self._plays(me):
                self._room.wait(0.5)
            if not self._plays(me):
                return False
            self._inbox.append((frame, seconds))
        self._wake()
        return True

    def _plays(self, thread: threading.Thread) -> bool:
        player = self._player
        return player is not None and player._thread is thread and not self._closed  # noqa: SLF001

    # Transport ----------------------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Let the clock stand still; one can still ask."""
        with self._lock:
            if self._state == "playing":
                self._state = "paused"
                if self._player:
                    self._player.pause()

    def resume(self) -> None:
        """Let the clock go on after `pause`; a camera's clock leaves the pause out."""
        with self._lock:
            if self._state == "paused":
                self._state = "playing"
                if self._player:
                    self._player.resume()
                elif self._camera_began is not None and self._session.stats.frames_seen:
                    self._camera_began = time.monotonic() - self._clock()

    def stop(self) -> None:
        """End the source; the memory stays, and one can still ask."""
        with self._lock:
            self._end_source()
            if self._state in ("playing", "paused"):
                self._state = "ended"
        self._wake()

    def restart(self) -> None:
        """The same source from its start, into an empty memory.

        Raises:
            HermesError: There is no source yet.
        """
        with self._lock:
            if self._player:
                self.play(self._player.path, self._title)
            elif self._camera_began is not None:
                self.camera()
            else:
                raise HermesError("There is nothing to restart yet: choose a clip or the camera first.")

    def _end_source(self) -> None:
        if self._player:
            self._player.stop()
        with self._room:
            self._inbox.clear()
            self._room.notify_all()

    def _clear(self) -> None:
        """Stop everything and begin with an empty memory."""
        self.stop_answer()
        self._finish_answer()
        self._end_source()
        self._session.close()
        self._session = self._new_session(self._model, self.settings)
        self._player, self._camera_began = None, None
        self._state, self._error = "empty", None
        self._newest, self._frame_index, self._jpeg = None, -1, None
        self._thumbnails.clear()
        self._speeds.clear()
        self._dropped = 0
        self._publish(force=True)

    # Questions ----------------------------------------------------------------------------------------------------

    def ask(self, question: str) -> Iterator[str]:
        """Ask; pieces come while frames go on being seen.

        Returns:
            Pieces of the answer; the calling thread waits between them.

        Raises:
            QuestionError: Empty, too long, before the first frame, or another answer is in progress.
        """
        with self._lock:
            if self._answer is not None:
                raise QuestionError("The last question is still being answered: wait for it, or stop it.")
            answer = _AnswerInProgress(self._session.ask(question))
            self._answer = answer
        self._wake()
        return self._pieces(answer)

    def _pieces(self, answer: _AnswerInProgress) -> Iterator[str]:
        try:
            while (piece := answer.outbox.get()) is not None:
                if isinstance(piece, HermesError):
                    raise piece
                yield piece
        finally:
            answer.stopped = True
            self._wake()

    def stop_answer(self) -> None:
        """Stop the answer in progress; what was said so far stays."""
        answer = self._answer
        if answer is not None:
            answer.stopped = True
            self._wake()

    def _finish_answer(self) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.pieces.close()  # type: ignore[attr-defined]
            self._publish(force=True)  # before the end is told, so that who waits for it sees the answer's trace
            answer.outbox.put(None)

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
            old, said = self.settings, []
            if settings.model != old.model:
                model = self._host.model(settings.model)
                self._new_session(model, settings)  # raises before anything is changed
                self._model, self.settings = model, settings
                source, title = self._player, self._title
                self._clear()
                if source is not None:
                    self.play(source.path, title)
                return [f"Another model cannot read this memory: the stream begins again with {model.card.name}."]
            if (settings.policy, settings.budget, settings.guidance) != (old.policy, old.budget, old.guidance):
                self._session.configure(settings.policy, budget=settings.budget, guidance=settings.guidance)
                said.append("Policy and budget apply from the next chunk on; what is forgotten stays forgotten.")
            if settings.chunk != old.chunk:
                self._session.chunk = settings.chunk
            if settings.speed != old.speed and self._player:
                self._player.speed = settings.speed
            if settings.fps != old.fps and self._player and self._state in ("playing", "paused"):
                said.append("The new frame rate applies when the clip is restarted.")
            self.settings = settings
            self._publish(force=True)
            return said

    # What a page shows --------------------------------------------------------------------------------------------

    def _clock(self) -> float:
        snapshot = self._snapshot
        return snapshot.seconds if snapshot is not None else float("nan")

    def view(self) -> LiveView:
        """The state of the stream as of the last step."""
        player, snapshot = self._player, self._snapshot
        clock = self._clock()
        behind = max(player.position - clock, 0.0) if player and np.isfinite([player.position, clock]).all() else 0.0
        frames, seconds = (sum(x) for x in zip(*self._speeds, strict=True)) if self._speeds else (0, 0.0)
        first = self._session.stats.first_token_seconds
        return LiveView(
            state=self._state,
            source=self._title if self._state != "empty" else "",
            clock=clock,
            duration=player.info.duration if player else None,
            behind=behind,
            frame_jpeg=self._view_jpeg(),
            frame_index=self._frame_index,
            snapshot=snapshot,
            dropped=self._dropped,
            skipped=player.skipped if player else 0,
            ingest_fps=frames / seconds if seconds else 0.0,
            first_token_ms=first * 1000 if first is not None and np.isfinite(first) else None,
            answering=self._answer is not None,
            error=self._error,
        )

    def _view_jpeg(self) -> bytes | None:
        frame, index, known = self._newest, self._frame_index, self._jpeg
        if frame is None:
            return None
        if known is None or known[0] != index:
            self._jpeg = known = (index, jpeg(frame, VIEW_WIDTH, 85))
        return known[1]

    def thumbnails(self, frames: Sequence[int]) -> dict[int, bytes]:
        """JPEG thumbnails of frames by number; those not kept any more are left out."""
        return self._thumbnails.get(frames)

    def save(self, path: str | Path) -> None:
        """Write the session to a file, between two steps."""
        with self._lock:
            self._session.save(path)

    # The worker's side --------------------------------------------------------------------------------------------

    def has_work(self) -> bool:
        """Whether a step would do something."""
        if self._closed:
            return False
        player = self._player
        ended = player is not None and self._state == "playing" and (player.finished or player.error is not None)
        return self._answer is not None or (bool(self._inbox) and self._state in ("playing", "paused")) or ended

    def step(self) -> None:
        """Do one piece of work: a token of the answer or a chunk of frames, in turn."""
        with self._lock:
            if self._closed:
                return
            self._answer_turn = self._answer is not None and (not self._answer_turn or not self._inbox)
            try:
                if self._answer_turn:
                    self._decode()
                else:
                    self._ingest()
            except HermesError as error:
                self._fail(str(error))
            except MemoryError:
                self._fail("There was not enough memory for the next frames; the stream stopped here.")
            except Exception:
                logger.exception("a step of the stream failed")
                self._fail("The model failed on these frames; the stream stopped here. Restart to try again.")

    def _fail(self, sentence: str) -> None:
        self._end_source()
        self._finish_answer()
        self._state, self._error = "failed", sentence
        self._publish(force=True)

    def _decode(self) -> None:
        answer = self._answer
        if answer is None:
            return
        piece = None if answer.stopped else next(answer.pieces, None)
        if piece is None:
            self._finish_answer()
        else:
            answer.outbox.put(piece)

    def _ingest(self) -> None:
        most = ANSWERING_CHUNK if self._answer is not None else self.settings.chunk
        with self._room:
            batch = [self._inbox.popleft() for _ in range(min(most, len(self._inbox)))]
            self._room.notify_all()
        player = self._player
        if batch:
            began = time.perf_counter()
            for frames, times in _same_size(batch):
                first, waiting = self._session.steps_seen, self._session.frames_waiting
                self._session.push(frames, times)
                merged = self._session.layout.frames_per_step
                self._remember(first, frames[merged - 1 - waiting :: merged])
            self._speeds.append((len(batch), time.perf_counter() - began))
        elif player is not None and self._state == "playing":
            if player.error is not None:
                self._state, self._error = "failed", player.error
            elif player.finished:
                self._state = "ended"
        self._publish(force=not self._inbox)

    def _remember(self, first: int, frames: Frame) -> None:
        if not len(frames):
            return
        self._thumbnails.add(first, frames)
        self._newest, self._frame_index = frames[-1], first + len(frames) - 1

    def _publish(self, *, force: bool) -> None:
        now = time.monotonic()
        if force or now - self._snapshot_at > SNAPSHOT_SECONDS:
            self._snapshot, self._snapshot_at = self._session.snapshot(), now

    def close(self) -> None:
        """Free the memory; the stream cannot be used any more."""
        self._host.forget(self)
        self._closed = True
        self._end_source()
        with self._lock:
            self._finish_answer()
            self._session.close()
            self._thumbnails.clear()
            self._newest = self._snapshot = None


def _same_size(batch: list[tuple[Frame, float]]) -> Iterator[tuple[Frame, list[float]]]:
    """Frames in stretches of one size, as arrays: a camera may change its resolution."""
    start = 0
    for i in range(1, len(batch) + 1):
        if i == len(batch) or batch[i][0].shape != batch[start][0].shape:
            yield np.stack([frame for frame, _ in batch[start:i]]), [seconds for _, seconds in batch[start:i]]
            start = i
