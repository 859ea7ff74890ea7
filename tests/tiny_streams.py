"""Engines and streams of tiny models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from hermes.backbones.base import Backbone
from hermes.errors import HermesError
from hermes.serving.engine import Engine
from hermes.view import StreamSettings

SETTINGS = StreamSettings(model="tiny", budget=40, fps=4, speed=float("inf"))


@contextmanager
def engine_of(models: Mapping[str, Backbone]) -> Iterator[Engine]:
    """An engine with three slots that can load `models`, by name."""

    def loader(name, progress):  # noqa: ARG001 - as the engine calls it
        if name not in models:
            raise HermesError(f"There is no model “{name}”.")
        return models[name]

    engine = Engine(max_streams=3, loader=loader)
    try:
        yield engine
    finally:
        engine.close()


def pushed(stream):
    """Number of frames of each chunk so far."""
    return [frames for frames, _ in stream._memory._speeds]


def picture(i):
    """A grey camera frame, brighter with `i`."""
    return np.full((20, 30, 3), i * 9, np.uint8)
