"""Rounding of three scores of a snapshot in recorded runs, and their integer codes. Pure functions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from hermes.snapshot import Snapshot

Int = npt.NDArray[np.int64]
Float = npt.NDArray[np.float32]

UNIT_FIGURES = ("importance", "recency")
NONE = 255
"""Code of nan for scores in steps of 1/254."""


def rounded(snapshot: Snapshot) -> Snapshot:
    """Return a snapshot as it is read from a recorded run: exact except for the scores of the last eviction.

    Importance and recency are rounded to steps of 1/254 (to float16 if values are outside 0 to 1), guidance attention to
    float16 with four bits of mantissa (relative error at most 3.2 %).
    """
    return replace(
        snapshot,
        importance=figure(*coded(snapshot.importance)),
        recency=figure(*coded(snapshot.recency)),
        guidance_attention=coarse(coarse_code(snapshot.guidance_attention)),
    )


def coded(values: Float) -> tuple[Int, bool]:
    """Encode scores as integers; returns whether they are steps of 1/254 (255: nan) or float16 bits."""
    known = values[~np.isnan(values)]
    if not known.size or (known.min() >= 0 and known.max() <= 1):
        return np.where(np.isnan(values), NONE, np.rint(np.nan_to_num(values) * 254)).astype(np.int64), True
    return values.astype(np.float16).view(np.int16).astype(np.int64), False


def figure(codes: Int, steps: bool) -> Float:
    """Decode the scores of `coded`."""
    if steps:
        return np.where(codes == NONE, np.float32(np.nan), codes.astype(np.float32) / np.float32(254))
    return codes.astype(np.int16).view(np.float16).astype(np.float32)


def coarse_code(values: Float) -> Int:
    """Encode values as float16 bits rounded to four bits of mantissa: the lowest six of ten are dropped."""
    bits = values.astype(np.float16).view(np.int16).astype(np.int64)
    special = ~np.isfinite(values.astype(np.float16))
    return np.where(special, bits >> 6, (bits + 32) >> 6)


def coarse(codes: Int) -> Float:
    """Decode the values of `coarse_code`."""
    return (codes << 6).astype(np.int16).view(np.float16).astype(np.float32)
