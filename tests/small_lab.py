"""What tests of the lab share: which policies they measure, and what two runs of one seed have in common."""

from __future__ import annotations

POLICIES = ("hermes", "sliding-window", "full")


def without_times(value):
    """The value without what a clock measured."""
    if isinstance(value, dict):
        return {name: without_times(item) for name, item in value.items() if name != "times"}
    return [without_times(item) for item in value] if isinstance(value, list) else value
