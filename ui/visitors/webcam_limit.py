"""The time limit of webcam streams: a webcam has no end, so it must not keep a live slot from visitors who wait.

A webcam that held its slot for longer than the limit ends while others wait, after a warning. Without a queue none ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Generic, TypeVar

V = TypeVar("V")
"""A visitor; hashable."""
WEBCAM_MINUTES: Final = 5
"""Default time limit in minutes."""
WARNING_SECONDS: Final = 60.0
"""Time between the warning on the page and the end of the stream, in seconds."""


class WebcamLimit(Generic[V]):
    """Decides which webcam streams end. Not thread-safe: callers must hold a lock."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        """Set the limit.

        Args:
            seconds: Time limit; 0: none.
            clock: Returns the time in seconds.
        """
        self.seconds = seconds
        self._clock = clock
        self._ends: dict[V, float] = {}  # times at which the streams end whose visitors have been warned

    def overdue(self, waiting: int, webcams: Mapping[V, float]) -> list[V]:
        """Warn the visitors whose webcam streams end soon, and return those whose streams end now.

        Only as many streams end as visitors wait, oldest first. Each is warned for `WARNING_SECONDS`, and the warnings are
        withdrawn when no visitor waits any longer.

        Args:
            waiting: Number of visitors who wait for a live slot.
            webcams: For each visitor with a webcam stream, the time at which it got its slot.
        """
        now = self._clock()
        oldest = sorted(webcams, key=lambda visitor: webcams[visitor])[:waiting] if self.seconds else []
        ends: dict[V, float] = {}
        for visitor in oldest:
            due = webcams[visitor] + self.seconds
            if due - now <= WARNING_SECONDS:
                ends[visitor] = self._ends.get(visitor, max(due, now + WARNING_SECONDS))
        self._ends = ends
        return [visitor for visitor, at in ends.items() if at <= now]

    def seconds_left(self, visitor: V) -> float | None:
        """Return the time until a visitor's stream ends; None if it has not been warned."""
        at = self._ends.get(visitor)
        return None if at is None else max(at - self._clock(), 0.0)
