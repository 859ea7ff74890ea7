"""Parts of the page: HTML components rendered by our own script."""

from __future__ import annotations

from typing import Any

import gradio as gr

MOUNT = """const mount = () => window.HermesLive
  ? window.HermesLive.mount("{part}", {{ element, props, trigger, watch, upload }}) : setTimeout(mount, 20);
mount(); // events: {events}"""
LIVE: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


def part(name: str, events: tuple[str, ...], value: str | None = None, **more: Any) -> gr.HTML:
    """Return an HTML component that our script renders. `events` are the events that it triggers."""
    listed = ", ".join(f'"{event}"' for event in events)
    return gr.HTML(
        value,
        html_template=f'<div class="hl-{name}"></div>',
        js_on_load=MOUNT.format(part=name, events=listed),
        apply_default_css=False,
        elem_id=f"hl-{name}",
        **more,
    )
