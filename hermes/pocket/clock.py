"""Training by the clock: schedules follow the time used, and survive a restart."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import torch


class Clock:
    """Counts the seconds a stage has used, out of its budget, across restarts."""

    def __init__(self, budget: float, used: float = 0.0) -> None:
        self.budget = budget
        self._used = used
        self._started = time.monotonic()

    @property
    def used(self) -> float:
        """Seconds used so far."""
        return self._used + time.monotonic() - self._started

    @property
    def share(self) -> float:
        """Used share of the budget, 0 to 1."""
        return min(self.used / self.budget, 1.0)

    def rate(self, peak: float, warm: float = 0.02, floor: float = 0.0) -> float:
        """Learning rate: linear warm-up over a share of the budget, then a half cosine down to `floor` of the peak."""
        share = self.share
        if share < warm:
            return peak * (0.05 + 0.95 * share / warm)
        fall = 0.5 + 0.5 * math.cos(math.pi * (share - warm) / (1 - warm))
        return peak * (floor + (1 - floor) * fall)


class Log:
    """Appends one JSON object a line, and keeps nothing in memory."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, **values: Any) -> None:
        """Add one line."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")


def save_state(path: Path, **state: Any) -> None:
    """Write a training state so that a stop half-way leaves the old one intact."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half_way = path.with_suffix(".part")
    torch.save(state, half_way)
    half_way.replace(path)


def load_state(path: Path) -> dict[str, Any] | None:
    """The state that `save_state` wrote, or None."""
    return torch.load(path, weights_only=False) if path.exists() else None
