"""History of the board: the retention of every frame in each tier over stream time, and the effects of evictions.

Both are stored on a coarse grid that fits the time axis, so that their size does not depend on the stream's length.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hermes.snapshot import TIERS, Eviction, Snapshot

HISTORY_BINS = 96
ALL = len(TIERS)
"""Index of the group of all layers, after the tiers; for policies without tiers."""

Bytes = npt.NDArray[np.uint8]


def bin_sum(values: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    """Sum `size` neighboring columns: [rows, frames] -> [rows, ceil(frames / size)]."""
    if size == 1 or not values.shape[1]:
        return values
    return np.add.reduceat(values, np.arange(0, values.shape[1], size), axis=1)


def shares_of_groups(snapshot: Snapshot) -> npt.NDArray[np.float32]:
    """Return the share of every frame that each tier and, in the last row, all layers hold: [4, frames], 0 to 1."""
    whole = snapshot.kept.astype(np.float32).mean(0) / max(snapshot.tokens_per_frame, 1)
    return np.concatenate([snapshot.retention(), whole[None]])


class RetentionHistory:
    """Retention of every frame in each tier over stream time, on a coarse grid of at most `HISTORY_BINS` bins.

    Row `m` describes the moment when `(m + 1) * step` frames had been seen: shares as bytes [4, m + 1], one row per tier
    and the last one for all layers.
    """

    def __init__(self, expected: int, step: int = 1) -> None:
        self.step = step
        while math.ceil(expected / self.step) > HISTORY_BINS:
            self.step *= 2
        self.bins = math.ceil(expected / self.step)
        self.rows: list[Bytes] = []

    def add(self, retention: npt.NDArray[np.float32]) -> list[int]:
        """Add the current shares [4, frames] and return the rows that changed. Skipped rows get the current shares."""
        frames = retention.shape[1]
        if not frames:
            return []
        sums = bin_sum(retention, self.step)
        counts = bin_sum(np.ones((1, frames), np.float32), self.step)
        now = np.rint(sums / counts * 255).astype(np.uint8)
        newest = now.shape[1] - 1
        first = min(len(self.rows), newest)
        self.rows[first:] = [now[:, : row + 1] for row in range(first, newest + 1)]
        return list(range(first, newest + 1))

    def widened(self, expected: int) -> RetentionHistory:
        """Return this history on a grid for an axis of `expected` frames, at least as coarse as this one."""
        wide = RetentionHistory(expected, self.step)
        factor = wide.step // self.step
        for row in self.rows[factor - 1 :: factor] if factor > 1 else self.rows:
            sums = bin_sum(row.astype(np.float32), factor)
            counts = bin_sum(np.ones((1, row.shape[1]), np.float32), factor)
            wide.rows.append(np.rint(sums / counts).astype(np.uint8))
        return wide


class EventHistory:
    """Effects of evictions, summed over the bins of the same grid as `RetentionHistory`.

    A row contains: number of evictions; time of the newest one in seconds; evicted tokens per layer of sensory, working
    and long-term memory and of all layers; tokens merged into summary tokens, per layer that merges; number of evictions
    that re-indexed positions; summary tokens created (mean over all layers).
    """

    def __init__(self, step: int) -> None:
        self.step = step
        self.rows: dict[int, list[float]] = {}
        self._known = 0

    def add(self, evictions: Sequence[Eviction], tiers: npt.NDArray[np.int8]) -> list[int]:
        """Add the new evictions of the list and return the bins that changed."""
        if len(evictions) < self._known:
            self.rows, self._known = {}, 0
        new = evictions[self._known :]
        self._known = len(evictions)
        changed: set[int] = set()
        for event in new:
            at = max(0, event.frames_seen - 1) // self.step
            row = self.rows.setdefault(at, [0.0] * 9)
            row[0] += 1
            row[1] = event.seconds
            for group in range(len(TIERS)):
                mine = event.evicted[tiers == group]
                row[2 + group] += float(mine.mean()) if len(mine) else 0.0
            row[2 + ALL] += float(event.evicted.mean())
            merged = event.merged[event.merged > 0]
            row[6] += float(merged.mean()) if len(merged) else 0.0
            row[7] += bool(event.reindexed.any())
            row[8] += float((event.merged > 0).mean())
            changed.add(at)
        return sorted(changed)

    def encoded(self, bins: Sequence[int]) -> list[list[float]]:
        """Return rows for a message, each with its bin number first."""
        return [[at, *(round(value, 2) for value in self.rows[at])] for at in bins]
