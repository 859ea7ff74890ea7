"""The list of models with their memory requirements, and the consent to a large download."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import gradio as gr

from hermes.backbones.catalogue import CATALOGUE
from hermes.backbones.shipped import shipped_models
from hermes.errors import HermesError
from hermes.importing import IMPORTING
from ui.visitors.connections import key_of

if TYPE_CHECKING:
    from hermes.backbones.catalogue import Listed
    from ui.page.handlers import Handlers

GIB = 2**30
NOTES = {"yes": "", "no": "does not fit here", "in bfloat16": "fits in bfloat16", "over all GPUs": "over all GPUs"}


def choices(names: tuple[str, ...], *, hub: bool, measured: bool = True) -> list[tuple[str, str]]:
    """Return the label and the name of each model in the list.

    Args:
        names: Models that are listed first.
        hub: Whether to append the catalogue.
        measured: See `label`.
    """
    listed = [(shipped_label(name), name) for name in names]
    return (
        listed + [(label(model, measured=measured), model.id) for model in CATALOGUE if model.id not in names]
        if hub
        else listed
    )


def shipped_label(name: str) -> str:
    """Describe a shipped model in one line: its name, what it knows, and in which pictures. Return other names unchanged."""
    model = shipped_models().get(name)
    if model is None:
        return name
    pictures = "on camera and in videos" if model.knowledge.pictures else "in the bundled clips"
    return f"{model.title} · {model.knowledge.subject} {pictures}"


def label(model: Listed, *, measured: bool = True) -> str:
    """Describe a model of the catalogue in one line: what it knows, published with HERMES or not, memory and fit.

    The memory requirement depends on the device. Without `measured` it is omitted, because detecting the device imports
    torch.
    """
    published = "published with HERMES" if model.published else "not published with HERMES"
    known = f"{model.title} · any video"
    if not measured:
        return f"{known} · {published}"
    with IMPORTING:
        from hermes.backbones import placement  # noqa: PLC0415 - loads torch

    memory = f"{placement.needed_here(model.weights) / GIB:.1f} GiB"
    note = NOTES[placement.fits(model.weights)]
    return " · ".join(part for part in (known, published, f"needs {memory}", note) if part)


def consent_row(
    handlers: Handlers, status: gr.HTML, model: gr.Dropdown, status_line: Callable[..., str], event: Mapping[str, Any]
) -> tuple[gr.Row, gr.State]:
    """Add the two buttons of the download consent, hidden at first, and the state that holds the requested model.

    Args:
        handlers: The event handlers of the page.
        status: Shows messages.
        model: The list of models.
        status_line: Returns the HTML of a message; `is_error=True` for errors.
        event: Keyword arguments of every event.
    """
    with gr.Row(visible=False, elem_id="hl-consent") as row:
        agree = gr.Button("Download it", variant="primary", size="sm")
        decline = gr.Button("Do not download", size="sm")
    requested = gr.State("")

    def download(name: str, request: gr.Request) -> Iterator[dict[Any, Any]]:
        yield {row: gr.update(visible=False), status: status_line(f"Downloading {name} …")}
        try:
            for text in handlers.loading(key_of(request), name, agreed=True):
                yield {status: status_line(f"{text} The stream continues meanwhile.")}
            message = handlers.settings(key_of(request), model=name, agreed=True)
        except HermesError as error:
            yield {status: status_line(str(error), is_error=True)}
            return
        yield {status: status_line(message), model: gr.update(value=name)}

    def keep_model() -> dict[Any, Any]:
        return {row: gr.update(visible=False), status: status_line("Nothing was downloaded. The model did not change.")}

    agree.click(download, requested, [row, status, model], concurrency_limit=None, concurrency_id="settings", **event)
    decline.click(keep_model, None, [row, status], concurrency_limit=None, concurrency_id="settings", **event)
    return row, requested
