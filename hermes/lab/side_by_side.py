"""Two to four policies on the same frames at the same time, and one question to all of them.

The frames are taken once and handed to every memory in turn; a question waits until all have seen the same frames. The
engine's worker does one step at a time, so that other streams get their turns; the clock of a first token does not run
while others have theirs.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hermes.backbones.base import Backbone
from hermes.errors import HermesError
from hermes.lab.plan import Cell, cells_of
from hermes.live import Host
from hermes.live_source import Source
from hermes.live_view import StreamSettings
from hermes.session import QuestionError, StreamSession
from hermes.snapshot import Snapshot
from hermes.thumbnails import jpeg

logger = logging.getLogger(__name__)

Frame = npt.NDArray[np.uint8]
Listener = Callable[["SideView"], None]
VIEW_WIDTH = 320


@dataclass
class Lane:
    """One policy with its memory, and its answer to the last question.

    Attributes:
        cell: The policy and its budget.
        session: Its memory.
        snapshot: Its memory as of the last step; None before the first.
        question: The last question that it was asked.
        answer: What it answered so far.
        state: "idle", "waiting" for its turn, "writing", "done", "refused" (`answer` says why it could not be asked) or
            "failed" (`error` says why; it sees no more frames).
        first_token_ms: Time to first token of that answer.
        error: Why it could not go on.
    """

    cell: Cell
    session: StreamSession
    snapshot: Snapshot | None = None
    question: str = ""
    answer: str = ""
    state: str = "idle"
    first_token_ms: float | None = None
    error: str | None = None
    pieces: Iterator[str] | None = field(default=None, repr=False)

    @property
    def alive(self) -> bool:
        """Whether it still sees frames and answers."""
        return self.error is None


@dataclass(frozen=True)
class SideView:
    """What a page shows, as of the last step.

    Attributes:
        state: Of the frames: "empty", "playing", "paused", "ended" or "failed".
        clock: Time of the newest frame that all have seen, in seconds; nan before the first.
        duration: Length of the file, in seconds; None before it is played.
        frame_jpeg: That frame; None before the first.
        frames: Frames that all have seen.
        answering: Whether an answer is awaited.
        error: Why the source failed.
        lanes: The policies, in the order in which they were chosen.
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
    """A run of several policies. It takes turns in an engine like any stream (see `hermes.engine.Engine.enter`)."""

    def __init__(self, host: Host, settings: StreamSettings, policies: Sequence[str]) -> None:
        """Begin with empty memories.

        Args:
            host: The engine that does the work.
            settings: Model, budget, chunk, frame rate and speed, the same for all.
            policies: Names of two to four different policies or presets.

        Raises:
            HermesError: A setting or a name does not fit.
        """
        settings.check()
        cells = cells_of(policies, settings.budget)
        self.settings = settings
        self._host = host
        self._lock = threading.RLock()  # guards everything below; the worker holds it during a step
        self._source = Source(host.wake, settings.chunk)
        model = host.model(settings.model)
        self._lanes = tuple(_lane(model, cell, settings) for cell in cells)
        self._batch: tuple[Frame, list[float]] | None = None
        self._turn = 0  # which lane sees the batch next
        self._question: str | None = None
        self._newest: bytes | None = None
        self._listener: Listener | None = None
        self._closed = False

    # What a page does ---------------------------------------------------------------------------------------------

    def play(self, path: str | Path, title: str = "") -> None:
        """Play a video file; once for each run.

        Raises:
            VideoError: The file cannot be played.
        """
        player = self._source.open(path, self.settings)
        with self._lock:
            self._source.use(player, title or Path(path).name)

    def pause(self) -> None:
        """Let the clock stand still."""
        with self._lock:
            self._source.pause()

    def resume(self) -> None:
        """Let the clock go on."""
        with self._lock:
            self._source.resume(self._clock)

    def ask(self, question: str) -> None:
        """Ask all policies, as soon as all have seen the same frames; `view` tells the answers as they grow.

        Raises:
            QuestionError: It is empty, or the last one is still being answered, or nothing was seen yet.
        """
        with self._lock:
            if not question.strip():
                raise QuestionError("The question is empty.")
            if self._answering:
                raise QuestionError("The last question is still being answered: wait for it.")
            if not any(lane.alive and lane.session.steps_seen for lane in self._lanes):
                raise QuestionError("Nothing has been seen yet: let the run begin, then ask.")
            self._question = question.strip()
        self._host.wake()

    def view(self) -> SideView:
        """The state as of the last step; taking it never waits for the model."""
        player = self._source.player
        return SideView(
            state=self._source.state,
            clock=self._clock,
            duration=player.info.duration if player else None,
            frame_jpeg=self._newest,
            frames=min((lane.snapshot.frames_seen for lane in self._lanes if lane.alive and lane.snapshot), default=0),
            answering=self._answering,
            error=self._source.error,
            lanes=tuple(replace(lane, pieces=None) for lane in self._lanes),
        )

    def listen(self, listener: Listener | None) -> None:
        """Tell someone the state now and after every step at whose end all have seen the same frames and none is answering.

        Args:
            listener: Called by whoever does the step, so it must be quick; None: nobody listens any more.
        """
        with self._lock:
            self._listener = listener
            self._tell()

    def _tell(self) -> None:
        even = self._batch is None and not self._answering
        if self._listener is None or not even or math.isnan(self._clock):
            return
        try:
            self._listener(self.view())
        except Exception:
            logger.exception("whoever listened to the lab failed")
            self._listener = None

    @property
    def _clock(self) -> float:
        return min(
            (lane.snapshot.seconds for lane in self._lanes if lane.alive and lane.snapshot), default=float("nan")
        )

    @property
    def _answering(self) -> bool:
        return self._question is not None or any(lane.state in ("waiting", "writing") for lane in self._lanes)

    # The worker's side --------------------------------------------------------------------------------------------

    def has_work(self) -> bool:
        """Whether a step would do something."""
        return not self._closed and (self._batch is not None or self._answering or self._source.has_work)

    def step(self) -> None:
        """One policy sees a chunk, or says a piece of its answer."""
        with self._lock:
            if self._closed:
                return
            try:
                if self._batch is not None:
                    self._see()
                elif self._answering:
                    self._say()
                else:
                    self._take()
            except Exception:
                logger.exception("a step of the lab failed")
                self._source.fail("The model failed on these frames; the run stopped here.")
                self._batch = None
                for lane in self._lanes:
                    if lane.state in ("waiting", "writing"):
                        lane.pieces, lane.state, lane.error = None, "failed", "The model failed on this question."
            self._tell()

    def _take(self) -> None:
        batch = self._source.take(self.settings.chunk)
        if not batch:
            self._source.note_end()
            return
        frames, seconds = zip(*batch, strict=True)
        self._batch, self._turn = (np.stack(frames), list(seconds)), 0

    def _see(self) -> None:
        """The next lane sees the batch; after the last one, all have."""
        if self._batch is None:
            return
        frames, seconds = self._batch
        lane = self._lanes[self._turn]
        if lane.alive:
            try:
                lane.session.push(frames, seconds)
            except HermesError as error:
                lane.state, lane.error = "failed", str(error)
            lane.snapshot = lane.session.snapshot()
        self._turn += 1
        if self._turn == len(self._lanes):
            self._batch, self._newest = None, jpeg(frames[-1], VIEW_WIDTH, 80)
            if not any(one.alive for one in self._lanes):
                self._source.fail("None of these memories could go on.")

    def _say(self) -> None:
        """Begin the question that waits, or let the first lane that is not done say its next piece."""
        if self._question is not None:
            for lane in self._lanes:
                if lane.alive:
                    lane.question, lane.answer, lane.state, lane.first_token_ms = self._question, "", "waiting", None
            self._question = None
            return
        lane = next(lane for lane in self._lanes if lane.state in ("waiting", "writing"))
        try:
            if lane.pieces is None:
                lane.pieces, lane.state = lane.session.ask(lane.question), "writing"
            piece = next(lane.pieces, None)
        except HermesError as error:
            lane.answer, lane.pieces, lane.state = str(error), None, "refused"
            return
        if piece is not None:
            lane.answer += piece
            return
        first = lane.session.stats.first_token_seconds
        lane.first_token_ms = None if first is None else first * 1000
        lane.snapshot = lane.session.snapshot()
        lane.pieces, lane.state = None, "done"

    def close(self) -> None:
        """Free the memories; the run cannot be used any more."""
        self._host.forget(self)
        self._closed = True
        self._listener = None
        self._source.end()
        with self._lock:
            self._source.clear()
            for lane in self._lanes:
                lane.pieces = None
                lane.session.close()


def _lane(model: Backbone, cell: Cell, settings: StreamSettings) -> Lane:
    return Lane(cell, StreamSession(model, policy=cell.make(), chunk=settings.chunk))
