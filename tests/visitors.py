"""Visitors on the real engine with a tiny model, without browser and Gradio."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from patience import until

import hermes
from hermes.serving.engine import Engine, StreamSettings
from ui.player.clips import Clip
from ui.settings.model_loader import ModelLoader
from ui.visitors.visitor import Visitor

MakeVisitor = Callable[..., Visitor]


def write_rolling_ball(path: Path) -> Path:
    """Write a clip of 20 seconds whose frames differ."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10, (64, 48))
    for i in range(200):
        frame = np.zeros((48, 64, 3), np.uint8)
        cv2.circle(frame, (5 + i % 54, 24), 8, (0, 128 + i % 100, 255), -1)
        writer.write(frame)
    writer.release()
    return path


@contextmanager
def visitors(engine: Engine, model: Path, film: Path, **more: Any) -> Iterator[MakeVisitor]:
    """Provide a function that makes visitors of a model and one clip, "film"; they are closed at the end.

    Args:
        engine: Runs the streams.
        model: Folder of the model.
        film: The clip.
        **more: Arguments of `Visitor`.
    """
    clips = {"film": Clip("film", film, "A film", "A ball rolls.", 20.0, (("What is shown?", 2.0),), "")}
    loader = ModelLoader(engine)
    made: list[Visitor] = []

    def make(**changes: Any) -> Visitor:
        settings = StreamSettings(model=str(model), budget=64, **{"speed": 4.0, **changes})
        made.append(Visitor(settings, loader, clips, hermes.POLICIES, **more))
        return made[-1]

    yield make
    for visitor in made:
        visitor.close()


def playing(make: MakeVisitor, least: int = 4, **changes: Any) -> Visitor:
    """Return a visitor whose stream has at least this many frames."""
    visitor = make(**changes)
    visitor.start(visitor.source({"kind": "clip", "id": "film"}))
    until(lambda: visitor.poll(None, -1)[0]["frames"] >= least)
    return visitor
