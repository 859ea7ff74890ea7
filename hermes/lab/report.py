"""Renders a lab summary as a self-contained HTML file with the template `templates/report.html`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from hermes import plots
from hermes.formatting import format_bytes, format_p_value
from hermes.lab.merge import sources_of
from hermes.lab.report_page import figure_in_both_schemes, render_report
from hermes.lab.summary import several_runs
from hermes.plots.lab import OUTCOMES
from hermes.policies.fidelity import GROUPS

Cell = dict[str, Any]

MEANINGS: Final = {
    "not sampled": "no frame shows it",
    "evicted": "seen, then evicted",
    "not retrieved": "in the archive, or in memory that the answer did not read",
    "unread": "held, but not attended to",
    "read": "held and attended to, but the answer is wrong",
    "absent": "there is none: the true answer depends on something that was not shown",
    "unknown": "its position is unknown",
}
"""Meaning of the outcomes of evidence attribution."""


def report(summary: dict[str, Any]) -> str:
    """Render the report.

    Args:
        summary: Content of `lab.json`: from `hermes.lab.summary.summarise`, with `machine` (see
            `hermes.bench.machine.describe_machine`) and `command` (the command that repeats the measurement), or from
            `hermes.lab.merge.merge_all`.

    Returns:
        The HTML page, about 5 MB, most of it the plotting library.
    """
    figures: dict[str, dict[str, Any]] = {}
    measured = [cell for cell in summary["cells"] if "error" not in cell]
    context = {
        "summary": summary,
        "setup": summary["setup"],
        "sources": sources_of(summary),
        "groups": _grouped(measured),
        "described": {cell["policy"]: cell for cell in summary["cells"]},
        "measured": measured,
        "failed": [cell for cell in summary["cells"] if "error" in cell],
        "several_runs": several_runs(summary),
        "main_group": _main_group(summary),
        "accuracy": _accuracy(summary, figures),
        "budgets": _tables_by_budget(summary, measured),
        "comparisons": _comparisons(summary, figures),
        "wrong": _wrong(measured, summary, figures),
        "outcomes": [(word, MEANINGS[word], OUTCOMES[word]) for word in _used(measured)],
        "titles": {cell["policy"]: cell["title"] for cell in summary["cells"]},
    }
    filters = {"percent": _percent, "points": _points, "bytes": format_bytes, "p": format_p_value}
    return render_report("hermes.lab", "report.html", figures, context, filters)


def _grouped(cells: Sequence[Cell]) -> list[tuple[str, list[Cell]]]:
    """Return the cells of each group with its title."""
    return [(title, [cell for cell in cells if cell["fidelity"] == name]) for name, title in GROUPS.items()]


def _percent(value: float, digits: int = 1) -> str:
    return f"{100 * value:.{digits}f}"


def _points(value: float) -> str:
    return f"{100 * value:+.1f}"


def _add(figures: dict[str, dict[str, Any]], name: str, draw: Callable[..., plots.Figure], *args: Any) -> str:
    """Draw a figure for light and dark backgrounds and add it under a name, which is returned."""
    figures[name] = figure_in_both_schemes(draw, *args)
    return name


def _main_group(summary: dict[str, Any]) -> dict[str, Any]:
    """Group of questions shown in the figures: memory questions, or all questions if there are none."""
    groups: dict[str, dict[str, Any]] = {group["id"]: group for group in summary["groups"]}
    return groups.get("memory") or groups["all"]


def _accuracy(summary: dict[str, Any], figures: dict[str, dict[str, Any]]) -> str:
    """Add the figure of accuracy by budget and return its name; empty if no policy has a budget."""
    if not any(cell["budget"] is not None for cell in summary["cells"] if "error" not in cell):
        return ""
    return _add(figures, "accuracy", plots.accuracy_by_budget, summary, _main_group(summary)["id"])


def _tables_by_budget(summary: dict[str, Any], measured: Sequence[Cell]) -> list[dict[str, Any]]:
    """For each budget, the groups by kind and by age, and the cells to list, including policies without a budget."""
    tables = []
    for budget in sorted({cell["budget"] for cell in summary["cells"] if cell["budget"] is not None}):
        parts = []
        for sort, title in (("kind", "By kind of question"), ("age", "By age of the evidence")):
            groups = [g for g in summary["groups"] if g["sort"] == sort]
            if groups:
                totals = [g for g in summary["groups"] if g["sort"] == "total"] if sort == "kind" else []
                parts.append({"title": title, "groups": totals + groups})
        cells = _grouped([cell for cell in measured if cell["budget"] in (budget, None)])
        tables.append({"budget": budget, "share": _share(summary, budget), "parts": parts, "cells": cells})
    return tables


def _share(summary: dict[str, Any], budget: int) -> str:
    return f"{100 * budget / summary['setup']['full_tokens']:.0f} %"


def _comparisons(summary: dict[str, Any], figures: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """For each budget, the paired comparisons with the reference and their figure."""
    group = _main_group(summary)["id"]
    parts = []
    for budget in dict.fromkeys(row["budget"] for row in summary["comparisons"]):
        rows = [row for row in summary["comparisons"] if row["budget"] == budget]
        name = _add(figures, f"differences-{budget}", plots.differences, summary, budget, group)
        parts.append({"share": "" if budget is None else _share(summary, budget), "rows": rows, "figure": name})
    return parts


def _used(cells: Sequence[Cell]) -> list[str]:
    return [word for word in MEANINGS if any(cell["outcomes"].get(word, 0) for cell in cells)]


def _wrong(
    measured: Sequence[Cell], summary: dict[str, Any], figures: dict[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    """For each budget, the cells with wrong answers and their figure."""
    cells = sorted((cell for cell in measured if sum(cell["outcomes"].values())), key=lambda cell: cell["share"])
    return [
        {
            "title": "Without a budget" if budget is None else f"At {_share(summary, budget)} of the full cache",
            "cells": [cell for cell in measured if cell in cells and cell["budget"] == budget],
            "figure": _add(figures, f"wrong-{budget}", plots.wrong_answers, summary, budget),
        }
        for budget in dict.fromkeys(cell["budget"] for cell in cells)
    ]
