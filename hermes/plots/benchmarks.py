"""Figures of a report on published benchmarks: accuracy of runs side by side, and paired differences."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any, Final

import plotly.graph_objects as go

from hermes.plots.theme import PlotError, palette, styled

Section = Mapping[str, Any]

ROW_HEIGHT: Final = 34
SYMBOLS: Final = ("circle", "diamond", "square", "triangle-up", "cross", "x")
COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Colours of the runs, after Okabe and Ito; they repeat with another symbol after six runs."""


def benchmark_accuracy(section: Section, *, dark: bool = False) -> go.Figure:
    """Draw the accuracy of each run on each group of questions, with 95 % intervals.

    Args:
        section: A section from `hermes.benchmarks.summary.summarise_runs`.
        dark: Draw for a dark background.

    Raises:
        PlotError: No run has a scored question.
    """
    titles = dict.fromkeys(group["title"] for run in section["runs"] for group in run["groups"])
    if not titles:
        raise PlotError(f"No question of {section['title']} was scored.")
    colours = palette(dark=dark)
    order = list(titles)
    figure = go.Figure()
    runs = [run for run in section["runs"] if run["groups"]]
    for number, run in enumerate(runs):
        shift = (number - (len(runs) - 1) / 2) * min(0.16, 0.6 / len(runs))
        values = run["groups"]
        colour = COLOURS[number % len(COLOURS)]
        figure.add_scatter(
            x=[100 * group["value"] for group in values],
            y=[order.index(group["title"]) + shift for group in values],
            mode="markers",
            name=escape(f"{run['label']}: {run['file']}"),
            marker={"symbol": SYMBOLS[number // len(COLOURS) % len(SYMBOLS)], "size": 8, "color": colour},
            error_x={
                "type": "data", "symmetric": False, "thickness": 1.6, "width": 0, "color": colour,
                "array": [100 * (group["high"] - group["value"]) for group in values],
                "arrayminus": [100 * (group["value"] - group["low"]) for group in values],
            },
            customdata=[
                [escape(group["title"]), f"{100 * group['low']:.1f} to {100 * group['high']:.1f}", group["n"]]
                for group in values
            ],
            hovertemplate="%{customdata[0]}: %{x:.1f} % (%{customdata[1]})<br>%{customdata[2]} questions<extra></extra>",
        )  # fmt: skip
    figure.update_yaxes(
        tickvals=list(range(len(order))),
        ticktext=[escape(title) for title in order],
        range=[len(order) - 0.5, -0.5],
        automargin=True,
    )
    figure.update_xaxes(title_text="Accuracy (%)", range=[-2, 102])
    height = 170 + 18 * len(runs) + ROW_HEIGHT * len(order)
    return styled(figure, colours, f"Accuracy: {section['title']}", height=height, margin={"t": 80 + 18 * len(runs)})


def benchmark_differences(section: Section, *, dark: bool = False) -> go.Figure:
    """Draw the accuracy of each run minus that of the first one on the same questions, with 95 % intervals.

    Args:
        section: A section from `hermes.benchmarks.summary.summarise_runs`.
        dark: Draw for a dark background.

    Raises:
        PlotError: The runs have no question in common.
    """
    rows = section["comparisons"]
    if not rows:
        raise PlotError(f"The runs of {section['title']} have no scored question in common.")
    colours = palette(dark=dark)
    names = [escape(f"{row['run']} minus {row['reference']}: {row['title']}") for row in rows]
    tones = [
        colours.tiers[1] if row["low"] > 0 else colours.tiers[0] if row["high"] < 0 else colours.quiet for row in rows
    ]
    figure = go.Figure()
    for row, name, tone in zip(rows, names, tones, strict=True):
        figure.add_scatter(
            x=[100 * row["difference"]], y=[name], mode="markers", showlegend=False,
            marker={"size": 9, "color": tone},
            error_x={
                "type": "data", "symmetric": False, "thickness": 1.8, "width": 0, "color": tone,
                "array": [100 * (row["high"] - row["difference"])],
                "arrayminus": [100 * (row["difference"] - row["low"])],
            },
            hovertemplate=f"%{{x:+.1f}} points ({100 * row['low']:+.1f} to {100 * row['high']:+.1f})<br>"
            f"{row['n']} questions<extra></extra>",
        )  # fmt: skip
    figure.add_vline(x=0, line_color=colours.quiet, line_width=1)
    figure.update_yaxes(categoryorder="array", categoryarray=names[::-1], automargin=True)
    figure.update_xaxes(title_text="Difference in accuracy (percentage points)")
    title = f"Difference on the same questions: {section['title']}"
    return styled(figure, colours, title, height=150 + ROW_HEIGHT * len(rows))
