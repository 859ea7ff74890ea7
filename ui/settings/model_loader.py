"""Models as the page sees them: being loaded (how far), ready (what they know), or failed (why)."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hermes.errors import HermesError

if TYPE_CHECKING:
    from hermes.serving.engine import Engine, ModelInfo

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Loading:
    """How far a model is.

    Attributes:
        text: What happens now, for people.
        share: How far it is, 0 to 1.
        info: The model, once it is ready.
        error: Why it could not be loaded.
    """

    text: str
    share: float = 0.0
    info: ModelInfo | None = None
    error: str | None = None


class Shelf:
    """Loads models, each once, and tells how far each is to whoever asks."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._states: dict[str, Loading] = {}
        self._one_at_a_time = threading.Lock()

    def preload(self, name: str, *, agreed: bool = False) -> None:
        """Begin to load a model in a thread of its own; `state` tells how far it is. `agreed` as in `ensure`."""
        self._states[name] = Loading(f"Loading {name} …")
        threading.Thread(target=self._try, args=(name, agreed), name=f"load {name}", daemon=True).start()

    def _try(self, name: str, agreed: bool) -> None:
        try:
            self.ensure(name, agreed=agreed)
        except HermesError as error:
            logger.warning("%s could not be loaded: %s", name, error)

    def ensure(self, name: str, *, agreed: bool = False) -> ModelInfo:
        """Wait until a model is ready; `agreed` says that a large download may start.

        Raises:
            ConsentError: It is a large download that nobody agreed to; the error says how large.
            HermesError: It cannot be loaded; the message says why.
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
            self._states[name] = Loading(f"{name} is ready.", 1.0, info)
            return info

    def follow(self, name: str, *, agreed: bool = False) -> Iterator[str]:
        """Load a model, telling what happens and how far it is twice a second.

        Raises:
            HermesError: As `ensure`.
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
        """How far a model is; None where nobody asked for it yet."""
        return self._states.get(name)
