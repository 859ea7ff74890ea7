"""Runs two to four policies on the same frames and asks all of them the same question.

Each batch of frames is pushed into every memory in turn; a question waits until all memories have seen the same frames. The
engine runs one step at a time, so that other streams are served in between. A fault in one memory ends that memory or its
answer; the others continue.

Times to first token are comparable: they exclude the answers of other memories and the steps of other streams. Before its
timed answer, each memory prefills the question once without timing it, since the first one to answer would otherwise load
the weights into the processor's caches for all. The order in which the memories answer rotates from question to question.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hermes.errors import HermesError
from hermes.lab.lane import Lane
from hermes.lab.plan import cells_of
from hermes.out_of_memory import attempt, give_back, report, sentence_of
from hermes.serving.roles import Host
from hermes.serving.scheduling import CONTENDED_CHUNK, Kind, Work
from hermes.serving.source import FrameSource
from hermes.serving.step_lock import StepLock
from hermes.session.questions import QuestionError
from hermes.session.stream_session import StreamSession
from hermes.video.thumbnails import jpeg
from hermes.view import StreamSettings

Frame = npt.NDArray[np.uint8]
Listener = Callable[["SideView"], None]
VIEW_WIDTH = 320
RUN_FAILED = "The model failed on these frames; the run stopped here."
NO_LANE_LEFT = "All memories of this run failed."


@dataclass(frozen=True)
class SideView:
    """State of a lab run after its last step, for display.

    Attributes:
        state: State of the source: "empty", "playing", "paused", "ended" or "failed".
        clock: Time of the newest frame that all memories have seen, in seconds; nan before the first.
        duration: Length of the file in seconds; None before it is played.
        frame_jpeg: This frame; None before the first.
        frames: Number of frames that all memories have seen.
        answering: Whether an answer is pending.
        error: Error message if the source failed.
        lanes: The policies in the order in which they were chosen.
    """

    state: str
    clock: float
    duration: float | None
    frame_jpeg: bytes | None
    frames: int
    answering: bool
    error: str | None
    lanes: tuple[Lane, ...]


class SideBySide:
    """A run of several policies, scheduled by an engine like a stream (see `hermes.serving.engine.Engine.enter`)."""

    def __init__(self, host: Host, settings: StreamSettings, policies: Sequence[str]) -> None:
        """Start with empty memories.

        Args:
            host: The engine.
            settings: Model, budget, chunk, frame rate and speed, shared by all policies.
            policies: Names of two to four different policies or presets.

        Raises:
            HermesError: A setting or a name is invalid.
        """
        settings.check()
        cells = cells_of(policies, settings.budget)
        self.settings = settings
        self._host = host
        self._lock = StepLock(host.wake)  # guards everything below
        self._source = FrameSource(host.wake, settings.chunk)
        model = host.model(settings.model)
        self._lanes = tuple(
            Lane(cell, StreamSession(model, policy=cell.make(), chunk=settings.chunk)) for cell in cells
        )
        self._batch: tuple[Frame, list[float]] | None = None
        self._turn = 0  # which lane sees the batch next
        self._question: str | None = None
        self._order = self._lanes  # in which they answer the last question
        self._questions = 0
        self._newest: bytes | None = None
        self._listener: Listener | None = None
        self._closed = False

    # Actions ------------------------------------------------------------------------------------------------------

    def play(self, path: str | Path, title: str = "") -> None:
        """Play a video file. Call once per run.

        Raises:
            VideoError: The file cannot be played.
        """
        player = self._source.open(path, self.settings)
        try:
            with self._lock:
                self._require_open()
                self._source.use(player, title or Path(path).name)
        except BaseException:
            player.stop()  # frees its decoder
            raise

    def _require_open(self) -> None:
        if self._closed:
            raise HermesError("This run was closed.")

    def pause(self) -> None:
        """Stop the clock."""
        with self._lock:
            self._source.pause()

    def resume(self) -> None:
        """Restart the clock.

        Raises:
            BusyError: The run has given up its live slot, and all are taken.
            HermesError: Its memories were freed meanwhile.
        """
        with self._lock:
            if self._closed:
                raise HermesError("The memories of this comparison were freed for other visitors. Start it again.")
            if self._source.state == "paused":
                self._host.enter(self)
                self._source.resume(self._clock)

    @property
    def holds_slot(self) -> bool:
        """Whether the run holds a live slot of the engine."""
        return self._host.is_live(self)

    def yield_slot(self) -> None:
        """Give up the live slot of a paused run for others, unless it is busy. `resume` takes another one."""
        with self._lock.step() as acquired:
            if acquired and self._source.state == "paused":
                self._host.finish(self)

    def ask(self, question: str) -> None:
        """Ask all policies as soon as they have seen the same frames; `view` shows the answers.

        Raises:
            QuestionError: The question is empty, the last one is still being answered, or no frame was seen yet.
        """
        with self._lock:
            if self._closed:
                raise QuestionError("This run was closed.")
            if not question.strip():
                raise QuestionError("The question is empty.")
            if self._answering:
                raise QuestionError("The last question is still being answered: wait for the answers.")
            if not any(lane.alive and lane.session.steps_seen for lane in self._lanes):
                raise QuestionError("Nothing has been seen yet: wait for the first frames, then ask.")
            self._question = question.strip()

    def view(self) -> SideView:
        """Return the state after the last step. Never waits for the model."""
        clock = self._clock
        source = self._source.status(clock)
        return SideView(
            state=source.state,
            clock=clock,
            duration=source.duration,
            frame_jpeg=self._newest,
            frames=min((lane.snapshot.frames_seen for lane in self._lanes if lane.alive and lane.snapshot), default=0),
            answering=self._answering,
            error=source.error,
            lanes=tuple(replace(lane, pieces=None) for lane in self._lanes),
        )

    def listen(self, listener: Listener | None) -> None:
        """Report the state now, and after every step that leaves all memories at the same frame without pending answers.

        Args:
            listener: Called in the worker's thread, so it must be fast; None: remove the listener.
        """
        with self._lock:
            self._listener = listener
            self._notify()

    def _notify(self) -> None:
        synchronised = self._batch is None and not self._answering
        if self._listener is None or not synchronised or math.isnan(self._clock):
            return
        try:
            self._listener(self.view())
        except BaseException as error:  # noqa: BLE001 - a listener must not end the run
            self._listener = None
            report("the listener of a lab run failed:", error)

    @property
    def _clock(self) -> float:
        return min(
            (lane.snapshot.seconds for lane in self._lanes if lane.alive and lane.snapshot), default=float("nan")
        )

    @property
    def _answering(self) -> bool:
        return self._question is not None or any(lane.state in ("waiting", "writing") for lane in self._lanes)

    # The worker's side --------------------------------------------------------------------------------------------

    def work(self) -> Work:
        """See `hermes.serving.roles.TurnTaker.work`. Frames that a question waits for count as answer work."""
        if self._closed:
            return Work()
        answering = self._answering
        return Work(answering, not answering and (self._batch is not None or self._source.has_work))

    def has_work(self) -> bool:
        """Whether there is work."""
        return bool(self.work())

    def step(self, kind: Kind, *, contended: bool) -> bool:  # noqa: ARG002 - a started batch is always finished first
        """See `hermes.serving.roles.TurnTaker.step`: one policy reads a chunk, or decodes a piece of its answer."""
        with self._lock.step() as acquired:
            if not acquired:
                return False
            if self._closed:
                return True
            try:
                if self._batch is not None:
                    self._see(self._batch)
                elif self._answering:
                    self._answer()
                else:
                    self._take(contended=contended)
            except BaseException as error:  # noqa: BLE001 - the worker must continue after any exception
                self.fail(error)
            self._notify()
            return True

    def fail(self, error: BaseException) -> None:
        """See `hermes.serving.roles.TurnTaker.fail`: end the run and all answers in progress; never raises."""
        sentence = str(error) if isinstance(error, HermesError) else RUN_FAILED
        answering = sentence_of(error, answering=True)
        error.__traceback__ = None  # its frames hold large tensors
        self._batch = self._question = None
        for lane in self._lanes:
            if lane.state in ("waiting", "writing"):
                lane.refuse(answering)
        attempt(lambda: self._source.fail(sentence), self._free_slot, give_back)

    def _free_slot(self) -> None:
        """Free the live slot of the run if its source has ended."""
        if self._source.state in ("ended", "failed"):
            self._host.finish(self)

    def _take(self, *, contended: bool) -> None:
        batch = self._source.take(min(CONTENDED_CHUNK, self.settings.chunk) if contended else self.settings.chunk)
        if not batch:
            self._source.note_end()
            self._free_slot()
            return
        frames, seconds = zip(*batch, strict=True)
        self._batch, self._turn = (np.stack(frames), list(seconds)), 0

    def _see(self, batch: tuple[Frame, list[float]]) -> None:
        """Push the batch into the next lane."""
        frames, seconds = batch
        lane = self._lanes[self._turn]
        self._turn += 1
        last = self._turn == len(self._lanes)
        if lane.alive:
            try:
                lane.session.push(frames, seconds)
                lane.publish()
            except BaseException as error:  # noqa: BLE001 - the other lanes continue after any exception
                lane.state, lane.error = "failed", sentence_of(error)
                error.__traceback__ = None
                attempt(give_back, lane.publish)
        if last:
            self._batch = None
            self._newest = jpeg(frames[-1], VIEW_WIDTH, 80)
            if not any(one.alive for one in self._lanes):
                self._source.fail(NO_LANE_LEFT)
                self._free_slot()

    def _answer(self) -> None:
        """Start the pending question, warm up the next lane, or decode the next piece of its answer."""
        if self._question is not None:
            self._begin_answers(self._question)
            return
        lane = next(lane for lane in self._order if lane.state in ("waiting", "writing"))
        try:
            if not lane.warm:
                lane.warm_up()
                return
            if lane.pieces is None:  # the first token belongs to the same step, so that its time excludes other streams
                lane.pieces, lane.state = lane.session.ask(lane.question), "writing"
            piece = next(lane.pieces, None)
            if piece is not None:
                lane.answer += piece
                return
            first = lane.session.stats.first_token_seconds
            lane.first_token_ms = None if first is None else first * 1000
            lane.publish()
        except BaseException as error:  # noqa: BLE001 - the other lanes continue after any exception
            lane.refuse(sentence_of(error, answering=True))
            error.__traceback__ = None
            attempt(give_back)
            return
        lane.pieces, lane.state = None, "done"

    @property
    def memory_bytes(self) -> int:
        """See `hermes.serving.roles.TurnTaker.memory_bytes`."""
        held = [lane.snapshot for lane in self._lanes if lane.snapshot is not None]
        return sum(snapshot.cache_bytes + snapshot.archive_bytes + snapshot.state_bytes for snapshot in held)

    def discard(self) -> None:
        """See `hermes.serving.roles.TurnTaker.discard`. The last view stays."""
        with self._lock.step() as acquired:  # the worker never waits for an action; it tries again
            if acquired and not self._host.is_live(self) and not self._answering:
                self.close()

    def _begin_answers(self, question: str) -> None:
        for lane in self._lanes:
            if lane.alive:
                lane.question, lane.answer, lane.state = question, "", "waiting"
                lane.first_token_ms, lane.warm = None, False
        self._question = None
        first = self._questions % len(self._lanes)
        self._order = self._lanes[first:] + self._lanes[:first]
        self._questions += 1

    def close(self) -> None:
        """Free the memories. The run cannot be used afterwards."""
        self._closed = True
        self._listener = None
        self._host.forget(self)
        attempt(self._source.end)
        with self._lock:
            attempt(self._source.clear)
            for lane in self._lanes:
                lane.pieces = None
                attempt(lane.session.close)
        self._host.forget(self)  # again: an action in progress may have taken a slot
