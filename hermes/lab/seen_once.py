"""Encodes the frames of one stream once for several memories: encoding does not depend on the policy."""

from __future__ import annotations

import time
from collections.abc import Sequence

from hermes.backbones.base import Backbone
from hermes.memory.encoded import Encoded, Frames, Layout, Seconds


class SeenOnce:
    """Caches a model's `encode` for the chunks of one stream."""

    def __init__(self, model: Backbone) -> None:
        """Start with an empty cache."""
        self._model = model
        self._found: dict[tuple[int, int], tuple[Encoded, float]] = {}
        self._saved = 0.0

    def encode(self, frames: Sequence[Frames], seconds: Seconds, first_step: int, layout: Layout) -> Encoded:
        """Encode a chunk as `Backbone.encode` does, or return the cached result."""
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
        """Return the encoding time that the cache saved since the last call, in seconds."""
        saved, self._saved = self._saved, 0.0
        return saved
