"""Waiting for events: one deadline for all tests, long enough for a busy machine."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 120.0
"""Seconds after which an event that did not happen fails a test. A deadline, not a duration."""


PAUSES = (0.01, 1.0)
"""Shortest and longest pause between two checks of a condition, in seconds."""


def until(condition: Callable[[], object], complaint: str | Callable[[], str] = "it did not happen") -> None:
    """Wait until a condition holds. A poll of a page takes many milliseconds, so pauses are ten times as long as checks."""
    end = time.monotonic() + PATIENCE
    while True:
        began = time.monotonic()
        if condition():
            return
        now = time.monotonic()
        assert now < end, complaint() if callable(complaint) else complaint
        time.sleep(min(max(10 * (now - began), PAUSES[0]), PAUSES[1]))
