"""Clock of a replay: play, pause, seek, change speed."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from uuid import uuid4

from hermes.errors import HermesError

ENDED_SECONDS = 0.5
"""Wall time for which the last moment is shown before the replay ends, in seconds."""


class ReplayClock:
    """Maps wall time to stream time. Thread-safe.

    Attributes:
        seconds: Length, in seconds of stream time.
        jumps: Changes with every seek, so that incremental updates start again.
    """

    def __init__(
        self, length: float, seconds: float = 0.0, speed: float = 1.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Start paused.

        Args:
            length: Length, in seconds of stream time.
            seconds: Stream time to start at.
            speed: Seconds of stream time per second.
            clock: Returns wall time in seconds.
        """
        self.seconds = length
        self.jumps = uuid4().hex
        self._now = clock
        self._lock = threading.Lock()
        self._speed = speed
        self._mark: tuple[float, float | None] = (self._inside(seconds), None)
        """A stream time, and the wall time at which it was reached; None while paused."""

    @property
    def position(self) -> float:
        """Current stream time, in seconds."""
        at, since = self._mark
        return at if since is None else min(at + (self._now() - since) * self._speed, self.seconds)

    @property
    def speed(self) -> float:
        """Seconds of stream time per second."""
        return self._speed

    @property
    def state(self) -> str:
        """One of "playing", "paused" and "ended"."""
        at, since = self._mark
        over = at + (0 if since is None else (self._now() - since - ENDED_SECONDS) * self._speed)
        if over >= self.seconds:
            return "ended"
        return "paused" if since is None else "playing"

    def resume(self) -> None:
        """Play. At the end, play again from the start."""
        if self.state == "ended":
            self.seek(0.0)
        with self._lock:
            self._mark = self.position, self._now()

    def pause(self) -> None:
        """Pause."""
        with self._lock:
            self._mark = self.position, None

    stop = pause

    def seek(self, seconds: float) -> None:
        """Jump to a stream time, without changing between playing and paused.

        Raises:
            HermesError: `seconds` is not finite.
        """
        with self._lock:
            self._mark = self._inside(seconds), None if self._mark[1] is None else self._now()
            self.jumps = uuid4().hex

    def pace(self, speed: float) -> None:
        """Set the speed, in seconds of stream time per second."""
        with self._lock:
            self._mark = self.position, None if self._mark[1] is None else self._now()
            self._speed = speed

    def restart(self) -> None:
        """Play from the start."""
        self.seek(0.0)
        self.resume()

    def _inside(self, seconds: float) -> float:
        if not math.isfinite(seconds):
            raise HermesError("The time to jump to is not a number of seconds.")
        return min(max(seconds, 0.0), self.seconds)
