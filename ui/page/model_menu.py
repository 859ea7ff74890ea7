"""Models in the page: the list, with the memory that each needs on this machine, and consent to a large download."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import gradio as gr

from hermes.backbones.catalogue import CATALOGUE
from hermes.errors import HermesError
from ui.visitors.connections import key_of

if TYPE_CHECKING:
    from hermes.backbones.catalogue import Listed
    from ui.page.handlers import Handlers

GIB = 2**30
NOTES = {"yes": "", "no": "does not fit here", "in bfloat16": "fits in bfloat16", "over all GPUs": "over all GPUs"}


def choices(names: tuple[str, ...], *, hub: bool, measured: bool = True) -> list[tuple[str, str]]:
    """Label and name of each model of the list: `names` first, then, with `hub`, the catalogue. `measured`: see `label`."""
    here = [("HERMES pocket · ships with the demo" if name == "pocket" else name, name) for name in names]
    return (
        here + [(label(model, measured=measured), model.id) for model in CATALOGUE if model.id not in names]
        if hub
        else here
    )


def label(model: Listed, *, measured: bool = True) -> str:
    """A model of the catalogue in one line: name, published with HERMES or not, memory needed, and whether it fits.

    Memory depends on the device and is left out without `measured`, because finding the device loads torch.
    """
    published = "published with HERMES" if model.published else "not published with HERMES"
    if not measured:
        return f"{model.title} · {published}"
    from hermes.backbones import placement  # noqa: PLC0415 - loads torch

    memory = f"{placement.needed_here(model.weights) / GIB:.1f} GiB"
    note = NOTES[placement.fits(model.weights)]
    return " · ".join(part for part in (model.title, published, f"needs {memory}", note) if part)


def consent_row(
    handlers: Handlers, said: gr.HTML, model: gr.Dropdown, sentence: Callable[..., str], event: Mapping[str, Any]
) -> tuple[gr.Row, gr.State]:
    """Two buttons, hidden until a large download is to be agreed to, and the name of the model that is meant.

    Args:
        handlers: The page's event functions.
        said: Where sentences are shown.
        model: The list of models.
        sentence: Makes the HTML of a sentence; `bad=True` for a problem.
        event: Settings of every event.
    """
    with gr.Row(visible=False, elem_id="hl-consent") as row:
        agree = gr.Button("Download it", variant="primary", size="sm")
        decline = gr.Button("Do not download", size="sm")
    wanted = gr.State("")

    def download(name: str, request: gr.Request) -> Iterator[dict[Any, Any]]:
        yield {row: gr.update(visible=False), said: sentence(f"Downloading {name} …")}
        try:
            for text in handlers.loading(key_of(request), name, agreed=True):
                yield {said: sentence(f"{text} The stream continues meanwhile.")}
            told = handlers.settings(key_of(request), model=name, agreed=True)
        except HermesError as error:
            yield {said: sentence(str(error), bad=True)}
            return
        yield {said: sentence(told), model: gr.update(value=name)}

    def refuse() -> dict[Any, Any]:
        return {row: gr.update(visible=False), said: sentence("Nothing was downloaded; the model stays as it was.")}

    agree.click(download, wanted, [row, said, model], concurrency_limit=None, concurrency_id="settings", **event)
    decline.click(refuse, None, [row, said], concurrency_limit=None, concurrency_id="settings", **event)
    return row, wanted
