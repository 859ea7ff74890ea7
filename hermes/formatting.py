"""Format sizes, durations, stream times and p-values."""

from __future__ import annotations

from typing import Final

_UNITS: Final = ("B", "kB", "MB", "GB", "TB")


def format_bytes(count: float, digits: int = 1) -> str:
    """Format bytes in decimal units: "512 B", "1.5 kB", "2.0 GB".

    Args:
        count: Bytes, at least 0.
        digits: Digits after the decimal point, from kB on.
    """
    for unit in _UNITS[:-1]:
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.{digits}f} {unit}"
        count /= 1000
    return f"{count:.{digits}f} {_UNITS[-1]}"


def format_duration(seconds: float) -> str:
    """Format a rounded duration: "45 s", "12 min", "2.5 h"."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def format_bytes_short(count: float) -> str:
    """Format bytes with three significant digits, as the page does: "512 B", "3.41 MB"."""
    units = list(_UNITS)
    while count >= 1000 and len(units) > 1:
        count /= 1000
        units.pop(0)
    return f"{count:.3g} {units[0]}" if count < 100 else f"{round(count):,} {units[0]}"


def format_clock(seconds: float) -> str:
    """Format a stream time, rounded to seconds: "1:07", "1:02:03"."""
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def format_p_value(value: float | None) -> str:
    """Format a p-value: "0.0123", "< 0.0001"; None is a dash."""
    return "–" if value is None else "< 0.0001" if value < 0.0001 else f"{value:.4f}"
