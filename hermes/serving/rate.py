"""Estimate of the frame rate that a model achieves on this machine, from a few frames."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

import numpy as np

from hermes.serving.scheduling import Kind, Work
from hermes.serving.stream_memory import open_session

if TYPE_CHECKING:
    from hermes.backbones.base import Backbone
    from hermes.view import StreamSettings

HEADROOM: Final = 0.7
"""Share of the measured speed that a stream may use; the rest is for memory management and answers."""
SHORT_SECONDS: Final = 0.5
"""A measurement of this duration is precise enough; shorter ones are repeated with more frames."""
ROUNDS: Final = 3
GREY: Final = 128


class RateProbe:
    """Measures the speed of a model on a few frames, as one step of the engine.

    Attributes:
        frames_per_second: The achievable rate, with headroom; None if the measurement failed.
    """

    def __init__(self, model: Backbone, settings: StreamSettings, size: tuple[int, int]) -> None:
        """Prepare the measurement.

        Args:
            model: The model.
            settings: Settings of the stream to be started.
            size: Height and width of its frames.
        """
        self.frames_per_second: float | None = None
        self._model, self._settings, self._size = model, settings, size
        self._done = threading.Event()

    def work(self) -> Work:
        """Return the pending work: one step."""
        return Work(frames=not self._done.is_set())

    def step(self, kind: Kind, *, contended: bool) -> bool:  # noqa: ARG002
        """Measure."""
        try:
            self.frames_per_second = HEADROOM * measure_rate(self._model, self._settings, self._size)
        finally:
            self._done.set()
        return True

    def fail(self, error: BaseException) -> None:  # noqa: ARG002
        """End without a result; the stream itself then reports the error."""
        self._done.set()

    @property
    def memory_bytes(self) -> int:
        """Nothing outlasts the measurement."""
        return 0

    def discard(self) -> None:
        """Do nothing: a measurement holds no slot that could end."""

    def close(self) -> None:
        """End without a result."""
        self._done.set()

    def wait(self) -> float | None:
        """Wait for the measurement and return `frames_per_second`."""
        self._done.wait()
        return self.frames_per_second


def measure_rate(model: Backbone, settings: StreamSettings, size: tuple[int, int]) -> float:
    """Return the frames per second at which a new stream of frames of a size (height, width) is encoded.

    One step of frames is encoded first. If that was fast, the measurement is repeated with more frames: the first step is
    slower than the others, and a chunk of several frames is faster per frame.
    """
    session = open_session(model, settings)
    try:
        count = model.layout(*size).frames_per_step
        best = 0.0
        for _ in range(ROUNDS):
            chunk = np.full((count, *size, 3), GREY, np.uint8)
            seen = session.stats.frames_seen
            began = time.perf_counter()
            session.push(chunk, (seen + np.arange(count)) / settings.fps)
            seconds = time.perf_counter() - began
            best = max(best, count / seconds)
            if seconds > SHORT_SECONDS:
                break
            count = 2 * count if 2 * count <= settings.chunk else count
        return best
    finally:
        session.close()
