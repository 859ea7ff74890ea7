"""The pictures of a run: one JPEG per frame, scaled down as the run grows so that they stay within a size limit."""

from __future__ import annotations

import cv2
import numpy as np

from hermes.files.jpeg import jpeg_size
from hermes.trace.block import pack
from hermes.video.thumbnails import jpeg

WIDTHS = (320, 224, 160, 96)
"""Widths in pixels, tried in order; if the narrowest is still too large, every other old picture is dropped."""
QUALITY = 75
NEWEST = 64
LARGEST_SIDE = 2048


class Pictures:
    """JPEG pictures by frame number (`by_frame`), with a total size (`nbytes`) of at most `limit` bytes."""

    def __init__(self, limit: int) -> None:
        """Start empty."""
        self.by_frame: dict[int, bytes] = {}
        self._limit = limit
        self._width = 0
        self.nbytes = 0

    def add(self, frame: int, picture: bytes) -> None:
        """Add a picture, scaled down to the current width."""
        small = smaller(picture, WIDTHS[self._width], QUALITY)
        if not small:
            return
        self.nbytes += len(small) - len(self.by_frame.get(frame, b""))
        self.by_frame[frame] = small
        while self.nbytes > self._limit and self.shrink():
            pass

    def shrink(self) -> bool:
        """Scale all pictures down, or drop every other old one; returns False if neither is possible."""
        if self._width + 1 < len(WIDTHS):
            self._width += 1
            width = WIDTHS[self._width]
            self.by_frame = {at: smaller(picture, width, QUALITY) for at, picture in self.by_frame.items()}
        else:
            newest = min(NEWEST, len(self.by_frame) // 2)
            dropped = set(sorted(self.by_frame)[1 : len(self.by_frame) - newest : 2])
            if not dropped:
                return False
            self.by_frame = {at: picture for at, picture in self.by_frame.items() if at not in dropped}
        self.nbytes = sum(map(len, self.by_frame.values()))
        return True

    def parts(self) -> dict[str, bytes]:
        """Return the parts of a file: the concatenated pictures, and the list of their frames and lengths."""
        pictures = sorted(self.by_frame.items())
        listed = {
            "frames": np.array([frame for frame, _ in pictures], np.int64),
            "lengths": np.array([len(picture) for _, picture in pictures], np.int64),
        }
        return {"pictures.xz": pack({}, listed), "pictures.bin": b"".join(picture for _, picture in pictures)}


def smaller(picture: bytes, width: int, quality: int) -> bytes:
    """Scale a JPEG down to at most `width` pixels; returns b"" if it is not a JPEG or far too large."""
    size = jpeg_size(picture)
    if size is None or max(size) > LARGEST_SIDE:
        return b""
    if size[0] <= width:
        return picture
    pixels = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    return b"" if pixels is None else jpeg(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB).astype(np.uint8), width, quality)
