"""Fewer combinations of three parameters than all of them, with every pair of values still tested together."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any


def pairwise(first: Collection[Any], second: Collection[Any], third: Collection[Any]) -> list[tuple[Any, Any, Any]]:
    """Combine each value of `first` with each of `second`, and with the values of `third` in turn.

    Every two values of different lists occur in one combination, if `first` and `second` are at least as long as `third`.
    """
    assert min(len(first), len(second)) >= len(third)
    turns = list(third)
    return [(a, b, turns[(i + j) % len(turns)]) for i, a in enumerate(first) for j, b in enumerate(second)]
