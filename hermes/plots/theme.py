"""Colours and layout that all figures share. The colours are those of the page, see `--hl-*` in its style sheet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import plotly.graph_objects as go

from hermes.errors import HermesError

FONT: Final = '"Inter Variable", system-ui, -apple-system, "Segoe UI", Roboto, sans-serif'
DASHES: Final = ("dot", "dash", "solid")
"""Line styles of the sensory, working and long-term tier, so that a tier never shows by hue alone."""


class PlotError(HermesError, ValueError):
    """The record does not hold what the figure shows; the message says what is missing."""


@dataclass(frozen=True)
class Palette:
    """Colours of one background.

    Attributes:
        background: Of the figure.
        ink: Text.
        quiet: Axis labels and reference lines.
        line: Grid lines.
        tiers: Sensory, working and long-term memory.
        neutral: What belongs to no tier.
        read: What an answer attended to.
        focus: The series that a figure is about.
        danger: Warnings and results that are worse.
        ramp: Sequential scale from low to high; its lightness changes in one direction only.
    """

    background: str
    ink: str
    quiet: str
    line: str
    tiers: tuple[str, str, str]
    neutral: str
    read: str
    focus: str
    danger: str
    ramp: tuple[str, ...]

    @property
    def scale(self) -> list[list[Any]]:
        """The ramp as a plotly colour scale."""
        return [[i / (len(self.ramp) - 1), colour] for i, colour in enumerate(self.ramp)]


LIGHT: Final = Palette(
    background="#ffffff",
    ink="#1d1c1a",
    quiet="#706c65",
    line="#e6e3dc",
    tiers=("#e08a00", "#0b9a86", "#3d45c4"),
    neutral="#5b6675",
    read="#c2186b",
    focus="#3b5bdb",
    danger="#b42318",
    ramp=("#f0e2ae", "#b9d8b4", "#55adb4", "#2566a3", "#14235c"),
)
DARK: Final = Palette(
    background="#191b1e",
    ink="#f1efeb",
    quiet="#98948c",
    line="#2b2d31",
    tiers=("#f4ad3d", "#2cc4ac", "#8a92ff"),
    neutral="#a7b1be",
    read="#f06aa6",
    focus="#8ea2ff",
    danger="#ff8a7a",
    ramp=("#23304c", "#2b5f92", "#3fa0a6", "#a6d59a", "#fdf1b4"),
)


def plain(text: str) -> str:
    """Escape text from a record, so that plotly does not read it as markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def palette(*, dark: bool) -> Palette:
    """The colours for a light or a dark background."""
    return DARK if dark else LIGHT


def styled(figure: go.Figure, colours: Palette, title: str, *, height: int, **layout: Any) -> go.Figure:
    """Apply the common layout: title, fonts, grid, margins and background.

    Args:
        figure: The figure; it is changed and returned.
        colours: Its palette.
        title: What it shows, in one line.
        height: In pixels.
        **layout: More of the layout, which takes precedence.
    """
    axis = {
        "gridcolor": colours.line,
        "zeroline": False,
        "linecolor": colours.line,
        "tickfont": {"color": colours.quiet, "size": 12},
        "title": {"font": {"color": colours.ink, "size": 13}},
    }
    figure.update_layout(
        template=go.layout.Template(),
        title={"text": title, "x": 0, "xref": "container", "xanchor": "left", "pad": {"l": 16}, "font": {"size": 16}},
        font={"family": FONT, "color": colours.ink, "size": 13},
        paper_bgcolor=colours.background,
        plot_bgcolor=colours.background,
        height=height,
        margin={"l": 72, "r": 32, "t": 64, "b": 56},
        hoverlabel={"bgcolor": colours.background, "bordercolor": colours.line, "font": {"color": colours.ink}},
        legend={
            "orientation": "h",
            "x": 0,
            "y": 1.0,
            "yanchor": "bottom",
            "traceorder": "normal",
            "font": {"size": 12},
        },
        hovermode="closest",
    )
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
    figure.update_layout(**layout)
    return figure


def colour_bar(title: str, colours: Palette, **options: Any) -> dict[str, Any]:
    """A colour bar with its title at the side."""
    text = {"text": title, "side": "right", "font": {"size": 12, "color": colours.ink}}
    return {"title": text, "thickness": 14, "outlinewidth": 0, "tickfont": {"color": colours.quiet}, **options}
