"""Validation of frames and times before a session accepts them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from hermes.errors import HermesError
from hermes.memory.encoded import Frames


class FramesError(HermesError):
    """Invalid frames or times."""


def checked(
    frames: Frames, times: Sequence[float] | npt.NDArray[np.floating], before: float | None
) -> Iterator[tuple[Frames, float]]:
    """Validate frames and times and return them as pairs.

    Args:
        frames: uint8 [T, H, W, 3] RGB.
        times: Seconds of each frame [T].
        before: Time of the previous frame; None for the first frame of a stream.

    Raises:
        FramesError: Shape, type or times are invalid.
    """
    frames, seconds = np.asarray(frames), np.asarray(times, np.float64)
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
        raise FramesError(f"Frames must be uint8 [T, H, W, 3] in RGB; these are {frames.dtype} {list(frames.shape)}.")
    if min(frames.shape[1:3]) < 1 and len(frames):
        raise FramesError("The frames have no pixels.")
    if seconds.shape != (len(frames),):
        raise FramesError(f"There are {len(frames)} frames but {seconds.size} times; each frame needs one.")
    known = [] if before is None else [before]
    if not np.isfinite(seconds).all() or (np.diff(np.concatenate([known, seconds])) < 0).any():
        raise FramesError("Times must be finite seconds in ascending order, none earlier than the frames seen before.")
    return zip(frames, seconds.tolist(), strict=True)
