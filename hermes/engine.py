"""The engine: one worker thread owns the models' work, and the streams of all visitors take turns.

A turn is one step: a chunk of frames, or a token of an answer. So answers and frames interleave, and nobody waits long.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from hermes.backbones.base import Backbone
from hermes.backbones.downloads import Confirm, Progress
from hermes.backbones.load import load
from hermes.errors import HermesError
from hermes.live import LiveStream
from hermes.live_view import LiveView, StreamSettings
from hermes.memory.tiers import LLAVA_ONEVISION, FamilyConstants

__all__ = ["Engine", "LiveStream", "LiveView", "ModelInfo", "StreamSettings"]

logger = logging.getLogger(__name__)


class TurnTaker(Protocol):
    """What takes turns in the engine: a visitor's stream, or a run of the lab."""

    def has_work(self) -> bool:
        """Whether a step would do something."""

    def step(self) -> None:
        """Do one small piece of work; never raises."""

    def close(self) -> None:
        """Free the memory."""


class BusyError(HermesError):
    """There are as many streams as this machine takes."""


@dataclass(frozen=True)
class ModelInfo:
    """What a page says of a model: names, one sentence on what it knows, sizes (tokens, bytes, positions), where it runs.

    `constants` are the paper's for its family, or those that it borrows; `guidance` its own guidance prompts by name.
    """

    name: str
    title: str
    family: str
    about: str
    parameters: int
    num_layers: int
    tokens_per_frame: int
    bytes_per_token: int
    max_positions: int
    suggested: tuple[str, ...]
    device: str
    dtype: str
    constants: FamilyConstants = LLAVA_ONEVISION
    guidance: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, name: str, model: Backbone) -> ModelInfo:
        """The facts of a loaded model that was asked for as `name`."""
        return cls(
            name=name,
            title=model.card.name,
            family=model.family,
            about=model.card.about,
            parameters=sum(p.numel() for p in model.model.parameters()),
            num_layers=model.num_layers,
            tokens_per_frame=model.tokens_per_frame,
            bytes_per_token=model.bytes_per_token,
            max_positions=model.max_positions,
            suggested=model.card.suggested,
            device=str(model.device),
            dtype=str(model.dtype).removeprefix("torch."),
            constants=model.constants,
            guidance=tuple(model.card.guidance.items()),
        )


class Engine:
    """Models, loaded once and shared, and the streams that use them."""

    def __init__(self, max_streams: int = 16, loader: Callable[[str, Progress | None], Backbone] | None = None) -> None:
        """Start the worker.

        Args:
            max_streams: Most streams open at once.
            loader: Loads a model by name; None: `hermes.load`.
        """
        self._max_streams = max_streams
        self._loader = loader
        self._models: dict[str, Backbone] = {}
        self._infos: dict[str, ModelInfo] = {}
        self._loading = threading.Lock()
        self._streams: list[TurnTaker] = []
        self._work = threading.Condition()
        self._closed = False
        self._worker = threading.Thread(target=self._run, name="engine", daemon=True)
        self._worker.start()

    # Models -------------------------------------------------------------------------------------------------------

    def load(self, name: str, progress: Progress | None = None, confirm: Confirm | None = None) -> ModelInfo:
        """Load a model, or find it loaded. Streams of other models go on meanwhile.

        Args:
            name: "pocket", a folder or a hub id.
            progress: Told what happens and how far it is, 0 to 1.
            confirm: Asked before a large download; None: it is not asked for.

        Raises:
            ConsentError: `confirm` said no.
            ModelError: It cannot be loaded; the models loaded before stay.
        """
        with self._loading:
            if name not in self._models:
                custom = self._loader
                model = custom(name, progress) if custom else load(name, progress=progress, confirm=confirm)
                self._infos[name] = ModelInfo.of(name, model)  # now, since ZeroGPU takes the weights away later
                self._models[name] = model
            if progress:
                progress(f"{name} is ready", 1.0)
            return self._infos[name]

    def models(self) -> list[ModelInfo]:
        """The models loaded so far."""
        return list(self._infos.values())

    # Streams ------------------------------------------------------------------------------------------------------

    def open(self, settings: StreamSettings) -> LiveStream:
        """Open a stream for a visitor.

        Raises:
            BusyError: There are too many streams already.
            HermesError: A setting does not fit, or the model is not loaded yet.
        """
        self._require_room()
        stream = LiveStream(self, settings)
        self.enter(stream)
        return stream

    def enter(self, stream: TurnTaker) -> None:
        """Let something take turns with the streams, until it is forgotten.

        Raises:
            BusyError: There are too many streams already.
        """
        self._require_room()
        with self._work:
            self._streams.append(stream)
            self._work.notify()

    def _require_room(self) -> None:
        with self._work:
            if len(self._streams) >= self._max_streams:
                raise BusyError(
                    f"{self._max_streams} people are streaming here already, which is as many as this machine takes. "
                    "Please come back in a moment."
                )

    def model(self, name: str) -> Backbone:
        """A loaded model by the name it was asked for.

        Raises:
            HermesError: It is not loaded yet.
        """
        if name not in self._models:
            raise HermesError(f"The model “{name}” is not loaded yet; please wait a moment.")
        return self._models[name]

    def wake(self) -> None:
        """Tell the worker that there is something to do."""
        with self._work:
            self._work.notify()

    def forget(self, stream: TurnTaker) -> None:
        """Leave out a stream that was closed."""
        with self._work:
            if stream in self._streams:
                self._streams.remove(stream)

    def _run(self) -> None:
        while True:
            with self._work:
                ready = [stream for stream in self._streams if stream.has_work()]
                while not ready and not self._closed:
                    self._work.wait(0.5)
                    ready = [stream for stream in self._streams if stream.has_work()]
                if self._closed:
                    return
            for stream in ready:
                stream.step()

    def close(self) -> None:
        """Close all streams and end the worker."""
        with self._work:
            self._closed = True
            self._work.notify()
        self._worker.join(timeout=10)
        for stream in list(self._streams):
            stream.close()
        self._models.clear()
        self._infos.clear()
