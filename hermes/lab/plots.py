"""Plots of the report as SVG text: few elements, no script, colours from the page's style sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log2
from typing import Final
from xml.sax.saxutils import escape

PANEL: Final = (230, 150)  # pixels of a small panel, width and height
MARGIN: Final = (34, 10, 18, 26)  # left, top, right, bottom
ROW: Final = 22  # height of a row in a forest or a bar chart
NAMES: Final = 190  # width of the names beside rows


@dataclass(frozen=True)
class Point:
    """A value with its interval, 0 to 1, at a share of the full cache."""

    share: float
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Bar:
    """A row with a name: a value and its interval."""

    name: str
    value: float
    low: float
    high: float


def panel(
    title: str,
    line: Sequence[Point],
    reference: Sequence[Point],
    full: Point | None,
    guess: float,
    shares: Sequence[float],
) -> str:
    """One policy's accuracy over the budget, with the reference behind it.

    Args:
        title: Name of the policy.
        line: Its values, by rising share; empty where it has no budget.
        reference: The reference's values.
        full: The full cache's value, drawn as a dashed line.
        guess: What guessing reaches, drawn as a dotted line.
        shares: All budgets as shares of the full cache, for the axis.
    """
    left, top, right, bottom = MARGIN
    width, height = PANEL
    low, high = log2(min(shares)), log2(max(shares))

    def x(share: float) -> float:
        return left + (width - left - right) * ((log2(share) - low) / (high - low) if high > low else 0.5)

    def y(value: float) -> float:
        return top + (height - top - bottom) * (1 - value)

    parts = [_open(width, height, f"{title}: accuracy over the budget")]
    for tick in (0.0, 0.5, 1.0):
        parts.append(f'<path class="grid" d="M{left} {y(tick):.1f}H{width - right}"/>')
        parts.append(
            f'<text class="tick" x="{left - 5}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick * 100:.0f}</text>'
        )
    parts += [
        f'<text class="tick" x="{x(share):.1f}" y="{height - 10}" text-anchor="middle">{share * 100:.0f} %</text>'
        for share in shares
    ]
    parts.append(f'<path class="guess" d="M{left} {y(guess):.1f}H{width - right}"/>')
    if full is not None:
        parts.append(f'<path class="full" d="M{left} {y(full.value):.1f}H{width - right}"/>')
    for points, name in ((reference, "reference"), (line, "line")):
        if points:
            path = "L".join(f"{x(p.share):.1f} {y(p.value):.1f}" for p in points)
            parts.append(f'<path class="{name}" d="M{path}"/>')
    for p in line:
        bounds = f"M{x(p.share):.1f} {y(p.low):.1f}V{y(p.high):.1f}"
        parts.append(f'<path class="bounds" d="{bounds}"/>')
        parts.append(
            f'<circle class="point" cx="{x(p.share):.1f}" cy="{y(p.value):.1f}" r="3">'
            f"<title>{_percent(p.value)} ({_percent(p.low)} to {_percent(p.high)})</title></circle>"
        )
    return "".join([*parts, "</svg>"])


def forest(rows: Sequence[Bar], title: str, width: int = 640) -> str:
    """Differences with their intervals around zero, one row each, in percentage points.

    Args:
        rows: Names, differences (-1 to 1) and intervals.
        title: What is shown, for those who cannot see it.
        width: Of the picture, in pixels.
    """
    most = max([0.05, *(abs(end) for row in rows for end in (row.low, row.high))])
    height = ROW * len(rows) + 28
    middle = NAMES + (width - NAMES - 70) / 2
    unit = (width - NAMES - 70) / 2 / most
    parts = [_open(width, height, title), f'<path class="zero" d="M{middle:.1f} 0V{height - 20}"/>']
    for sign in (-1, 1):
        at = middle + sign * most * unit
        parts.append(
            f'<text class="tick" x="{at:.1f}" y="{height - 5}" text-anchor="middle">{sign * most * 100:+.0f}</text>'
        )
    parts.append(f'<text class="tick" x="{middle:.1f}" y="{height - 5}" text-anchor="middle">0</text>')
    for i, row in enumerate(rows):
        y = ROW * i + ROW / 2
        sort = "better" if row.low > 0 else "worse" if row.high < 0 else "same"
        a, b, c = (middle + value * unit for value in (row.low, row.value, row.high))
        parts.append(
            f'<g class="{sort}"><text x="{NAMES - 8}" y="{y + 4}" text-anchor="end">{escape(row.name)}</text>'
            f'<path d="M{a:.1f} {y}H{c:.1f}"/>{_mark(sort, b, y)}'
            f'<text x="{width - 4}" y="{y + 4}" text-anchor="end">{row.value * 100:+.1f}</text></g>'
        )
    return "".join([*parts, "</svg>"])


def _mark(sort: str, x: float, y: float) -> str:
    """The middle of an interval: its shape says the same as its colour."""
    if sort == "same":
        return f'<circle cx="{x:.1f}" cy="{y}" r="4"/>'
    tip = -5 if sort == "better" else 5
    return f'<path class="mark" d="M{x - 5:.1f} {y - tip}H{x + 5:.1f}L{x:.1f} {y + tip}Z"/>'


def shares(rows: Sequence[tuple[str, Sequence[float]]], classes: Sequence[str], title: str, width: int = 640) -> str:
    """Stacked bars: each row's parts as shares of its sum.

    Args:
        rows: Name and parts of each row; parts are counts, at least 0.
        classes: Style class of each part.
        title: What is shown.
        width: Of the picture, in pixels.
    """
    height = ROW * len(rows) + 4
    room = width - NAMES - 60
    parts = [_open(width, height, title)]
    for i, (name, counts) in enumerate(rows):
        y, x = ROW * i + 3, float(NAMES)
        total = sum(counts)
        parts.append(f'<text x="{NAMES - 8}" y="{y + 13}" text-anchor="end">{escape(name)}</text>')
        for count, style in zip(counts, classes, strict=True):
            if count:
                length = room * count / total
                parts.append(
                    f'<rect class="{style}" x="{x:.1f}" y="{y}" width="{length:.1f}" height="{ROW - 5}">'
                    f"<title>{count:g} of {total:g}</title></rect>"
                )
                x += length
        parts.append(f'<text x="{width - 4}" y="{y + 13}" text-anchor="end">{total:g}</text>')
    return "".join([*parts, "</svg>"])


def _open(width: float, height: float, label: str) -> str:
    return f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label, {chr(34): "&quot;"})}">'


def _percent(value: float) -> str:
    return f"{value * 100:.1f} %"
