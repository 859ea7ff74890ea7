"""What the board knows of the past: how much of every frame each tier held over stream time, and what evictions did.

Coarse grids that fit the time axis, so that a stream of any length stays small. No browser, no messages.
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
"""Index of "every layer" behind the tiers, for policies that do not tell layers apart."""

Bytes = npt.NDArray[np.uint8]


def bin_sum(values: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    """Sum neighbouring columns: [rows, frames] -> [rows, ceil(frames / size)]."""
    if size == 1 or not values.shape[1]:
        return values
    return np.add.reduceat(values, np.arange(0, values.shape[1], size), axis=1)


def shares_of_groups(snapshot: Snapshot) -> npt.NDArray[np.float32]:
    """Share of every frame that each tier holds, and below them every layer together [4, frames], 0 to 1."""
    whole = snapshot.kept.astype(np.float32).mean(0) / max(snapshot.tokens_per_frame, 1)
    return np.concatenate([snapshot.retention(), whole[None]])


class RetentionHistory:
    """How much of every frame each tier held, over stream time, on a coarse grid that fits the axis.

    Row `m` tells of the moment when `(m + 1) * step` frames had been seen: [4, m + 1] shares as bytes, a tier a row and
    every layer together in the last.
    """

    def __init__(self, expected: int) -> None:
        self.step = 1
        while math.ceil(expected / self.step) > HISTORY_BINS:
            self.step *= 2
        self.bins = math.ceil(expected / self.step)
        self.rows: list[Bytes] = []

    def add(self, retention: npt.NDArray[np.float32]) -> list[int]:
        """Take the shares of now [4, frames]; returns the rows that changed. A gap is filled with what is known now."""
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
        """The same history on a coarser grid for a longer axis."""
        wide = RetentionHistory(expected)
        factor = wide.step // self.step
        for row in self.rows[factor - 1 :: factor] if factor > 1 else self.rows:
            sums = bin_sum(row.astype(np.float32), factor)
            counts = bin_sum(np.ones((1, row.shape[1]), np.float32), factor)
            wide.rows.append(np.rint(sums / counts).astype(np.uint8))
        return wide


class EventHistory:
    """What evictions did, summed over the same grid as `RetentionHistory`: a few numbers a bin.

    A row is [evictions, newest seconds, tokens evicted a layer of sensory, working, long-term memory and of all layers,
    tokens folded a layer that folds, evictions that compacted positions, summary tokens that were made (mean of all
    layers)].
    """

    def __init__(self, step: int) -> None:
        self.step = step
        self.rows: dict[int, list[float]] = {}
        self._known = 0

    def add(self, evictions: Sequence[Eviction], tiers: npt.NDArray[np.int8]) -> list[int]:
        """Take in the evictions that are new; returns the bins that changed."""
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
            folded = event.folded[event.folded > 0]
            row[6] += float(folded.mean()) if len(folded) else 0.0
            row[7] += bool(event.reindexed.any())
            row[8] += float((event.folded > 0).mean())
            changed.add(at)
        return sorted(changed)

    def told(self, bins: Sequence[int]) -> list[list[float]]:
        """Rows as messages carry them: the bin's number first."""
        return [[at, *(round(value, 2) for value in self.rows[at])] for at in bins]
