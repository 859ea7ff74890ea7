"""Two figures of the same kind on shared axes: two moments of a stream, or two runs."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Final

import plotly.graph_objects as go

from hermes.plots.theme import PlotError

GAP: Final = 0.12
"""Space between the two figures, as a share of the drawing area."""

Layout = dict[str, Any]


def side_by_side(
    first: go.Figure, second: go.Figure, names: tuple[str, str], *, title: str | None = None, stacked: bool = False
) -> go.Figure:
    """Draw two figures next to each other, with the same ranges on both axes and one colour scale.

    Zooming one figure also zooms the other. The given figures are not changed.

    Args:
        first: The figure on the left.
        second: The figure on the right, made by the same function of `hermes.plots` with the same mode.
        names: What the figures show, such as "at 0:20" and "at 1:06". Plotly reads them as markup.
        title: Title of the whole; None: that of the first figure.
        stacked: Draw the second figure below the first one instead, for narrow places.

    Raises:
        PlotError: The figures show different quantities.
    """
    if _quantities(first) != _quantities(second):
        raise PlotError("Only figures that show the same quantities can be drawn side by side.")
    layouts = [figure.to_plotly_json()["layout"] for figure in (first, second)]
    figure = go.Figure()
    shown: set[str] = set()
    for trace, suffix in [(trace, "") for trace in first.data] + [(trace, "2") for trace in second.data]:
        own = copy.deepcopy(trace)
        own.update(xaxis=f"x{suffix}", yaxis=f"y{suffix}")
        if own.name:  # a legend entry shows and hides the series in both figures
            own.update(legendgroup=own.name, showlegend=own.showlegend is not False and own.name not in shown)
            shown.add(own.name)
        figure.add_trace(own)
    figure.update_layout(_joined(*layouts, stacked=stacked))
    if title is not None:
        figure.update_layout(title_text=title)
    near, far = (1 - GAP) / 2, (1 + GAP) / 2
    for name, start, top in zip(names, (0, 0) if stacked else (0, far), (1, near) if stacked else (1, 1), strict=True):
        figure.add_annotation(
            text=name, xref="paper", yref="paper", x=start, y=top, xanchor="left", yanchor="bottom", align="left",
            showarrow=False, font={"size": 13},
        )  # fmt: skip
    if layouts[0].get("showlegend") is not False and shown:
        figure.update_layout(legend={"y": 1.0, "yanchor": "bottom", "yref": "paper"})
    return figure


def _quantities(figure: go.Figure) -> tuple[Any, ...]:
    """What the figure shows: the type of its traces, and the title of its colour scale or of its y axis."""
    scale = figure.layout.coloraxis.colorbar.title.text
    return figure.data[0].type, scale or figure.layout.yaxis.title.text


def _joined(first: Layout, second: Layout, *, stacked: bool) -> Layout:
    """Layout of both figures: their axes with shared ranges, marks at the second one's axes, and the larger colour range."""
    near, far = (1 - GAP) / 2, (1 + GAP) / 2
    joined = {key: value for key, value in first.items() if key not in ("shapes", "annotations")}
    x1, y1 = dict(first["xaxis"]), dict(first["yaxis"])
    x2, y2 = dict(second["xaxis"]), dict(second["yaxis"])
    x2.update(matches="x", anchor="y2")
    y2.update(matches="y", anchor="x2")
    if stacked:
        y1["domain"], y2["domain"] = [far, 1], [0, near]
        x1.pop("title")
        joined["height"] = first["height"] + second["height"]
    else:
        x1["domain"], x2["domain"] = [0, near], [far, 1]
        y2.pop("title")
        joined["height"] = max(first["height"], second["height"])
    joined |= {"xaxis": x1, "yaxis": y1, "xaxis2": x2, "yaxis2": y2}
    if "coloraxis" in first:
        top = max(first["coloraxis"]["cmax"], second["coloraxis"]["cmax"]) if _has_top(first, second) else None
        joined["coloraxis"] = {**first["coloraxis"], **({} if top is None else {"cmax": top})}
    for kind in ("shapes", "annotations"):
        joined[kind] = [*first.get(kind, ()), *(_moved(mark) for mark in second.get(kind, ()))]
    return joined


def _has_top(*layouts: Layout) -> bool:
    return all("cmax" in layout["coloraxis"] for layout in layouts)


def _moved(mark: Mapping[str, Any]) -> dict[str, Any]:
    """A shape or an annotation at the axes of the second figure."""
    places = {"x": "x2", "y": "y2", "x domain": "x2 domain", "y domain": "y2 domain"}
    moved = {key: places.get(mark.get(key, key[0]), mark.get(key, key[0])) for key in ("xref", "yref")}
    return {**mark, **moved}
