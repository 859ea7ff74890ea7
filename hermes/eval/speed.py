"""Speed of a model on a stream, for model cards."""

from __future__ import annotations

import time
from typing import Any, Final

import numpy as np

from hermes.backbones.base import Backbone
from hermes.session.stream_session import StreamSession
from hermes.worlds.stream import RenderedStream

ANSWERS: Final = 5  # answers of which the median time to first token is reported


def measure_speed(model: Backbone, stream: RenderedStream[Any], warm_up: int, question: str) -> tuple[float, float]:
    """Measure the speed with a full cache.

    Args:
        model: Model from `hermes.load`.
        stream: Frames to push.
        warm_up: Number of frames to push before the measurement.
        question: Question to ask after the last frame.

    Returns:
        Ingest rate in frames per second (with preprocessing), and time to first token in milliseconds.
    """
    session = StreamSession(model, policy="full")
    session.push(stream.frames[:warm_up], stream.times[:warm_up])
    start = time.perf_counter()
    session.push(stream.frames[warm_up:], stream.times[warm_up:])
    seconds = time.perf_counter() - start
    first = []
    for _ in range(ANSWERS):
        "".join(session.ask(question))
        first.append(session.stats.first_token_seconds or float("nan"))
    session.close()
    return round((len(stream.frames) - warm_up) / seconds, 1), round(1000 * float(np.median(first)), 1)
