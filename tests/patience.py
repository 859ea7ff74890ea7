"""Waiting for events: one deadline for all tests, long enough for a busy machine."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 120.0
"""Seconds after which an event that did not happen fails a test. A deadline, not a duration."""


def until(condition: Callable[[], object], complaint: str | Callable[[], str] = "it did not happen") -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, complaint() if callable(complaint) else complaint
        time.sleep(0.01)
