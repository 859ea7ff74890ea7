"""ZeroGPU support: a GPU is assigned for one call, so a clip and its questions run in one call, using the `spaces` package.

Assumptions about `spaces`: each call of a decorated function runs in a forked process, its arguments and the items it
yields are pickled, GPU memory is freed afterwards, and without ZeroGPU the decorator has no effect.
"""

from __future__ import annotations

import importlib.util
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hermes.errors import HermesError
from hermes.importing import IMPORTING

if TYPE_CHECKING:
    from hermes.backbones.base import Backbone
    from hermes.serving.clip_run import ClipItem, ClipRequest

VARIABLE = "SPACES_ZERO_GPU"
"""Set by the hub on ZeroGPU hardware, and also read by the `spaces` package."""
TRUE = ("1", "t", "true")

# Seconds declared per call. These are assumptions, not measurements: the visitor's quota is charged with the declared time,
# and a call that takes longer is aborted.
START_SECONDS, FRAME_SECONDS, ANSWER_SECONDS = 12.0, 0.08, 4.0
MAX_SECONDS = 180

Run = Callable[["ClipRequest"], Iterator["ClipItem"]]


def is_zero_gpu(environment: Mapping[str, str] | None = None) -> bool:
    """Return whether this process runs on ZeroGPU hardware."""
    environment = os.environ if environment is None else environment
    return environment.get(VARIABLE, "").lower() in TRUE


def prepare() -> None:
    """On ZeroGPU, let `spaces` patch CUDA before anything else uses it. Does nothing elsewhere.

    Raises:
        HermesError: The package is not installed.
    """
    if is_zero_gpu():
        _spaces()


def _spaces() -> Any:
    if importlib.util.find_spec("spaces") is None:
        raise HermesError("ZeroGPU needs the package spaces. Add a line “spaces” to requirements.txt.")
    import spaces  # noqa: PLC0415  (optional, and it patches torch on ZeroGPU)

    return spaces


def declared_seconds(request: ClipRequest) -> int:
    """Return the GPU seconds to declare for a run, from its frames and questions, at most `MAX_SECONDS`."""
    from hermes import video  # noqa: PLC0415 - not needed to read the environment

    info = request.info or video.probe(request.path)
    rate = min(request.settings.fps, info.fps or request.settings.fps)
    frames = (info.duration or 0.0) * rate
    needed = START_SECONDS + FRAME_SECONDS * frames + ANSWER_SECONDS * len(request.questions)
    return min(math.ceil(needed), MAX_SECONDS)


def clip_runner(model: Backbone) -> Run:
    """Return the function that streams a clip through `model` and asks its questions, in one GPU call on ZeroGPU.

    Must be called before the page is launched, because ZeroGPU then collects the decorated functions.

    Args:
        model: A loaded model. Forked processes inherit it, so it is never pickled.
    """
    with IMPORTING:
        from hermes.serving.clip_run import run_clip  # noqa: PLC0415 - imports torch

    def run(request: ClipRequest) -> Iterator[ClipItem]:
        for item in run_clip(model, request, scores=True):
            over = item.view is not None and item.view.state != "playing"
            yield (
                item if over else replace(item, scores=())
            )  # they grow with the stream, so they are sent once, at the end

    if importlib.util.find_spec("spaces") is None and not is_zero_gpu():
        return run
    model.fixed_shapes = None  # a run has a process of its own, which would capture the graphs again
    decorated: Run = _spaces().GPU(duration=declared_seconds)(run)
    return _with_clear_errors(decorated)


def _with_clear_errors(decorated: Run) -> Run:
    """Convert the Gradio errors that `spaces` raises (no GPU available, quota exceeded) to HermesError."""
    import gradio as gr  # noqa: PLC0415

    def run(request: ClipRequest) -> Iterator[ClipItem]:
        if is_zero_gpu() and request.frames is not None:
            request.frames.close()  # the request is pickled, and the run opens the file in its own process
            request = replace(request, frames=None)
        try:
            yield from decorated(request)
        except gr.Error as error:
            raise HermesError(f"The GPU could not be used for this run. {error.message}") from error

    return run
