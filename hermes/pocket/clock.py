"""Time-based training schedules, logs and checkpoints that survive restarts."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


class Clock:
    """Measures how much of its time budget, in seconds, a stage has used, across restarts.

    Args:
        budget: Total time in seconds.
        used: Seconds used before this run.
        timer: Clock that counts seconds; `time.process_time` if other programs use most of the machine.
    """

    def __init__(self, budget: float, used: float = 0.0, timer: Callable[[], float] = time.monotonic) -> None:
        self.budget = budget
        self._used = used
        self._timer = timer
        self._started = timer()

    @property
    def used(self) -> float:
        """Time used so far, in seconds."""
        return self._used + self._timer() - self._started

    @property
    def share(self) -> float:
        """Fraction of the budget used, 0 to 1."""
        return min(self.used / self.budget, 1.0)

    def rate(self, peak: float, warm: float = 0.02, floor: float = 0.0) -> float:
        """Return the learning rate: linear warm-up over the share `warm`, then cosine decay to `floor` times the peak."""
        share = self.share
        if share < warm:
            return peak * (0.05 + 0.95 * share / warm)
        fall = 0.5 + 0.5 * math.cos(math.pi * (share - warm) / (1 - warm))
        return peak * (floor + (1 - floor) * fall)


class Log:
    """Appends JSON objects to a file, one per line, without buffering."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, **values: Any) -> None:
        """Append one line."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")


def save_state(path: Path, **state: Any) -> None:
    """Write a training state atomically: an interruption leaves the previous file intact."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half_way = path.with_suffix(".part")
    torch.save(state, half_way)
    half_way.replace(path)


def load_state(path: Path) -> dict[str, Any] | None:
    """Return the state written by `save_state`, or None if the file does not exist."""
    return torch.load(path, weights_only=False) if path.exists() else None
