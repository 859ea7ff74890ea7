"""Renders a comparison of benchmark runs as a self-contained HTML file with figures from `hermes.plots`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from hermes import plots
from hermes.benchmarks import table
from hermes.benchmarks.results import Json
from hermes.formatting import format_bytes


def report(summary: list[Json]) -> str:
    """Render the sections of `hermes.benchmarks.summary.summarise_runs`.

    Returns:
        The HTML page, about 5 MB, most of it the plotting library. Its tables show the same numbers without JavaScript.
    """
    loader = ChoiceLoader([PackageLoader("hermes.benchmarks"), PackageLoader("hermes.lab")])  # the style of the lab
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"percent": table.percent, "p": table.p_value}
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
                figures[names[name]] = {
                    scheme: json.loads(draw(section, dark=scheme == "dark").to_json()) for scheme in ("light", "dark")
                }
        sections.append(
            section | {"figures": names, "rows": table.group_rows(section), "facts": table.fact_rows(section)}
        )
    context = {
        "sections": sections,
        "figures": figures,
        "describe": table.describe_run,
        "machine": table.describe_machine_of,
        "score": table.score_of,
        "library": plots.plotly_script(),
    }
    template = environment.get_template("benchmark_report.html")
    size = len(template.render(context, size="").encode())
    return template.render(context, size=format_bytes(size))
