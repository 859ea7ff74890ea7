"""Renders a comparison of benchmark runs as a self-contained HTML file with figures from `hermes.plots`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hermes import plots
from hermes.benchmarks import table
from hermes.benchmarks.results import Json
from hermes.formatting import format_p_value
from hermes.lab.report_page import figure_in_both_schemes, render_report


def report(summary: list[Json]) -> str:
    """Render the sections of `hermes.benchmarks.summary.summarise_runs`.

    Returns:
        The HTML page, about 5 MB, most of it the plotting library. Its tables show the same numbers without JavaScript.
    """
    figures: dict[str, Any] = {}
    sections = []
    for number, section in enumerate(summary):
        drawn: list[tuple[str, Callable[..., plots.Figure], bool]] = [
            ("accuracy", plots.benchmark_accuracy, any(run["groups"] for run in section["runs"])),
            ("differences", plots.benchmark_differences, bool(section["comparisons"])),
        ]
        names = {}
        for name, draw, wanted in drawn:
            names[name] = f"{name}-{number}" if wanted else ""
            if wanted:
                figures[names[name]] = figure_in_both_schemes(draw, section)
        sections.append(
            section | {"figures": names, "rows": table.group_rows(section), "facts": table.fact_rows(section)}
        )
    context = {
        "sections": sections,
        "describe": table.describe_run,
        "machine": table.describe_machine_of,
        "score": table.score_of,
    }
    filters = {"percent": table.percent, "p": format_p_value}
    return render_report("hermes.benchmarks", "benchmark_report.html", figures, context, filters)
