"""Compares the publications' claims about HERMES with the measurements. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hermes.lab.plan import Cell, LabPlan
from hermes.lab.statistics import difference_interval, ratio_interval

HERMES: Final = "hermes"
QUARTER: Final = 0.25
EXPECTED_SHARE: Final = 0.95
"""Share of the full cache's accuracy that a quarter of its tokens should keep."""
EXPECTED_LEAD: Final = 0.20
"""Expected lead over `BASELINES` on memory questions, as a difference in accuracy."""
BASELINES: Final = ("sliding-window", "uniform-frames")

Sums = Callable[[Cell, str], npt.NDArray[np.float64]]
"""Number of right answers of a cell in each stream, for a group of questions [streams]."""


def expectations(
    plan: LabPlan,
    cells: Mapping[str, list[Cell]],
    right: Sums,
    asked: Mapping[str, npt.NDArray[np.float64]],
    weights: Any,
) -> list[dict[str, Any]]:
    """Evaluate every claim that the measurements cover.

    Args:
        plan: The plan that was measured.
        cells: The measured cells by policy.
        right: Right answers per stream, for a cell and "all" or "memory".
        asked: Questions per stream, for "all" and "memory" [streams]; groups without questions are missing.
        weights: From `bootstrap_weights`.

    Returns:
        For JSON: the `claim`, the measured `value` with its interval, the `expected` minimum, and the `verdict`:
        "confirmed" if the whole interval is at least the minimum, "refuted" if it is below, else "not settled".
    """
    found = []
    quarter = [c for c in cells.get(HERMES, []) if c.budget and abs(c.budget / plan.full - QUARTER) < 0.005]
    for own_cell in quarter:
        for full in cells.get("full", []):
            for group in asked:
                own, whole = right(own_cell, group), right(full, group)
                if not whole.sum():
                    continue
                bounds = ratio_interval(own, whole, weights)
                claim = f"HERMES keeps at least 95 % of the full cache’s accuracy with 25 % of its tokens ({group})"
                found.append(_row(claim, float(own.sum() / whole.sum()), bounds, EXPECTED_SHARE))
    if "memory" not in asked:
        return found
    total = asked["memory"]
    for own_cell in cells.get(HERMES, []):
        for baseline in (cell for name in BASELINES for cell in cells.get(name, []) if cell.budget == own_cell.budget):
            own, theirs = right(own_cell, "memory"), right(baseline, "memory")
            share = f"{100 * (own_cell.budget or 0) / plan.full:.0f} %"
            claim = (
                f"HERMES leads {baseline.preset.title} by at least 20 points on memory, at {share} of the full cache"
            )
            value = float((own - theirs).sum() / total.sum())
            found.append(_row(claim, value, difference_interval(own, theirs, total, weights), EXPECTED_LEAD))
    return found


def _row(claim: str, value: float, bounds: tuple[float, float], expected: float) -> dict[str, Any]:
    low, high = bounds
    verdict = "confirmed" if low >= expected else "refuted" if high < expected else "not settled"
    numbers = {"value": round(value, 4), "low": round(low, 4), "high": round(high, 4), "expected": expected}
    return {"claim": claim, **numbers, "verdict": verdict}
