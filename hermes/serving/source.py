"""The source of a stream's frames, a file or a camera, and the inbox in which frames wait for the model."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hermes.errors import HermesError
from hermes.video import VideoSampler
from hermes.video.player import Player
from hermes.view import StreamSettings

Frame = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class SourceStatus:
    """State of a source for display; see `hermes.view.LiveView` for the attributes."""

    state: str
    title: str
    duration: float | None
    behind: float
    dropped: int
    skipped: int
    error: str | None
    notes: tuple[str, ...] = ()


class FrameSource:
    """The source of one stream. The stream's lock guards everything except the inbox, which has its own lock.

    Attributes:
        state: "empty", "playing", "paused", "ended" or "failed".
        error: Error message if the source failed, as a sentence.
        player: Plays the file; None for a camera.
        title: Title to display.
        dropped: Number of camera frames dropped in favour of newer ones.
        chunk: Maximum number of frames in the inbox.
        gather: Longest time in seconds that a camera frame waits for later ones; 0: each frame is due immediately.
        speed: Measured throughput of the model in frames per second; 0 if unknown. A camera gathers no more frames than the
            model encodes in `gather` seconds.
        pause_at: Stream time in seconds after which a file pauses, see `skip_to`; inf: it does not.
    """

    def __init__(self, wake: Callable[[], None], chunk: int, gather: float = 0.0) -> None:
        """Start without a source; `wake` is called when frames arrive or the source ends."""
        self._wake = wake
        self._room = threading.Condition(threading.Lock())  # guards only the inbox, so that `offer` never waits
        self._inbox: deque[tuple[Frame, float]] = deque()
        self._camera_began: float | None = None
        self._newest = 0.0  # stream time of the newest frame that was put
        self._put = False  # whether frames arrive by `put`, which are due immediately
        self._first_offered = math.inf  # wall time at which the oldest camera frame in the inbox arrived
        self.chunk = chunk
        self.gather = gather
        self.speed = 0.0
        self.player: Player | None = None
        self.title = ""
        self.state = "empty"
        self.error: str | None = None
        self.dropped = 0
        self.pause_at = math.inf
        self._usual_speed = 1.0

    # Input --------------------------------------------------------------------------------------------------------

    def open(self, path: str | Path, settings: StreamSettings, sampler: VideoSampler | None = None) -> Player:
        """Return a player for a file, to be passed to `use`; `sampler` has opened the file already.

        Raises:
            VideoError: The file cannot be played.
        """
        deliver, side = self._take_from_player, settings.max_side
        return Player(path, settings.fps, settings.speed, deliver, self._wake, side, sampler)

    def use(self, player: Player, title: str) -> None:
        """Play a file from its start. Call `clear` first."""
        self.player, self.title, self.state = player, title, "playing"
        player.start()

    def use_nothing(self, title: str) -> None:
        """Show the end of a source that is no longer available. Call `clear` first."""
        self.title, self.state = title, "ended"

    def use_camera(self) -> None:
        """Accept frames from `offer`. Call `clear` first."""
        self._camera_began, self._newest, self._put = time.monotonic(), 0.0, False
        self.title, self.state = "camera", "playing"

    @property
    def is_camera(self) -> bool:
        """Whether frames come from `offer`."""
        return self._camera_began is not None

    def offer(self, frame: Frame, seconds: float | None) -> None:
        """Add a camera frame; if the inbox is full, the oldest one is dropped. `seconds` None: now."""
        if self._camera_began is None or self.state != "playing":
            return
        now = time.monotonic() - self._camera_began if seconds is None else seconds
        with self._room:
            while len(self._inbox) >= self._most:
                self._inbox.popleft()
                self.dropped += 1
            if not self._inbox:
                self._first_offered = time.monotonic()
            self._inbox.append((np.ascontiguousarray(frame), now))
        self._wake()

    def put(self, frames: Sequence[Frame], seconds: Sequence[float] | None, timeout: float) -> None:
        """Add camera frames that are encoded together, and wait for room instead of dropping frames.

        Raises:
            HermesError: The source is not a camera that plays, there are too many frames, the times are not ascending, or
                there was no room within `timeout` seconds.
        """
        count = len(frames)
        if count > self.chunk:
            raise HermesError(f"At most {self.chunk} frames can be encoded together, not {count}.")
        with self._room:
            if not self._room.wait_for(lambda: len(self._inbox) + count <= self.chunk or not self._accepts, timeout):
                raise HermesError("The model did not take the earlier frames in time. Send frames less often.")
            began = self._camera_began
            if began is None or not self._accepts:
                raise HermesError("The stream does not accept frames: it is paused, has ended, or plays a file.")
            times = [time.monotonic() - began] * count if seconds is None else list(seconds)
            for before, after in pairwise([self._newest, *times]):
                if not before <= after:
                    raise HermesError(f"A frame at {after:g} s cannot follow one at {before:g} s.")
            self._newest = times[-1] if times else self._newest
            self._inbox.extend((np.ascontiguousarray(frame), at) for frame, at in zip(frames, times, strict=True))
            self._put = True
        self._wake()

    @property
    def _accepts(self) -> bool:
        """Whether frames can be put."""
        return self._camera_began is not None and self.state == "playing"

    @property
    def _most(self) -> int:
        """Number of camera frames that are encoded together."""
        return max(min(self.chunk, int(self.speed * self.gather)), 1)

    @property
    def _due(self) -> bool:
        """Whether the frames in the inbox should be encoded now."""
        if not self._inbox or self.state == "paused" or self._next_time > self.pause_at:
            return False
        if not self.is_camera or self._put or self.state != "playing" or len(self._inbox) >= self._most:
            return True
        return time.monotonic() - self._first_offered >= self.gather

    @property
    def _next_time(self) -> float:
        """Stream time of the next frame in the inbox in seconds; -inf if it is empty."""
        try:
            return self._inbox[0][1]
        except IndexError:  # another thread cleared it
            return -math.inf

    def _take_from_player(self, frame: Frame, seconds: float) -> bool:
        """Wait for room in the inbox and add a frame of a file; returns False if the stream has another source."""
        thread = threading.current_thread()
        with self._room:
            while len(self._inbox) >= self.chunk and self._plays(thread):
                self._room.wait(0.5)
            if not self._plays(thread):
                return False
            self._inbox.append((frame, seconds))
        self._wake()
        return True

    def _plays(self, thread: threading.Thread) -> bool:
        player = self.player
        return player is not None and player.runs_in(thread)

    # Transport ----------------------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Stop the clock. Frames that wait for the model are read after `resume`."""
        if self.state == "playing":
            self.state = "paused"
            self._notify()
            if self.player:
                self.player.pause()

    def skip_to(self, seconds: float) -> None:
        """Play the file as fast as the model allows up to a stream time, then pause. No later frame is passed on."""
        if self.player is None or self.state != "playing":
            return
        self.pause_at, self._usual_speed = seconds, self.player.speed
        self.player.speed = math.inf

    def set_speed(self, speed: float) -> None:
        """Change the playback speed of the file, in seconds of video per second."""
        self._usual_speed = speed
        if self.player is not None and self.pause_at == math.inf:
            self.player.speed = speed

    def _end_skip(self) -> None:
        """Play at the usual speed again."""
        if self.pause_at < math.inf and self.player is not None:
            self.player.speed = self._usual_speed
        self.pause_at = math.inf

    def resume(self, clock: float) -> None:
        """Restart the clock; a camera's clock continues from `clock` (nan: no frame yet)."""
        if self.state == "paused":
            self._end_skip()
            self.state = "playing"
            if self.player:
                self.player.resume()
            elif self._camera_began is not None and np.isfinite(clock):
                self._camera_began = time.monotonic() - clock

    def end(self) -> None:
        """Stop the player and discard pending frames."""
        if self.player:
            self.player.stop()
        with self._room:
            self._inbox.clear()
            self._room.notify_all()

    def stop(self) -> None:
        """Stop on request; the camera frames that arrived before are still encoded."""
        if not self.is_camera:
            self.end()
        if self.state in ("playing", "paused"):
            self.state = "ended"
            self._notify()

    def _notify(self) -> None:
        """Wake the threads that wait for room."""
        with self._room:
            self._room.notify_all()

    def fail(self, sentence: str) -> None:
        """End with an error; the state is set also if ending the player raises."""
        try:
            self.end()
        finally:
            self.error, self.state = sentence, "failed"

    def clear(self) -> None:
        """Remove the source."""
        self.end()
        self.player, self._camera_began = None, None
        self.state, self.error = "empty", None
        self.dropped = 0
        self.pause_at = math.inf

    # Output -------------------------------------------------------------------------------------------------------

    @property
    def waits(self) -> bool:
        """Whether a frame is pending in the inbox, due or not."""
        return bool(self._inbox)

    @property
    def skipped_to(self) -> bool:
        """Whether all frames up to `pause_at` were passed on, and `note_end` was not called yet."""
        return self.state == "playing" and self._next_time > self.pause_at

    @property
    def ends(self) -> bool:
        """Whether the file ended or failed and `note_end` was not called yet."""
        player = self.player
        return player is not None and self.state == "playing" and (player.finished or player.error is not None)

    @property
    def has_work(self) -> bool:
        """Whether there are frames to take now, or `note_end` must be called."""
        states = ("playing", "ended") if self.is_camera else ("playing",)
        return (self.state in states and self._due) or self.ends or self.skipped_to

    def take(self, most: int, *, now: bool = False) -> list[tuple[Frame, float]]:
        """Remove and return up to `most` frames with their times, oldest first; none while paused unless `now` is set.

        Args:
            most: Largest number of frames.
            now: Whether to take camera frames that still wait for later ones.
        """
        with self._room:
            due = len(self._inbox) if now or self._due else 0
            batch: list[tuple[Frame, float]] = []
            while len(batch) < min(most, due) and self._next_time <= self.pause_at:
                batch.append(self._inbox.popleft())
            self._room.notify_all()
        return batch

    def note_end(self) -> None:
        """Update the state after the file ended, failed or reached the time of `skip_to`."""
        player = self.player
        if self.skipped_to:
            self.pause()
        if player is None or self.state != "playing":
            return
        if player.error is not None:
            self.error, self.state = player.error, "failed"
        elif player.finished:
            self.state = "ended"

    def status(self, clock: float) -> SourceStatus:
        """Return the state for display, without taking a lock.

        Args:
            clock: Time of the newest frame that the model has seen, in seconds; nan before the first.
        """
        player, state = self.player, self.state  # read once: another thread may replace them
        behind = 0.0
        # At full speed no frame is due at a time.
        if player is not None and np.isfinite([player.position, clock, player.speed]).all():
            behind = max(player.position - clock, 0.0)
        return SourceStatus(
            state=state,
            title=self.title if state != "empty" else "",
            duration=player.info.duration if player is not None else None,
            behind=behind,
            dropped=self.dropped,
            skipped=player.skipped if player is not None else 0,
            error=self.error,
            notes=player.notes if player is not None else (),
        )

    def require(self) -> None:
        """Check that there is a source.

        Raises:
            HermesError: There is none.
        """
        if self.player is None and not self.is_camera:
            raise HermesError("There is nothing to restart yet: choose a clip or the camera first.")
