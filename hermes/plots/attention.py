"""Figures of what an answer attended to."""

from __future__ import annotations

from typing import Final

import numpy as np
import plotly.graph_objects as go

from hermes.plots.theme import Palette, PlotError, colour_bar, palette, styled
from hermes.snapshot import AnswerTrace

LONGEST_QUESTION: Final = 60
"""Characters of a question in a title."""


def attention_by_layer(answer: AnswerTrace, *, dark: bool = False) -> go.Figure:
    """Draw where each layer's attention went while the answer was decoded, as stacked bars.

    The bars are frames, prompt, summary tokens, and the question with its answer; each bar's `y` is [layers], in percent,
    mean over heads and decoded tokens. The four add up to 100 in each layer.

    Args:
        answer: From `Snapshot.answer` or `Run.answers`.
        dark: Draw for a dark background.

    Raises:
        PlotError: The answer has no layers.
    """
    layers = len(answer.attention)
    if not layers:
        raise PlotError("The answer records no attention.")
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
            x=np.arange(layers),
            y=100 * share,
            name=name,
            marker={"color": colour, "pattern": {"shape": pattern, "solidity": 0.25}},
            hovertemplate="layer %{x}<br>%{y:.1f} % of the attention<extra>" + name + "</extra>",
        )
    figure.update_xaxes(title_text="Layer (0 is the first)", dtick=max(1, -(-layers // 28)), showgrid=False)
    figure.update_yaxes(title_text="Share of attention (%)", range=[0, 100])
    return styled(figure, colours, f"What the answer attended to: {_shortened(answer)}", height=400, barmode="stack")


def attention_by_head(answer: AnswerTrace, layer: int, *, dark: bool = False) -> go.Figure:
    """Draw the attention of each head of one layer on each frame.

    The heatmap's `z` is [heads, frames], in percent, mean over decoded tokens; nan where a head attended to nothing of a
    frame.

    Args:
        answer: From `Snapshot.answer` or `Run.answers`.
        layer: Layer to show, from 0.
        dark: Draw for a dark background.

    Raises:
        PlotError: The layer does not exist, or attention by head is not recorded.
    """
    layers = len(answer.attention_heads)
    if not layers or not answer.attention_heads.shape[1]:
        raise PlotError("The answer records no attention by head.")
    if not 0 <= layer < layers:
        raise PlotError(f"There is no layer {layer}: layers are numbered from 0 to {layers - 1}.")
    colours = palette(dark=dark)
    values = 100 * answer.attention_heads[layer].astype(np.float64)
    figure = _heatmap(np.where(values > 0, values, np.nan), colours)
    title = f"Attention by head in layer {layer}: {_shortened(answer)}"
    return styled(figure, colours, title, height=150 + max(200, 24 * len(values)))


def _heatmap(values: np.ndarray, colours: Palette) -> go.Figure:
    figure = go.Figure(
        go.Heatmap(
            z=values,
            x0=0,
            dx=1,
            y0=0,
            dy=1,
            coloraxis="coloraxis",
            hoverongaps=False,
            hovertemplate="head %{y}<br>frame %{x}<br>%{z:.2f} % of the attention<extra></extra>",
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
    return "“" + text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") + "”"
