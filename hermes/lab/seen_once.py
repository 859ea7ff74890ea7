"""The frames of one stream, encoded once for all the memories that see them: what the vision tower does knows no policy."""

from __future__ import annotations

import time
from collections.abc import Sequence

from hermes.backbones.base import Backbone
from hermes.memory.encoded import Encoded, Frames, Layout, Seconds


class SeenOnce:
    """Remembers what a model's `encode` gave for each chunk of one stream; for one stream only, from its first frame on."""

    def __init__(self, model: Backbone) -> None:
        """Remember nothing yet."""
        self._model = model
        self._found: dict[tuple[int, int], tuple[Encoded, float]] = {}
        self._saved = 0.0

    def encode(self, frames: Sequence[Frames], seconds: Seconds, first_step: int, layout: Layout) -> Encoded:
        """As `Backbone.encode`; a chunk that was encoded before is not encoded again."""
        key = (first_step, len(frames))
        if key in self._found:
            encoded, took = self._found[key]
            self._saved += took
            return encoded
        began = time.perf_counter()
        encoded = self._model.encode(frames, seconds, first_step, layout)
        self._found[key] = (encoded, time.perf_counter() - began)
        return encoded

    def take_seconds_saved(self) -> float:
        """Seconds that encoding would have taken since the last call, had nothing been remembered."""
        saved, self._saved = self._saved, 0.0
        return saved
