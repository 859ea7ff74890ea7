"""One rising clock for the frames of a track, however its timestamps jump."""

from __future__ import annotations

import statistics
from collections import deque
from typing import Final

GAP_SECONDS: Final = 5.0
"""Stretches without frames that are longer than this are shortened ..."""
GAP_INTERVALS: Final = 4
"""... where they are also longer than this many usual intervals, so that slow recordings keep their times."""
GAP_SHOWN_SECONDS: Final = 1.0
"""What is left of a shortened stretch."""
MAX_NOTES: Final = 5
REGULAR_AGAIN: Final = 3
WRAP_TICKS: Final = 1 << 33


class FrameClock:
    """Gives each frame of a track, in the order of presentation, its time in ticks since the first frame.

    Times never fall. Where timestamps fall (recordings appended to one another, a clock that was set back), the next
    frame follows one usual interval after the last one. Gaps are shortened. A frame without a timestamp, or several in a
    row with the same one, follow at the usual interval.

    Attributes:
        now: Ticks of the newest frame; -1 before the first.
        interval: The usual ticks between frames, as assumed until there are enough to measure it.
        gaps: Times (seconds) at which a gap was shortened, with its length in seconds.
        joins: How often timestamps fell.
        passes_over: Whether frames before the next one were left out on purpose.
    """

    def __init__(self, seconds_per_tick: float, interval: int, *, wraps: bool = False) -> None:
        self.now = -1
        self.interval = max(interval, 1)
        self.gaps: list[tuple[float, float]] = []
        self.joins = 0
        self._tick = seconds_per_tick
        self._wraps = wraps
        self._first: int | None = None
        self._raw: int | None = None
        self._same = 0
        self.passes_over = False
        self._recent: deque[int] = deque(maxlen=64)

    def place(self, raw: int | None, *, damaged: bool = False) -> int | None:
        """The time of the next frame in ticks, from its timestamp; None for a second frame at the same time.

        Args:
            raw: The frame's timestamp in ticks; None where it has none.
            damaged: Frames before this one could not be decoded, so that a gap says nothing about the recording.
        """
        passed_over, self.passes_over = self.passes_over, False
        if self.now < 0:
            self._first, self._raw, self.now = raw, raw, 0
            return 0
        if raw is None or self._raw is None:
            self._raw = raw if self._raw is None else self._raw + self.interval
            return self._move(self.interval)
        delta = self._step(raw)
        self._raw += delta
        self._same = self._same + 1 if delta == 0 else 0
        if self._same == 1:
            return None
        if delta > 0 and (damaged or passed_over):
            return self._move(delta)
        return self._move(self._shown(delta))

    def pass_over(self) -> None:
        """The frames before the next one are left out on purpose; their timestamps were regular."""
        self.passes_over = True

    def ahead(self, raw: int) -> int:
        """The time in ticks that a frame with a timestamp has if all timestamps until there are regular."""
        return self.now if self._raw is None else self.now + self._step(raw)

    @property
    def span(self) -> int | None:
        """Ticks from the first timestamp to the newest as the file has them; None where they fell or are missing."""
        return None if self.joins or self._raw is None or self._first is None else self._raw - self._first

    def usual(self) -> int:
        """The usual ticks between two frames: the median of the last ones."""
        return round(statistics.median(self._recent)) if self._recent else self.interval

    def _step(self, raw: int) -> int:
        before = self._raw or 0
        return unwrapped(raw, before) - before if self._wraps else raw - before

    def is_regular_step(self, ticks: int) -> bool:
        """Whether a step of the timestamps is neither backwards nor a gap."""
        return 0 <= ticks <= self._longest()

    def notes(self) -> tuple[str, ...]:
        """Sentences about the gaps that were shortened."""
        told = [
            f"Nothing was recorded for {_length(length)} at {at:.1f} s: the gap is shortened to {GAP_SHOWN_SECONDS:g} s."
            for at, length in self.gaps[:MAX_NOTES]
        ]
        more = len(self.gaps) - len(told)
        return (*told, f"{more} more gaps were shortened.") if more > 0 else tuple(told)

    def _move(self, ticks: int) -> int:
        self.now += max(ticks, 1)
        return self.now

    def _shown(self, delta: int) -> int:
        """The ticks between two frames for a step of their timestamps."""
        if delta == 0:
            return self.interval
        if delta < 0:
            self.joins += 1
            return self.usual()
        if delta > self._longest():
            self.gaps.append((self.now * self._tick, delta * self._tick))
            return round(GAP_SHOWN_SECONDS / self._tick)
        self._recent.append(delta)
        return delta

    def _longest(self) -> float:
        """The longest step in ticks that is no gap."""
        return max(GAP_SECONDS / self._tick, GAP_INTERVALS * self.usual())


def unwrapped(raw: int, near: int) -> int:
    """A timestamp of 33 bits without its wraps: the possible value that is nearest to another timestamp."""
    return near + (raw - near + WRAP_TICKS // 2) % WRAP_TICKS - WRAP_TICKS // 2


def _length(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    if seconds < 48 * 3600:
        return f"{seconds / 60:.0f} minutes" if seconds < 7200 - 60 else f"{seconds / 3600:.1f} hours"
    return f"{seconds / 86_400:,.0f} days"


class Pace:
    """Counts frames that are missing from a file of constant rate, by the gaps between frame times.

    A gap counts once frames follow at the usual rate again, so that a rate that merely changes loses nothing.
    """

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._regular, self._all = 0, 0
        self._suspected, self._since = 0, 0

    def missing(self, gap: float) -> int:
        """Frames known to be lost after `gap` more seconds between two neighbours: 0 where the rate varies."""
        parts = gap / self._interval
        self._all += 1
        if abs(parts - 1.0) < 0.1:
            self._regular += 1
            self._since += 1
            if self._suspected and self._since >= REGULAR_AGAIN:
                lost, self._suspected = self._suspected, 0
                return lost
            return 0
        whole = round(parts)
        constant = self._all > 4 and self._regular >= 0.8 * self._all
        gone = whole - 1 if constant and whole >= 2 and abs(parts - whole) < 0.1 else 0
        self._suspected = self._suspected + gone if gone and self._since > 0 else 0
        self._since = 0
        return 0
