"""The clock of something recorded: it plays, pauses, jumps and changes speed. Needs no model."""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Callable

from hermes.errors import HermesError

ENDED_SECONDS = 0.5
"""Time that the last moment is shown before a run counts as ended, in seconds of wall time."""
_IDS = itertools.count(1)


class ReplayClock:
    """Stream time that passes on a clock. Any thread may call any method.

    Attributes:
        seconds: Stream time at which it ends.
        jumps: Rises whenever the clock was set to another time: what was shown before does not lead here.
    """

    def __init__(
        self, length: float, seconds: float = 0.0, speed: float = 1.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin paused.

        Args:
            length: Stream time at which it ends.
            seconds: Stream time to begin at.
            speed: Seconds of stream a second.
            clock: Gives wall time, in seconds.
        """
        self.seconds = length
        self.jumps = next(_IDS)
        self._now = clock
        self._lock = threading.Lock()
        self._speed = speed
        self._mark: tuple[float, float | None] = (self._inside(seconds), None)
        """Stream time, and the wall time at which the clock showed it; None while paused."""

    @property
    def position(self) -> float:
        """Stream time that is shown, in seconds."""
        at, since = self._mark
        return at if since is None else min(at + (self._now() - since) * self._speed, self.seconds)

    @property
    def speed(self) -> float:
        """Seconds of stream a second."""
        return self._speed

    @property
    def state(self) -> str:
        """Whether it is "playing", "paused" or "ended"."""
        at, since = self._mark
        over = at + (0 if since is None else (self._now() - since - ENDED_SECONDS) * self._speed)
        if over >= self.seconds:
            return "ended"
        return "paused" if since is None else "playing"

    def resume(self) -> None:
        """Let the clock go on; at the end, from the beginning."""
        if self.state == "ended":
            self.seek(0.0)
        with self._lock:
            self._mark = self.position, self._now()

    def pause(self) -> None:
        """Stop the clock."""
        with self._lock:
            self._mark = self.position, None

    stop = pause

    def seek(self, seconds: float) -> None:
        """Set the clock to a stream time; it goes on from there, or stays paused.

        Raises:
            HermesError: It is no time.
        """
        with self._lock:
            self._mark = self._inside(seconds), None if self._mark[1] is None else self._now()
            self.jumps = next(_IDS)

    def pace(self, speed: float) -> None:
        """Change the speed."""
        with self._lock:
            self._mark = self.position, None if self._mark[1] is None else self._now()
            self._speed = speed

    def restart(self) -> None:
        """From the beginning."""
        self.seek(0.0)
        self.resume()

    def _inside(self, seconds: float) -> float:
        if not math.isfinite(seconds):
            raise HermesError("The time to go to is no number of seconds.")
        return min(max(seconds, 0.0), self.seconds)
