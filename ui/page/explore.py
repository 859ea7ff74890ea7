"""The Explore tab: its controls and its figure, a `gr.Plot`.

The plot is invisible until there is a figure, so that the page does not load the component and plotly's script before.
"""

from __future__ import annotations

from typing import Any, Final

import gradio as gr
from gradio.components.plot import PlotData

from ui.component import LIVE, part
from ui.explore.figures import FIGURES, MODES
from ui.page.handlers import Handlers, to_json
from ui.untrusted import event_data
from ui.visitors.connections import key_of

DRAWN_AT_ONCE: Final = 2
"""Most figures that are drawn at the same time, for all visitors. Others wait."""


def explore(handlers: Handlers) -> None:
    """Add the tab's components and connect them. The script of the page moves the figure into the tab."""
    figures = [
        {"id": name, "title": kind.title, "about": kind.about, "controls": list(kind.controls)}
        for name, kind in FIGURES.items()
    ]
    with gr.Column(elem_id="hl-explore-parts"):
        controls = part(
            "explore",
            ("explore",),
            figures=figures,
            modes=[{"id": mode, "title": title} for mode, title in MODES.items()],
        )
        plot = gr.Plot(show_label=False, container=False, elem_id="hl-explore-plot", visible=False)

    def draw(event: gr.EventData, request: gr.Request) -> tuple[Any, Any]:
        message, figure = handlers.explore(event_data(event), key_of(request))
        if figure is None:
            return to_json(message), gr.skip()
        return to_json(message), gr.update(value=PlotData(type="plotly", plot=figure), visible=True)

    controls.explore(
        draw,
        None,
        [controls, plot],
        concurrency_limit=DRAWN_AT_ONCE,
        concurrency_id="explore",
        trigger_mode="multiple",
        **LIVE,
    )
