"""Markdown of model cards: tables, percentages and verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def percent(value: float) -> str:
    """Format a share: "98.0 %", "100 %"."""
    return f"{100 * value:.0f} %" if value in (0, 1) else f"{100 * value:.1f} %"


def with_interval(row: dict[str, Any]) -> str:
    """Format an accuracy with its 95 % interval."""
    low, high = row["interval"]
    return f"**{percent(row['accuracy'])}** ({100 * low:.0f}–{100 * high:.0f})"


def with_guess(row: dict[str, Any] | None) -> str:
    """Format an accuracy with its 95 % interval and guess level; "–" for None."""
    return "–" if row is None else f"{with_interval(row)}, guess {percent(row['guess'])}"


def verdict(reached: bool) -> str:
    """Report whether a goal was reached."""
    return "reached" if reached else "**not reached**"
