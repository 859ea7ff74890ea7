"""Renders self-contained HTML reports with interactive figures from `hermes.plots`.

A report extends `templates/report_base.html`. It contains the plotting library, so it works offline; without JavaScript, its
tables show the same numbers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from hermes import plots
from hermes.formatting import format_bytes


def figure_in_both_schemes(draw: Callable[..., plots.Figure], *args: Any) -> dict[str, Any]:
    """Draw a figure for light and dark backgrounds and return both as JSON objects."""
    return {scheme: json.loads(draw(*args, dark=scheme == "dark").to_json()) for scheme in ("light", "dark")}


def render_report(
    package: str, template: str, figures: Mapping[str, Any], context: Mapping[str, Any], filters: Mapping[str, Any]
) -> str:
    """Render a report.

    Args:
        package: Package with the template.
        template: Name of the template.
        figures: The figures by name, from `figure_in_both_schemes`.
        context: Other variables of the template, to which `size`, the size of the file, is added.
        filters: Filters of the template.

    Returns:
        The HTML page, about 5 MB, most of it the plotting library.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("hermes.lab")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters
    found = environment.get_template(template)
    given = {**context, "figures": figures, "library": plots.plotly_script()}
    size = len(found.render(given, size="").encode())
    return found.render(given, size=format_bytes(size))
