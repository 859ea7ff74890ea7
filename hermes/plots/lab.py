"""Figures of a lab summary: accuracy over the budget, differences from the reference, and why answers were wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from hermes.plots.theme import PlotError, palette, styled

Summary = Mapping[str, Any]

PANEL_HEIGHT: Final = 190
ROW_HEIGHT: Final = 26
OUTCOMES: Final = {
    "not sampled": "#56b4e9",
    "evicted": "#d55e00",
    "not retrieved": "#e69f00",
    "unread": "#009e73",
    "read": "#cc79a7",
    "absent": "#8a949e",
    "unknown": "#c9ced3",
}
"""Colours of the outcomes of evidence, after Okabe and Ito."""


def accuracy_by_budget(
    summary: Summary,
    group: str = "memory",
    policies: Sequence[str] | None = None,
    *,
    columns: int = 4,
    dark: bool = False,
) -> go.Figure:
    """Draw the accuracy of each policy over its budget, one panel for each policy.

    In a panel, the line with points is the policy (`y` in percent, error bars: its 95 % interval), the grey line the
    reference, the dashed line the full cache, the dotted line the guess level.

    Args:
        summary: What `lab.json` holds, or `hermes.lab.summary.summarise` returns.
        group: Id of the group of questions, such as "all", "memory", "first".
        policies: Names of the policies to draw; None: all that have a budget.
        columns: Panels in a row.
        dark: Draw for a dark background.

    Raises:
        PlotError: The group or a policy is not in the summary, or no policy has a budget.
    """
    known = _group(summary, group)
    cells = sorted(_measured(summary), key=lambda cell: cell["share"])
    lines: dict[str, list[Mapping[str, Any]]] = {}
    for cell in (cell for cell in summary["cells"] if cell["budget"] is not None and "error" not in cell):
        lines.setdefault(cell["policy"], [])
    for cell in cells:
        if cell["policy"] in lines:
            lines[cell["policy"]].append(cell)
    for name in policies or ():
        if name not in lines:
            raise PlotError(f"The summary has no policy “{name}” with a budget. It has: {', '.join(lines)}.")
    shown = list(policies or lines)
    if not shown:
        raise PlotError("The summary has no policy with a budget.")
    colours = palette(dark=dark)
    reference = summary["setup"]["reference"]
    full = next((cell for cell in cells if cell["policy"] == "full"), None)
    columns = min(columns, len(shown))
    rows = -(-len(shown) // columns)
    figure = make_subplots(
        rows, columns, subplot_titles=[lines[name][0]["title"] for name in shown], shared_yaxes=True,
        vertical_spacing=min(0.3, 62 / (PANEL_HEIGHT * rows)), horizontal_spacing=0.03,
    )  # fmt: skip
    shares = sorted({cell["share"] for line in lines.values() for cell in line})
    ends = [shares[0] / 1.25, shares[-1] * 1.25]
    for i, name in enumerate(shown):
        at = {"row": i // columns + 1, "col": i % columns + 1}
        first = i == 0
        flat = [("guess level", 100 * known["guess"], colours.danger, "dot")]
        if full is not None:
            flat.append(("full cache", 100 * full["accuracy"][group]["value"], colours.ink, "dash"))
        for label, value, colour, dash in flat:
            figure.add_scatter(
                x=[100 * end for end in ends], y=[value, value], name=label, legendgroup=label, showlegend=first,
                mode="lines", line={"color": colour, "dash": dash, "width": 1.4},
                hovertemplate=f"{label}: %{{y:.1f}} %<extra></extra>", **at,
            )  # fmt: skip
        if reference in lines and name != reference:
            figure.add_scatter(
                **_line(lines[reference], group), name=f"reference: {lines[reference][0]['title']}", legendgroup="reference",
                showlegend=not any(trace.legendgroup == "reference" for trace in figure.data), mode="lines+markers",
                line={"color": colours.quiet, "width": 1.6}, marker={"size": 4}, **at,
            )  # fmt: skip
        values = [cell["accuracy"][group] for cell in lines[name]]
        figure.add_scatter(
            **_line(lines[name], group), name="policy, with its 95 % interval", legendgroup="policy", showlegend=first,
            mode="lines+markers", line={"color": colours.focus, "width": 2.4}, marker={"size": 7},
            error_y={
                "type": "data", "symmetric": False, "thickness": 1.4, "width": 4, "color": colours.focus,
                "array": [100 * (v["high"] - v["value"]) for v in values],
                "arrayminus": [100 * (v["value"] - v["low"]) for v in values],
            }, **at,
        )  # fmt: skip
    styled(
        figure, colours, f"Accuracy over the budget: {known['title']} ({known['n']:,} questions)",
        height=150 + (PANEL_HEIGHT * rows), margin={"l": 60, "r": 20, "t": 118, "b": 56},
        legend={"orientation": "h", "x": 0, "y": 1, "yref": "container", "yanchor": "top", "font": {"size": 12}},
    )  # fmt: skip
    figure.update_layout(title={"y": 0.99, "yref": "container", "yanchor": "top", "pad": {"t": 10}})
    figure.update_layout(legend={"y": 1 - 44 / figure.layout.height})
    ticks = {"tickvals": [100 * share for share in shares], "ticktext": [f"{100 * share:.0f}" for share in shares]}
    figure.update_xaxes(type="log", range=None, showgrid=False, **ticks)
    figure.update_yaxes(range=[0, 104], tickvals=[0, 50, 100])
    for column in range(1, columns + 1):
        last = max(i for i in range(len(shown)) if i % columns + 1 == column) // columns + 1
        figure.update_xaxes(title_text="Budget (% of the full cache)", row=last, col=column)
    for row in range(1, rows + 1):
        figure.update_yaxes(title_text="Accuracy (%)", row=row, col=1)
    figure.update_annotations(font={"size": 13, "color": colours.ink})
    return figure


def _line(cells: Sequence[Mapping[str, Any]], group: str) -> dict[str, Any]:
    """A policy's points, with their intervals as hover text."""
    values = [cell["accuracy"][group] for cell in cells]
    return {
        "x": [100 * cell["share"] for cell in cells],
        "y": [100 * v["value"] for v in values],
        "customdata": [
            [cell["title"], f"{100 * v['low']:.1f} to {100 * v['high']:.1f}", f"{cell['budget']:,}"]
            for cell, v in zip(cells, values, strict=True)
        ],
        "hovertemplate": (
            "%{customdata[0]}<br>budget %{customdata[2]} tokens per layer (%{x:.0f} %)<br>accuracy %{y:.1f} % "
            "(%{customdata[1]})<extra></extra>"
        ),
    }


