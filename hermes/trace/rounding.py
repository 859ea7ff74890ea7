"""How three figures of a snapshot are rounded in a recorded run, and the whole numbers that they are stored as. Pure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from hermes.snapshot import Snapshot

Int = npt.NDArray[np.int64]
Float = npt.NDArray[np.float32]

UNIT_FIGURES = ("importance", "recency")
NONE = 255
"""Stands for nan where a figure is stored in steps of 1/254."""


def rounded(snapshot: Snapshot) -> Snapshot:
    """A snapshot as a recorded run gives it back: every field exact but the figures of the last eviction.

    Importance and recency are rounded to steps of 1/254 (where a policy leaves 0 to 1: to float16), guidance attention
    to float16 with four bits of mantissa, which is within 3.2 % of it.
    """
    return replace(
        snapshot,
        importance=figure(*coded(snapshot.importance)),
        recency=figure(*coded(snapshot.recency)),
        guidance_attention=coarse(coarse_code(snapshot.guidance_attention)),
    )


def coded(values: Float) -> tuple[Int, bool]:
    """A figure as whole numbers, and whether they are steps of 1/254 (255: nan) or else float16 bits."""
    known = values[~np.isnan(values)]
    if not known.size or (known.min() >= 0 and known.max() <= 1):
        return np.where(np.isnan(values), NONE, np.rint(np.nan_to_num(values) * 254)).astype(np.int64), True
    return values.astype(np.float16).view(np.int16).astype(np.int64), False


def figure(codes: Int, steps: bool) -> Float:
    """What `coded` was given, rounded."""
    if steps:
        return np.where(codes == NONE, np.float32(np.nan), codes.astype(np.float32) / np.float32(254))
    return codes.astype(np.int16).view(np.float16).astype(np.float32)


def coarse_code(values: Float) -> Int:
    """float16 bits, rounded to four bits of mantissa: the lowest six of its ten are dropped."""
    bits = values.astype(np.float16).view(np.int16).astype(np.int64)
    special = ~np.isfinite(values.astype(np.float16))
    return np.where(special, bits >> 6, (bits + 32) >> 6)


def coarse(codes: Int) -> Float:
    """What `coarse_code` was given, rounded."""
    return (codes << 6).astype(np.int16).view(np.float16).astype(np.float32)
