"""Progress of commands on standard error, drawn by tqdm. Bars are hidden where standard error is not a terminal."""

from __future__ import annotations

import math
import sys
import time
from types import TracebackType
from typing import Any, Final

from tqdm import tqdm

from hermes.formatting import format_duration

REPORT_SECONDS: Final = 2.0
"""Time between two lines of a recording's progress where there is no terminal."""


def progress_bar(**settings: Any) -> tqdm[Any]:
    """Create a progress bar that disappears when it is closed."""
    return tqdm(file=sys.stderr, disable=not sys.stderr.isatty(), leave=False, dynamic_ncols=True, **settings)


class StatusLine:
    """One line that describes the current step."""

    def __init__(self) -> None:
        """Start without a line."""
        self._bar: tqdm[Any] | None = None

    def __call__(self, text: str) -> None:
        """Show a description; an empty one removes the line."""
        if not text:
            self.close()
            return
        if self._bar is None:
            self._bar = progress_bar(bar_format="{desc}")
        self._bar.set_description_str(text)

    def close(self) -> None:
        """Remove the line."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class LoadingBar:
    """Progress of loading a model, with a description of the current step."""

    def __init__(self) -> None:
        """Start at 0 %."""
        self._bar = progress_bar(total=1.0, bar_format="{desc} {percentage:3.0f}% |{bar}|")

    def __call__(self, text: str, share: float) -> None:
        """Show a description and the progress, 0 to 1."""
        self._bar.set_description_str(text, refresh=False)
        self._bar.update(share - self._bar.n)
        self._bar.refresh()

    def close(self) -> None:
        """Remove the bar."""
        self._bar.close()


class RecordingProgress:
    """Progress of a recording in stream time: a bar on a terminal, else a line every `REPORT_SECONDS`."""

    def __init__(self, name: str) -> None:
        """Start a bar.

        Args:
            name: Name of the recording.
        """
        self._name = name
        self._reported_at = time.monotonic()
        self._bar = self._new_bar()

    def _new_bar(self) -> tqdm[Any]:
        return progress_bar(desc=self._name, unit="s", bar_format="{l_bar}{bar}| {n:.0f}/{total_fmt} s{postfix}")

    def restarted(self, name: str) -> RecordingProgress:
        """Replace the bar by one for another recording, and return this object."""
        self.close()
        self._name = name
        self._bar = self._new_bar()
        return self

    def __call__(self, clock: float, duration: float, moments: int) -> None:
        """Report the stream time, the duration (nan: unknown), both in seconds, and the number of moments."""
        if not self._bar.disable:
            self._bar.total = duration if math.isfinite(duration) else None
            self._bar.set_postfix_str(f"{moments:,} moments", refresh=False)
            self._bar.update(clock - self._bar.n)
            return
        now = time.monotonic()
        if now - self._reported_at >= REPORT_SECONDS:
            self._reported_at = now
            total = f" of {duration:.0f}" if math.isfinite(duration) else ""
            print(f"hermes: {self._name}: {clock:.0f}{total} s, {moments:,} moments", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Remove the bar."""
        self._bar.close()

    def __enter__(self) -> RecordingProgress:
        """Return this object."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the bar."""
        self.close()


class CountProgress:
    """Progress of a countable amount of work: a bar on a terminal, elsewhere a line for every 5 %."""

    def __init__(self, unit: str, done: str) -> None:
        """Start a bar.

        Args:
            unit: What is counted, for the bar.
            done: What was done with it, for the lines: "12 of 24 measured".
        """
        self._bar = progress_bar(unit=unit)
        self._done = done
        self._began = time.monotonic()
        self._before: int | None = None
        self._reported = -1

    def __call__(self, done: int, total: int) -> None:
        """Report that `done` of `total` are done."""
        if self._before is None:
            self._bar.reset(total)
            self._before = self._bar.n = self._bar.initial = done  # measured by an earlier run of the command
        self._bar.update(done - self._bar.n)
        twentieth = 20 * done // max(total, 1)
        if self._bar.disable and twentieth > self._reported:
            self._reported = twentieth
            new = done - self._before
            left = (
                f", about {format_duration((time.monotonic() - self._began) / new * (total - done))} left"
                if new
                else ""
            )
            print(f"{done} of {total} {self._done}{left}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Remove the bar."""
        self._bar.close()
