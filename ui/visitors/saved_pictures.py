"""The pictures of a saved stream: thumbnails and the newest frame, in one file of limited size. Read as untrusted input."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from hermes.errors import HermesError
from hermes.trace.pictures import smaller
from hermes.video.thumbnails import VIEW_WIDTH, WIDTH, FramePictures

MAX_PICTURES: Final = 1024
"""Thumbnails that are saved; old ones are left out evenly."""
NEWEST: Final = 256
"""Thumbnails that are left out last."""
LARGEST_FILE: Final = 16_000_000


def pack_pictures(pictures: FramePictures) -> bytes:
    """Return the content of the file, at most `LARGEST_FILE` bytes."""
    frames = sorted(pictures.thumbnails)
    while len(frames) > MAX_PICTURES or sum(len(pictures.thumbnails[i]) for i in frames) > LARGEST_FILE // 2:
        kept = max(len(frames) - NEWEST, 0) or len(frames)
        frames = [*frames[:kept:2], *frames[kept:]]
    parts = [*(pictures.thumbnails[i] for i in frames), pictures.newest]
    return save(
        {
            "frames": np.array(frames, np.int64),
            "lengths": np.array([len(part) for part in parts], np.int64),
            "data": np.frombuffer(b"".join(parts), np.uint8),
        }
    )


def read_pictures(path: Path) -> FramePictures:
    """Return the pictures in a file. Pictures that are no JPEG or too large are left out.

    Raises:
        HermesError: The file is not one that `pack_pictures` returned.
    """
    damaged = "The pictures of the saved stream are damaged."
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise HermesError(damaged)
        arrays = load(path.read_bytes())
        frames, lengths, data = arrays["frames"], arrays["lengths"], arrays["data"]
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise HermesError(damaged) from error
    if (
        (frames.dtype, lengths.dtype, data.dtype) != (np.int64, np.int64, np.uint8)
        or not (frames.ndim == lengths.ndim == data.ndim == 1)
        or len(lengths) != len(frames) + 1
        or len(frames) > MAX_PICTURES
        or (lengths < 0).any()
        or (lengths > len(data)).any()
        or lengths.sum() != len(data)
    ):
        raise HermesError(damaged)
    parts = [part.tobytes() for part in np.split(data, np.cumsum(lengths)[:-1])]
    thumbnails = {int(i): smaller(part, WIDTH, 75) for i, part in zip(frames, parts[:-1], strict=True)}
    return FramePictures({i: part for i, part in thumbnails.items() if part}, smaller(parts[-1], VIEW_WIDTH, 85))
