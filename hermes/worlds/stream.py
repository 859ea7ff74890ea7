"""Rendered streams of any world."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

E = TypeVar("E")


@dataclass(frozen=True)
class RenderedStream(Generic[E]):
    """A rendered stream with its ground truth.

    Attributes:
        frames: uint8 [T, H, W, 3], RGB.
        times: float64 [T], seconds from the start.
        events: Ground truth; starts and ends are frame indices.
        fps: Frames per second.
    """

    frames: NDArray[np.uint8]
    times: NDArray[np.float64]
    events: list[E] = field(default_factory=list)
    fps: float = 2.0
