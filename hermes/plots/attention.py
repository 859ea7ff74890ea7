"""Figures of what an answer attended to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import plotly.graph_objects as go

from hermes.plots.axes import binned, frame_cells, layer_title, numbers_of, row_of
from hermes.plots.theme import Palette, PlotError, colour_bar, palette, plain, styled
from hermes.snapshot import AnswerTrace

LONGEST_QUESTION: Final = 60
"""Characters of a question in a title."""


def attention_by_layer(
    answer: AnswerTrace, layer_numbers: Sequence[int] | None = None, *, dark: bool = False
) -> go.Figure:
    """Draw where each layer's attention went while the answer was decoded, as stacked bars.

    The bars are frames, prompt, summary tokens, and the question with its answer; each bar's `y` is [layers], in percent,
    mean over heads and decoded tokens. The four add up to 100 in each layer.

    Args:
        answer: From `Snapshot.answer` or `Run.answers`.
        layer_numbers: Number in the decoder of each layer that holds tokens, from `Snapshot.layer_numbers`. None: all layers
            of the decoder hold tokens.
        dark: Draw for a dark background.

    Raises:
        PlotError: The answer has no layers.
    """
    layers = len(answer.attention)
    if not layers:
        raise PlotError("The answer records no attention.")
    numbers = numbers_of(layers, layer_numbers)
    colours = palette(dark=dark)
    rest = answer.attention_rest.astype(np.float64)
    parts = [
        ("frames", answer.attention.astype(np.float64).sum(1), colours.read, ""),
        ("summary tokens", rest[:, 1], colours.tiers[2], "/"),
        ("prompt", rest[:, 0], colours.neutral, "."),
        ("question and answer", rest[:, 2], colours.line, ""),
    ]
    figure = go.Figure()
    for name, share, colour, pattern in parts:
        figure.add_bar(
            x=np.array(numbers),
            y=100 * share,
            name=name,
            marker={"color": colour, "pattern": {"shape": pattern, "solidity": 0.25}},
            hovertemplate="layer %{x}<br>%{y:.1f} % of the attention<extra>" + name + "</extra>",
        )
    ticks = numbers[:: max(1, -(-layers // 28))]
    figure.update_xaxes(
        title_text=layer_title(numbers), tickvals=ticks, ticktext=[str(n) for n in ticks], showgrid=False
    )
    figure.update_yaxes(title_text="Share of attention (%)", range=[0, 100])
    return styled(figure, colours, f"What the answer attended to: {_shortened(answer)}", height=400, barmode="stack")


def attention_by_head(
    answer: AnswerTrace,
    layer: int,
    layer_numbers: Sequence[int] | None = None,
    *,
    columns: int | None = None,
    dark: bool = False,
) -> go.Figure:
    """Draw the attention of each head of one layer on each frame.

    The heatmap's `z` is [heads, frames], in percent, mean over decoded tokens; nan where a head attended to nothing of a
    frame.

    Args:
        answer: From `Snapshot.answer` or `Run.answers`.
        layer: Number of the layer to show, from 0.
        layer_numbers: As in `attention_by_layer`.
        columns: Largest number of columns of the heatmap; longer streams show the mean of several frames in each. None: one
            column for each frame.
        dark: Draw for a dark background.

    Raises:
        PlotError: The layer does not exist or holds no tokens, or attention by head is not recorded.
    """
    layers = len(answer.attention_heads)
    if not layers or not answer.attention_heads.shape[1]:
        raise PlotError("The answer records no attention by head.")
    colours = palette(dark=dark)
    row = row_of(layer, numbers_of(layers, layer_numbers))
    values, size = binned(100 * answer.attention_heads[row].astype(np.float64), columns)
    figure = _heatmap(np.where(values > 0, values, np.nan), size, colours)
    title = f"Attention by head in layer {layer}: {_shortened(answer)}"
    return styled(figure, colours, title, height=150 + max(200, 24 * len(values)))


def _heatmap(values: np.ndarray, size: int, colours: Palette) -> go.Figure:
    frames = "frame %{x}" if size == 1 else f"{size} frames around %{{x}}"
    figure = go.Figure(
        go.Heatmap(
            z=values,
            **frame_cells(size),
            y0=0,
            dy=1,
            coloraxis="coloraxis",
            hoverongaps=False,
            hovertemplate=f"head %{{y}}<br>{frames}<br>%{{z:.2f}} % of the attention<extra></extra>",
        )
    )
    bar = colour_bar("Share of attention (%)", colours)
    figure.update_layout(coloraxis={"colorscale": colours.scale, "cmin": 0, "colorbar": bar})
    figure.update_xaxes(title_text="Frame (0 is the first)", showgrid=False)
    figure.update_yaxes(title_text="Head (0 is the first)", autorange="reversed", showgrid=False, dtick=1)
    return figure


def _shortened(answer: AnswerTrace) -> str:
    """The question, escaped for plotly's markup and cut to one line."""
    text = " ".join(answer.question.split())
    text = text if len(text) <= LONGEST_QUESTION else f"{text[: LONGEST_QUESTION - 1]}…"
    return f"“{plain(text)}”"
