"""Sizes and durations as text."""

from __future__ import annotations

from typing import Final

_UNITS: Final = ("B", "kB", "MB", "GB", "TB")


def format_bytes(count: float, digits: int = 1) -> str:
    """Bytes in decimal units: "512 B", "1.5 kB", "2.0 GB".

    Args:
        count: Bytes, at least 0.
        digits: Digits behind the point, from kB on.
    """
    for unit in _UNITS[:-1]:
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.{digits}f} {unit}"
        count /= 1000
    return f"{count:.{digits}f} {_UNITS[-1]}"


def format_duration(seconds: float) -> str:
    """A duration, rounded: "45 s", "12 min", "2.5 h"."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
