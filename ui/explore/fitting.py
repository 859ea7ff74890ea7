"""Adapts figures of `hermes.plots` to the width and height of their place on the page."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from hermes.plots import Figure

NARROW: Final = 640
"""Below this width in pixels, the colour bar is below the figure and the names of the tiers are left out."""
TOOLS: Final = 42
"""Height of plotly's tool bar, in pixels; the title is below it."""
LINE: Final = 21
"""Height of a line of the title, in pixels."""
CHARACTER: Final = 8.4
"""Mean width of a character of the title, in pixels."""
LEGEND: Final = 24
"""Height of a row of the legend, in pixels."""
SIZES: Final = (280, 2400)
"""Range of widths and heights, in pixels."""


@dataclass(frozen=True)
class Place:
    """Where a figure is shown.

    Attributes:
        width: In pixels.
        height: In pixels.
        touch: Whether the pointer is a finger: dragging then scrolls the page instead of zooming the figure.
    """

    width: int
    height: int
    touch: bool = False


def fitted(figure: Figure, place: Place) -> Figure:
    """Change a figure so that it fits its place: size, lines of the title, margins, colour bar. Data are not changed.

    Args:
        figure: The figure; it is changed and returned.
        place: Where it is shown.
    """
    narrow = place.width < NARROW
    title = wrapped(figure.layout.title.text or "", place.width - 24)
    panels = [note for note in figure.layout.annotations if note.xref == "paper" and note.yref == "paper"]
    stacked = bool(panels) and figure.layout.yaxis.domain is not None
    for note in panels:
        note.text = wrapped(note.text, (place.width if stacked else place.width // 2) - 60)
    named = max((note.text.count("<br>") + 1 for note in panels), default=0)
    legend = _legend_rows(figure, place.width - 90)
    top = TOOLS + LINE * (title.count("<br>") + 1) + 8 + LEGEND * legend + 18 * named
    bottom = 64 if not narrow or not figure.layout.coloraxis.colorbar.title.text else 118
    margin = {"l": 54 if narrow else 72, "r": 14 if narrow else 32, "t": top, "b": bottom}
    figure.update_layout(
        width=None,
        height=place.height,
        autosize=True,
        margin=margin,
        title={"text": title, "y": 1, "yref": "container", "yanchor": "top", "pad": {"t": TOOLS, "l": 8}},
        dragmode=False if place.touch else "zoom",
    )
    inner = max(place.height - top - bottom, 60)
    if legend and named:  # the legend is above the names of the panels
        figure.update_layout(legend_y=1 + (18 * named + 4) / inner)
    if narrow:
        _narrow(figure, bottom / inner)
    return figure


def _narrow(figure: Figure, bottom: float) -> None:
    """Put the colour bar below the figure and remove the names of the tiers. `bottom`: margin as a share of the height."""
    tiers = [note for note in figure.layout.annotations if "domain" in (note.xref or "")]
    figure.layout.annotations = [note for note in figure.layout.annotations if note not in tiers]
    figure.update_xaxes(title_font_size=12, tickfont_size=11)
    figure.update_yaxes(title_font_size=12, tickfont_size=11)
    if figure.layout.coloraxis.colorbar.title.text:
        bar: dict[str, Any] = {
            "orientation": "h", "x": 0.5, "xanchor": "center", "y": -bottom, "yanchor": "bottom", "len": 1.0,
            "thickness": 10, "title": {"side": "top"},
        }  # fmt: skip
        figure.update_layout(coloraxis_colorbar=bar)


def _legend_rows(figure: Figure, width: int) -> int:
    """Estimate the rows of the legend; 0 if there is none."""
    names = [trace.name for trace in figure.data if trace.name and trace.showlegend is not False]
    if len(names) < 2 and not any(trace.showlegend for trace in figure.data):
        return 0
    widest = max((len(name) for name in names), default=0) * 7 + 52
    in_row = max(width // widest, 1)
    return -(-len(names) // in_row)


def wrapped(text: str, width: int) -> str:
    """Break a text into lines that fit a width in pixels, with plotly's line breaks."""
    most = max(int(width / CHARACTER), 16)
    return "<br>".join(textwrap.wrap(text, most, break_long_words=False, break_on_hyphens=False)) or text


def escaped(text: str) -> str:
    """Escape text that plotly would read as markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def in_range(value: float) -> int:
    """Return a width or height within `SIZES`."""
    return int(min(max(value, SIZES[0]), SIZES[1]))
