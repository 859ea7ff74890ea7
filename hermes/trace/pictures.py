"""The pictures of a run: one JPEG a frame, smaller the longer the run is, so that they stay within a limit of bytes."""

from __future__ import annotations

import io

import cv2
import numpy as np
from PIL import Image

from hermes.trace.block import pack
from hermes.video.thumbnails import jpeg

WIDTHS = (320, 224, 160, 96)
"""Widths that are tried, in pixels; when the narrowest is still too much, every other old picture goes."""
QUALITY = 75
NEWEST = 64
LARGEST_SIDE = 2048


class Pictures:
    """JPEG by frame number (`by_frame`), at most `limit` bytes altogether; `nbytes` are taken now."""

    def __init__(self, limit: int) -> None:
        """Begin empty."""
        self.by_frame: dict[int, bytes] = {}
        self._limit = limit
        self._width = 0
        self.nbytes = 0

    def add(self, frame: int, picture: bytes) -> None:
        """Take a picture; one that is larger than the present width is made smaller."""
        small = smaller(picture, WIDTHS[self._width], QUALITY)
        if not small:
            return
        self.nbytes += len(small) - len(self.by_frame.get(frame, b""))
        self.by_frame[frame] = small
        while self.nbytes > self._limit and self.shrink():
            pass

    def shrink(self) -> bool:
        """Make all pictures smaller, or let every other old one go; False where nothing is left to give."""
        if self._width + 1 < len(WIDTHS):
            self._width += 1
            width = WIDTHS[self._width]
            self.by_frame = {at: smaller(picture, width, QUALITY) for at, picture in self.by_frame.items()}
        else:
            newest = min(NEWEST, len(self.by_frame) // 2)
            gone = set(sorted(self.by_frame)[1 : len(self.by_frame) - newest : 2])
            if not gone:
                return False
            self.by_frame = {at: picture for at, picture in self.by_frame.items() if at not in gone}
        self.nbytes = sum(map(len, self.by_frame.values()))
        return True

    def parts(self) -> dict[str, bytes]:
        """The pictures as parts of a file: all of them one after the other, and the list that says which and how long."""
        pictures = sorted(self.by_frame.items())
        listed = {
            "frames": np.array([frame for frame, _ in pictures], np.int64),
            "lengths": np.array([len(picture) for _, picture in pictures], np.int64),
        }
        return {"pictures.xz": pack({}, listed), "pictures.bin": b"".join(picture for _, picture in pictures)}


def smaller(picture: bytes, width: int, quality: int) -> bytes:
    """A JPEG at most `width` pixels wide; as it is where it is no wider, empty where it is none or far too large."""
    try:
        with Image.open(io.BytesIO(picture)) as opened:
            size, kind = opened.size, opened.format
    except (OSError, ValueError, Image.DecompressionBombError):
        return b""
    if kind != "JPEG" or max(size) > LARGEST_SIDE:
        return b""
    if size[0] <= width:
        return picture
    pixels = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    return b"" if pixels is None else jpeg(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB).astype(np.uint8), width, quality)
