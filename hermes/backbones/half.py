"""Measures whether this CPU is faster in bfloat16: some are (AVX-512 BF16, AMX), others are a hundred times slower."""

from __future__ import annotations

import time
from typing import Final

import torch

REPEATS: Final = 10
SECONDS: Final = 1.0
"""Longest duration of the measurement, after the first runs."""
SPEEDUP: Final = 1.25
"""Minimum speedup of matrix products for which bfloat16 is worth its lower precision."""


def half_is_faster() -> bool:
    """Time a matrix product in float32 and bfloat16 (a tenth of a second; a few seconds on CPUs without bfloat16).

    The fastest of several alternating runs counts, because other programs can interrupt any of them.
    """
    kinds = (torch.float32, torch.bfloat16)
    factors = {kind: (torch.randn(512, 768).to(kind), torch.randn(768, 1024).to(kind)) for kind in kinds}
    fastest = dict.fromkeys(kinds, float("inf"))
    deadline = time.perf_counter() + SECONDS
    for _ in range(REPEATS):
        for kind, (left, right) in factors.items():
            start = time.perf_counter()
            left @ right
            fastest[kind] = min(fastest[kind], time.perf_counter() - start)
        if time.perf_counter() > deadline:
            break
    return fastest[torch.float32] > SPEEDUP * fastest[torch.bfloat16]