def differences(summary: Summary, budget: int | None, group: str = "memory", *, dark: bool = False) -> go.Figure:
    """Draw each policy's accuracy minus the reference's on the same questions, with 95 % bootstrap intervals.

    `x` is in percentage points, one row for each policy. A triangle points up where the whole interval is above zero and
    down where it is below.

    Args:
        summary: What `lab.json` holds.
        budget: Budget of the comparison in tokens per layer; None: policies without one.
        group: Id of the group of questions, "all" or "memory".
        dark: Draw for a dark background.

    Raises:
        PlotError: The summary holds no such comparison.
    """
    known = _group(summary, group)
    rows = [row for row in summary["comparisons"] if row["budget"] == budget and row["group"] == group]
    if not rows:
        raise PlotError(f"The summary holds no comparison of {known['title']} at a budget of {budget}.")
    colours = palette(dark=dark)
    titles = _titles(summary)
    kinds = {
        "better": (colours.tiers[1], "triangle-up", "interval above zero"),
        "worse": (colours.tiers[0], "triangle-down", "interval below zero"),
        "same": (colours.quiet, "circle-open", "interval reaches zero"),
    }
    figure = go.Figure()
    for kind, (colour, symbol, meaning) in kinds.items():
        chosen = [row for row in rows if _kind(row) == kind]
        if chosen:
            figure.add_scatter(
                x=[100 * row["difference"] for row in chosen],
                y=[titles[row["policy"]] for row in chosen],
                mode="markers",
                name=meaning,
                marker={"symbol": symbol, "size": 10, "color": colour, "line": {"width": 1.5, "color": colour}},
                error_x={
                    "type": "data", "symmetric": False, "thickness": 1.8, "width": 0, "color": colour,
                    "array": [100 * (row["high"] - row["difference"]) for row in chosen],
                    "arrayminus": [100 * (row["difference"] - row["low"]) for row in chosen],
                },
                customdata=[
                    [f"{100 * row['low']:+.1f} to {100 * row['high']:+.1f}", row["only_policy"], row["only_reference"]]
                    for row in chosen
                ],
                hovertemplate=(
                    "%{y}: %{x:+.1f} points (%{customdata[0]})<br>only this policy right: %{customdata[1]}<br>only the "
                    "reference right: %{customdata[2]}<extra></extra>"
                ),
            )  # fmt: skip
    figure.add_vline(x=0, line_color=colours.quiet, line_width=1)
    order = [titles[row["policy"]] for row in rows]
    figure.update_yaxes(categoryorder="array", categoryarray=order[::-1], automargin=True)
    reference = titles.get(summary["setup"]["reference"], summary["setup"]["reference"])
    figure.update_xaxes(title_text=f"Accuracy minus that of {reference} (percentage points)", ticksuffix="")
    title = f"Difference from {reference}: {known['title']}{_at(summary, budget)}"
    return styled(figure, colours, title, height=160 + ROW_HEIGHT * len(rows))


