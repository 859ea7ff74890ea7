"""Checks of JPEG pictures from untrusted sources, before they are decoded."""

from __future__ import annotations

import io
import struct
from typing import Final

from PIL import Image

MAX_SCANS: Final = 64
"""Largest number of scans of a picture. Each scan takes a pass over all pixels, but may have only 16 bytes. Progressive
pictures have about 10 scans."""
_START_OF_SCAN: Final = b"\xff\xda"


def has_too_many_scans(data: bytes) -> bool:
    """Return whether a JPEG has more scans than are decoded."""
    return data.count(_START_OF_SCAN) > MAX_SCANS


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Return width and height of a JPEG in pixels, from its header; None if it is not a JPEG or has too many scans."""
    if has_too_many_scans(data):
        return None
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as picture:
            return picture.size
    except (OSError, ValueError, SyntaxError, IndexError, struct.error, Image.DecompressionBombError):
        return None
