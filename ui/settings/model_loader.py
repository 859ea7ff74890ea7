"""Loading of models in the background, with progress for the page."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from hermes.errors import HermesError
from hermes.out_of_memory import is_shortage

if TYPE_CHECKING:
    from hermes.serving.interface import StreamEngine
    from hermes.serving.model_info import ModelInfo
    from hermes.view import StreamSettings

logger = logging.getLogger(__name__)

FAULT: Final = "The model could not be loaded because of an internal error. Choose it again to retry."
SHORTAGE: Final = "Memory ran out while the model was loaded. Choose a smaller model."


class ModelLoadError(HermesError):
    """A model could not be loaded because of a fault of the program or a lack of memory."""


@dataclass(frozen=True)
class Loading:
    """Loading state of a model.

    Attributes:
        text: The current step, for display.
        share: Progress, 0 to 1.
        info: Description of the model; None until it is ready.
        error: Why the model could not be loaded, or None.
    """

    text: str
    share: float = 0.0
    info: ModelInfo | None = None
    error: str | None = None


class ModelLoader:
    """Loads each model once and reports progress. Thread-safe."""

    def __init__(self, engine: StreamEngine) -> None:
        self.engine = engine
        self._states: dict[str, Loading] = {}
        self._one_at_a_time = threading.Lock()

    def preload(self, settings: StreamSettings, *, agreed: bool = False) -> None:
        """Load a model in a background thread, then check that `settings` fit it. `state` reports the progress.

        Args:
            settings: The settings of a new visitor, with the model.
            agreed: As in `ensure`.
        """
        self._states[settings.model] = Loading(f"Loading {settings.model} …")
        name = f"load {settings.model}"
        threading.Thread(target=self._try, args=(settings, agreed), name=name, daemon=True).start()

    def begin(self, name: str) -> None:
        """Load a model in a background thread unless it was requested before. `state` reports the progress."""
        if name in self._states:
            return
        self._states[name] = Loading(f"Loading {name} …")
        threading.Thread(target=self._ensure_quietly, args=(name,), name=f"load {name}", daemon=True).start()

    def _ensure_quietly(self, name: str) -> None:
        try:
            self.ensure(name)
        except HermesError as error:
            logger.warning("%s could not be loaded: %s", name, error)

    def _try(self, settings: StreamSettings, agreed: bool) -> None:
        try:
            self.ensure(settings.model, agreed=agreed)
        except HermesError as error:
            logger.warning("%s could not be loaded: %s", settings.model, error)
            return
        try:
            self.engine.check(settings)
        except HermesError as error:
            logger.warning("no stream can be opened with the settings of this server: %s", error)
            state = self._states[settings.model]
            self._states[settings.model] = replace(
                state, info=None, error=f"{error} Change policy or budget below the stream."
            )

    def ensure(self, name: str, *, agreed: bool = False) -> ModelInfo:
        """Load a model unless it is loaded, and wait until it is ready.

        Args:
            name: Name, folder or hub id of the model.
            agreed: Whether the user agreed to a large download.

        Raises:
            ConsentError: The model is a large download and the user has not agreed to it; the message gives the size.
            HermesError: The model cannot be loaded; the message says why. No other exception is raised.
        """
        known = self._states.get(name)
        if known and known.info:
            return known.info
        with self._one_at_a_time:
            known = self._states.get(name)
            if known and known.info:
                return known.info
            self._states[name] = Loading(f"Loading {name} …")
            try:
                info = self.engine.load(
                    name, lambda text, share: self._report(name, text, share), lambda _download: agreed
                )
            except HermesError as error:
                self._states[name] = Loading(f"{name} could not be loaded.", error=str(error))
                raise
            except Exception as error:
                logger.exception("%s could not be loaded", name)
                reason = SHORTAGE if is_shortage(error) else FAULT
                self._states[name] = Loading(f"{name} could not be loaded.", error=reason)
                raise ModelLoadError(reason) from error
            self._states[name] = Loading(f"{name} is ready.", 1.0, info)
            return info

    def follow(self, name: str, *, agreed: bool = False) -> Iterator[str]:
        """Load a model and yield its progress, twice a second.

        Raises:
            HermesError: See `ensure`.
        """
        known = self._states.get(name)
        if known and known.info:
            return
        with ThreadPoolExecutor(1, thread_name_prefix=f"load {name}") as worker:
            loading = worker.submit(self.ensure, name, agreed=agreed)
            while not loading.done():
                state = self._states.get(name)
                yield f"{state.text} ({state.share:.0%})" if state else f"Loading {name} …"
                wait([loading], 0.5)
            loading.result()

    def _report(self, name: str, text: str, share: float) -> None:
        self._states[name] = replace(self._states[name], text=f"{text} …", share=share)

    def state(self, name: str) -> Loading | None:
        """Return the loading state of a model, or None if it was never requested."""
        return self._states.get(name)