def _kind(row: Mapping[str, Any]) -> str:
    return "better" if row["low"] > 0 else "worse" if row["high"] < 0 else "same"


def wrong_answers(summary: Summary, budget: int | None, *, dark: bool = False) -> go.Figure:
    """Draw what became of the evidence of each policy's wrong answers, as stacked bars that add up to 100 %.

    Args:
        summary: What `lab.json` holds.
        budget: Budget of the policies in tokens per layer; None: policies without one.
        dark: Draw for a dark background.

    Raises:
        PlotError: No policy gave a wrong answer at that budget.
    """
    cells = [cell for cell in _measured(summary) if cell["budget"] == budget and sum(cell["outcomes"].values())]
    if not cells:
        raise PlotError(f"The summary holds no wrong answers at a budget of {budget}.")
    colours = palette(dark=dark)
    names = [f"{cell['title']} ({sum(cell['outcomes'].values()):,})" for cell in cells]
    figure = go.Figure()
    for word, colour in OUTCOMES.items():
        counts = [cell["outcomes"].get(word, 0) for cell in cells]
        if not any(counts):
            continue
        totals = [sum(cell["outcomes"].values()) for cell in cells]
        figure.add_bar(
            y=names,
            x=[100 * count / total for count, total in zip(counts, totals, strict=True)],
            name=word,
            orientation="h",
            marker={"color": colour, "line": {"width": 1, "color": colours.background}},
            customdata=list(zip(counts, totals, strict=True)),
            hovertemplate="%{y}<br>%{customdata[0]} of %{customdata[1]} (%{x:.0f} %)<extra>" + word + "</extra>",
        )
    figure.update_yaxes(autorange="reversed", automargin=True)
    figure.update_xaxes(title_text="Share of the wrong answers (%)", range=[0, 100])
    title = f"Evidence of wrong answers{_at(summary, budget)}"
    return styled(figure, colours, title, height=160 + ROW_HEIGHT * len(cells), barmode="stack")


def _at(summary: Summary, budget: int | None) -> str:
    return (
        "" if budget is None else f", budget {100 * budget / summary['setup']['full_tokens']:.0f} % of the full cache"
    )


def _group(summary: Summary, group: str) -> Mapping[str, Any]:
    groups: dict[str, Mapping[str, Any]] = {row["id"]: row for row in summary["groups"]}
    if group not in groups:
        raise PlotError(f"The summary has no group of questions “{group}”. It has: {', '.join(groups)}.")
    return groups[group]


def _measured(summary: Summary) -> list[Mapping[str, Any]]:
    return [cell for cell in summary["cells"] if "error" not in cell]


def _titles(summary: Summary) -> dict[str, str]:
    return {cell["policy"]: cell["title"] for cell in summary["cells"]}
