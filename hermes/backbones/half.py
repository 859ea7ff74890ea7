"""Measures whether this CPU is faster in bfloat16: some are (AVX-512 BF16, AMX), others are a hundred times slower."""

from __future__ import annotations

import time

import torch


def half_is_faster() -> bool:
    """Time a matrix product in float32 and bfloat16 (a few milliseconds; a second on CPUs without bfloat16)."""
    seconds = {}
    for kind in (torch.float32, torch.bfloat16):
        left, right = torch.randn(512, 128).to(kind), torch.randn(128, 384).to(kind)
        left @ right
        start = time.perf_counter()
        for _ in range(10):
            left @ right
        seconds[kind] = time.perf_counter() - start
    return seconds[torch.bfloat16] < 0.8 * seconds[torch.float32]
