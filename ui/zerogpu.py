"""ZeroGPU, where a GPU is lent for one call: the clip and its questions in one call, by the `spaces` package if it is there.

What this file relies on in `spaces`: each call of a decorated function runs in a forked process, its arguments and what it
yields are pickled, GPU memory is gone afterwards, and without ZeroGPU the decorator changes nothing.
"""

from __future__ import annotations

import importlib.util
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hermes.errors import HermesError

if TYPE_CHECKING:
    from hermes.backbones.base import Backbone
    from hermes.serving.clip_run import ClipItem, ClipRequest

VARIABLE = "SPACES_ZERO_GPU"
"""Set by the hub on ZeroGPU hardware; the `spaces` package reads the same one."""
TRUE = ("1", "t", "true")

# Seconds that a call declares. They are assumptions, not measurements: a visitor's quota is charged with what is declared,
# and a call that takes longer is cut off.
START_SECONDS, FRAME_SECONDS, ANSWER_SECONDS = 12.0, 0.08, 4.0
MOST_SECONDS = 180

Run = Callable[["ClipRequest"], Iterator["ClipItem"]]


def is_zero_gpu(environment: Mapping[str, str] | None = None) -> bool:
    """Whether this process runs on ZeroGPU hardware."""
    environment = os.environ if environment is None else environment
    return environment.get(VARIABLE, "").lower() in TRUE


def prepare() -> None:
    """On ZeroGPU, have `spaces` stand in for CUDA before anything else touches it; elsewhere nothing happens.

    Raises:
        HermesError: The package is missing.
    """
    if is_zero_gpu():
        _spaces()


def _spaces() -> Any:
    if importlib.util.find_spec("spaces") is None:
        raise HermesError("ZeroGPU needs the package spaces: add a line “spaces” to requirements.txt.")
    import spaces  # noqa: PLC0415  (optional, and it patches torch on ZeroGPU)

    return spaces


def declared_seconds(request: ClipRequest) -> int:
    """GPU seconds that a run declares: for its frames and answers, at most `MOST_SECONDS`."""
    from hermes import video  # noqa: PLC0415  (not needed where only the environment is asked for)

    info = video.probe(request.path)
    rate = min(request.settings.fps, info.fps or request.settings.fps)
    frames = (info.duration or 0.0) * rate
    needed = START_SECONDS + FRAME_SECONDS * frames + ANSWER_SECONDS * len(request.questions)
    return min(math.ceil(needed), MOST_SECONDS)


def clip_runner(model: Backbone) -> Run:
    """The function that streams a clip through `model` and asks its questions: one GPU call on ZeroGPU, plain elsewhere.

    Must be called before the page is launched: ZeroGPU looks for decorated functions then.

    Args:
        model: A loaded model; a forked process inherits it, so it is never pickled.
    """
    from hermes.serving.clip_run import run_clip  # noqa: PLC0415

    def run(request: ClipRequest) -> Iterator[ClipItem]:
        for item in run_clip(model, request, scores=True):
            over = item.view is not None and item.view.state != "playing"
            yield item if over else replace(item, scores=())  # they grow with the stream: sent once, at its end

    if importlib.util.find_spec("spaces") is None and not is_zero_gpu():
        return run
    decorated: Run = _spaces().GPU(duration=declared_seconds)(run)
    return _told(decorated)


def _told(decorated: Run) -> Run:
    """What goes wrong around a call (no GPU free, quota used up), which `spaces` raises as Gradio errors, as a sentence."""
    import gradio as gr  # noqa: PLC0415

    def run(request: ClipRequest) -> Iterator[ClipItem]:
        try:
            yield from decorated(request)
        except gr.Error as error:
            raise HermesError(f"The GPU could not be used for this run. {error.message}") from error

    return run
