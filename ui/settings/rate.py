"""The frame rate of a stream: lowered before it starts if the model is too slow on this machine."""

from __future__ import annotations

from typing import Final

FRAME_RATES: Final = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Frame rates that the page offers."""


def lower_rate(measured: float | None, wanted: float) -> float | None:
    """Return the largest offered rate up to a measured one; None if `wanted` is achievable or nothing was measured."""
    if measured is None or measured >= wanted:
        return None
    return max((rate for rate in FRAME_RATES if rate <= measured), default=FRAME_RATES[0])
