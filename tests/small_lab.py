"""Helpers for tests of the lab: the measured policies, and the comparison of two runs with the same seed."""

from __future__ import annotations

POLICIES = ("hermes", "sliding-window", "full")


def without_times(value):
    """Return the value without measured times."""
    if isinstance(value, dict):
        return {name: without_times(item) for name, item in value.items() if name != "times"}
    return [without_times(item) for item in value] if isinstance(value, list) else value
