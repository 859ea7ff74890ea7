"""Decoding of camera frames from the browser. They are untrusted: size limits are checked before decoding."""

from __future__ import annotations

import base64
import binascii

import cv2
import numpy as np
import numpy.typing as npt

from hermes.files.jpeg import jpeg_size

PICTURE_BYTES = 1_500_000
"""Largest accepted frame, in base64 characters."""
PICTURE_SIDE = 2048
"""Largest accepted width or height, in pixels."""


def read_picture(jpeg: str) -> npt.NDArray[np.uint8] | None:
    """Decode a base64 JPEG to RGB uint8 [height, width, 3]; None if it is too large or damaged, or not a JPEG."""
    if len(jpeg) > PICTURE_BYTES:
        return None
    try:
        data = base64.b64decode(jpeg, validate=True)
    except (binascii.Error, ValueError):
        return None
    if not small_enough(data):
        return None
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return None if picture is None else cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


def small_enough(data: bytes) -> bool:
    """Return whether data is a JPEG whose size in the header is acceptable: a small file can decode to gigabytes.

    Other formats are refused: in some, the decoder reads another size than the one in the header.
    """
    size = jpeg_size(data)
    return size is not None and max(size) <= PICTURE_SIDE
