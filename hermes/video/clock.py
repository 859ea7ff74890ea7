"""A monotonic clock for the frames of a track, for any sequence of timestamps, and an estimate of lost frames."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Callable
from typing import Final

GAP_SECONDS: Final = 5.0
"""Longer stretches without frames are shortened ..."""
GAP_INTERVALS: Final = 4
"""... if they are also longer than this many usual intervals, so that slow recordings keep their times."""
GAP_SHOWN_SECONDS: Final = 1.0
"""Length of a shortened stretch."""
MAX_NOTES: Final = 5
REGULAR_AGAIN: Final = 3
WRAP_TICKS: Final = 1 << 33


class FrameClock:
    """Assigns a time in ticks since the first frame to each frame of a track, in presentation order.

    Times never decrease. If timestamps decrease (appended recordings, a clock that was set back), the next frame follows
    after one usual interval. Gaps are shortened. Frames without a timestamp, or with the timestamp of the frame before,
    follow at the usual interval.

    Attributes:
        now: Ticks of the newest frame; -1 before the first.
        interval: Assumed ticks between frames, used until the interval can be measured.
        gaps: Shortened gaps: time and original length in seconds.
        joins: How often timestamps decreased.
        passes_over: Whether frames before the next one were skipped on purpose.
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
        """Return the time of the next frame in ticks; None for a second frame at the same time.

        Args:
            raw: The frame's timestamp in ticks, or None.
            damaged: Frames before this one could not be decoded, so that a gap is kept.
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
        """Note that frames with regular timestamps are skipped before the next one."""
        self.passes_over = True

    def ahead(self, raw: int) -> int:
        """Return the time in ticks of a later frame with this timestamp, if all timestamps before it are regular."""
        return self.now if self._raw is None else self.now + self._step(raw)

    @property
    def span(self) -> int | None:
        """Ticks from the first timestamp to the newest one in the file; None if they decreased or are missing."""
        return None if self.joins or self._raw is None or self._first is None else self._raw - self._first

    def usual(self) -> int:
        """Return the usual ticks between two frames: the median of the latest intervals."""
        return round(statistics.median(self._recent)) if self._recent else self.interval

    def _step(self, raw: int) -> int:
        before = self._raw or 0
        return unwrapped(raw, before) - before if self._wraps else raw - before

    def is_regular_step(self, ticks: int) -> bool:
        """Whether a step between timestamps is neither negative nor a gap."""
        return 0 <= ticks <= self._longest()

    def notes(self) -> tuple[str, ...]:
        """Return sentences about the shortened gaps."""
        sentences = [
            f"Nothing was recorded for {_length(length)} at {at:.1f} s: the gap is shortened to {GAP_SHOWN_SECONDS:g} s."
            for at, length in self.gaps[:MAX_NOTES]
        ]
        more = len(self.gaps) - len(sentences)
        return (*sentences, f"{more} more gaps were shortened.") if more > 0 else tuple(sentences)

    def _move(self, ticks: int) -> int:
        self.now += max(ticks, 1)
        return self.now

    def _shown(self, delta: int) -> int:
        """The ticks between two frames for a step between their timestamps."""
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
        """The longest step in ticks that is not a gap."""
        return max(GAP_SECONDS / self._tick, GAP_INTERVALS * self.usual())


def unwrapped(raw: int, near: int) -> int:
    """Return a 33-bit timestamp without wraps: the value that is nearest to another timestamp."""
    return near + (raw - near + WRAP_TICKS // 2) % WRAP_TICKS - WRAP_TICKS // 2


def _length(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    if seconds < 48 * 3600:
        return f"{seconds / 60:.0f} minutes" if seconds < 7200 - 60 else f"{seconds / 3600:.1f} hours"
    return f"{seconds / 86_400:,.0f} days"


class LossEstimator:
    """Estimates the number of frames lost from a file of constant rate from the gaps between frame times.

    A gap is counted once frames follow at the usual rate again, so that a change of the rate is not counted as loss.
    """

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._regular, self._all = 0, 0
        self._suspected, self._since = 0, 0

    def lost(self, gap: float, plausible: Callable[[int], bool]) -> int:
        """Return the number of frames that are now known to be lost; 0 if the rate varies.

        Args:
            gap: Seconds between this frame and the one before.
            plausible: Whether the file can contain a number of lost frames between these two.
        """
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
        gone = whole - 1 if constant and whole >= 2 and abs(parts - whole) < 0.1 and plausible(whole - 1) else 0
        self._suspected = self._suspected + gone if gone and self._since > 0 else 0
        self._since = 0
        return 0
