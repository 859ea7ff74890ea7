"""Where a stream's frames come from, a file or a camera, and the inbox in which they wait for the model."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hermes.errors import HermesError
from hermes.video.player import Player
from hermes.view import StreamSettings

Frame = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class SourceStatus:
    """What a page shows of a source; see `hermes.view.LiveView` for the attributes."""

    state: str
    title: str
    duration: float | None
    behind: float
    dropped: int
    skipped: int
    error: str | None
    notes: tuple[str, ...] = ()


class FrameSource:
    """The source of one stream. The stream's lock guards everything here but the inbox, which has a lock of its own.

    Attributes:
        state: "empty", "playing", "paused", "ended" or "failed".
        error: Why it failed, as a sentence.
        player: The file that is played; None for a camera.
        title: Its name for people.
        dropped: Camera frames left out because newer ones had come.
        chunk: Most frames of a file that wait.
    """

    def __init__(self, wake: Callable[[], None], chunk: int) -> None:
        """Begin without a source; `wake` is called when there is something to take."""
        self._wake = wake
        self._room = threading.Condition(threading.Lock())  # guards the inbox alone, so that offering never waits
        self._inbox: deque[tuple[Frame, float]] = deque()
        self._camera_began: float | None = None
        self.chunk = chunk
        self.player: Player | None = None
        self.title = ""
        self.state = "empty"
        self.error: str | None = None
        self.dropped = 0

    # What feeds it ------------------------------------------------------------------------------------------------

    def open(self, path: str | Path, settings: StreamSettings) -> Player:
        """A player for a file, not yet used.

        Raises:
            VideoError: The file cannot be played.
        """
        return Player(path, settings.fps, settings.speed, self._take_from_player, self._wake)

    def use(self, player: Player, title: str) -> None:
        """Play a file from its start; `clear` comes first."""
        self.player, self.title, self.state = player, title, "playing"
        player.start()

    def use_nothing(self, title: str) -> None:
        """Be at the end of a source that is no longer there; `clear` comes first."""
        self.title, self.state = title, "ended"

    def use_camera(self) -> None:
        """Take frames from `offer`; `clear` comes first."""
        self._camera_began, self.title, self.state = time.monotonic(), "camera", "playing"

    @property
    def is_camera(self) -> bool:
        """Whether frames come from `offer`."""
        return self._camera_began is not None

    def offer(self, frame: Frame, seconds: float | None) -> None:
        """Take a camera frame in place of one that still waits; `seconds` None: now."""
        if self._camera_began is None or self.state != "playing":
            return
        now = time.monotonic() - self._camera_began if seconds is None else seconds
        with self._room:
            self.dropped += len(self._inbox)
            self._inbox.clear()
            self._inbox.append((np.ascontiguousarray(frame), now))
        self._wake()

    def _take_from_player(self, frame: Frame, seconds: float) -> bool:
        """Put a frame of a file into the inbox, once there is room; False when the stream has another source by now."""
        me = threading.current_thread()
        with self._room:
            while len(self._inbox) >= self.chunk and self._plays(me):
                self._room.wait(0.5)
            if not self._plays(me):
                return False
            self._inbox.append((frame, seconds))
        self._wake()
        return True

    def _plays(self, thread: threading.Thread) -> bool:
        player = self.player
        return player is not None and player.runs_in(thread)

    # Transport ----------------------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Let the clock stand still."""
        if self.state == "playing":
            self.state = "paused"
            if self.player:
                self.player.pause()

    def resume(self, clock: float) -> None:
        """Let the clock go on; a camera's goes on from `clock`, nan where nothing was seen yet."""
        if self.state == "paused":
            self.state = "playing"
            if self.player:
                self.player.resume()
            elif self._camera_began is not None and np.isfinite(clock):
                self._camera_began = time.monotonic() - clock

    def end(self) -> None:
        """No more frames come, and none waits."""
        if self.player:
            self.player.stop()
        with self._room:
            self._inbox.clear()
            self._room.notify_all()

    def stop(self) -> None:
        """Stop on request."""
        self.end()
        if self.state in ("playing", "paused"):
            self.state = "ended"

    def fail(self, sentence: str) -> None:
        """End with an error; the state is set also if ending the player raises."""
        try:
            self.end()
        finally:
            self.error, self.state = sentence, "failed"

    def clear(self) -> None:
        """Be without a source."""
        self.end()
        self.player, self._camera_began = None, None
        self.state, self.error = "empty", None
        self.dropped = 0

    # What the model takes -----------------------------------------------------------------------------------------

    @property
    def waits(self) -> bool:
        """Whether a frame waits in the inbox."""
        return bool(self._inbox)

    @property
    def ends(self) -> bool:
        """Whether a file is over or cannot be read any further, which `note_end` has not noted yet."""
        player = self.player
        return player is not None and self.state == "playing" and (player.finished or player.error is not None)

    @property
    def has_work(self) -> bool:
        """Whether there are frames to take, or an end to note."""
        return (self.waits and self.state in ("playing", "paused")) or self.ends

    def take(self, most: int) -> list[tuple[Frame, float]]:
        """Up to `most` frames with their times, oldest first."""
        with self._room:
            batch = [self._inbox.popleft() for _ in range(min(most, len(self._inbox)))]
            self._room.notify_all()
        return batch

    def note_end(self) -> None:
        """Note that a file is over, or that it could not be read any further."""
        player = self.player
        if player is None or self.state != "playing":
            return
        if player.error is not None:
            self.error, self.state = player.error, "failed"
        elif player.finished:
            self.state = "ended"

    def status(self, clock: float) -> SourceStatus:
        """What a page shows, read without a lock.

        Args:
            clock: Time of the newest frame that the model has seen, in seconds; nan before the first.
        """
        player, state = self.player, self.state  # each is read once: another thread may replace it meanwhile
        behind = 0.0
        if player is not None and np.isfinite([player.position, clock]).all():
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
        """Raise HermesError where there is no source."""
        if self.player is None and not self.is_camera:
            raise HermesError("There is nothing to restart yet: choose a clip or the camera first.")
