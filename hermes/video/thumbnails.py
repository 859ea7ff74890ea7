"""JPEG thumbnails of the frames of a stream, limited in number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Frame = npt.NDArray[np.uint8]
WIDTH = 96
VIEW_WIDTH = 448
"""Width of the newest frame, in pixels."""
LIMIT = 4096
NEWEST = 256


@dataclass(frozen=True)
class FramePictures:
    """Pictures of a stream, which its session does not hold, as JPEG.

    Attributes:
        thumbnails: Thumbnails by frame number.
        newest: The newest frame; empty if there is none.
    """

    thumbnails: Mapping[int, bytes]
    newest: bytes = b""


class Thumbnails:
    """JPEG thumbnails by frame number. Beyond the limit, every second old one is removed, so that all parts keep some."""

    def __init__(self, pictures: Mapping[int, bytes] | None = None) -> None:
        """Start with these thumbnails by frame number."""
        self._store: dict[int, bytes] = dict(pictures or {})

    def add(self, first: int, frames: Frame) -> None:
        """Add frames [T, H, W, 3] numbered from `first`."""
        for i, frame in enumerate(frames):
            self._store[first + i] = jpeg(frame, WIDTH, 75)
        if len(self._store) > LIMIT:
            gone = set(sorted(self._store)[1:-NEWEST:2])
            # A new dictionary, because other threads may be reading the old one.
            self._store = {i: picture for i, picture in self._store.items() if i not in gone}

    def get(self, frames: Sequence[int]) -> dict[int, bytes]:
        """Return thumbnails by frame number; frames without one are omitted."""
        store = self._store
        return {i: store[i] for i in frames if i in store}

    def all(self) -> dict[int, bytes]:
        """All thumbnails by frame number."""
        return dict(self._store)

    def clear(self) -> None:
        """Remove all thumbnails."""
        self._store = {}


def jpeg(frame: Frame, width: int, quality: int) -> bytes:
    """Encode a frame as JPEG, at most `width` pixels wide."""
    height = max(1, round(frame.shape[0] * width / frame.shape[1]))
    small = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA) if frame.shape[1] > width else frame
    done, data = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return data.tobytes() if done else b""
