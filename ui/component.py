"""Parts of the page: HTML components rendered by our own script."""

from __future__ import annotations

import json
from typing import Any

import gradio as gr

MOUNT = """const mount = () => window.HermesLive
  ? window.HermesLive.mount("{part}", {{ element, props, trigger, watch, upload }}) : setTimeout(mount, 20);
mount(); // events: {events}"""
LIVE: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


def part(name: str, events: tuple[str, ...], value: str | None = None, *, render: bool = True, **offer: Any) -> gr.HTML:
    """Return an HTML component that our script renders.

    Args:
        name: The part of the page.
        events: Events that the component triggers.
        value: Its first message.
        render: Whether it is rendered in the current Gradio block.
        **offer: Values that never change. The page gets them as one JSON text, because Gradio's program copies the
            properties of all components value by value, several times for each event.
    """
    listed = ", ".join(f'"{event}"' for event in events)
    return gr.HTML(
        value,
        html_template=f'<div class="hl-{name}"></div>',
        js_on_load=MOUNT.format(part=name, events=listed),
        apply_default_css=False,
        elem_id=f"hl-{name}",
        render=render,
        offer=json.dumps(offer, separators=(",", ":"), ensure_ascii=False),
    )
