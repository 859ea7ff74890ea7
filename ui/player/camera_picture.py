"""A camera picture as a browser sends it: untrusted until its size is known."""

from __future__ import annotations

import base64
import binascii
import io

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

PICTURE_BYTES = 1_500_000
"""Longest text of a picture that is taken, in base64."""
PICTURE_SIDE = 2048
"""Longest side of a picture that is decoded, in pixels."""


def read_picture(jpeg: str) -> npt.NDArray[np.uint8] | None:
    """A picture from base64 as RGB uint8 [height, width, 3]; None where it is too large, or broken."""
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
    """Whether a picture's header tells a size that is worth decoding: a small file can unfold into gigabytes."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            return max(picture.size) <= PICTURE_SIDE
    except (OSError, ValueError, Image.DecompressionBombError):
        return False
