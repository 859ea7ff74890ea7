"""Frames of a benchmark's videos: video files, folders of images, and arrays, sampled one at a time.

The frames are those of the released runner: every n-th frame of the file. For a video file, the n-th frame is found by its
time, so that a file with a variable frame rate is sampled evenly in time. Frames are not resized.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from hermes.benchmarks.annotations import AnnotatedVideo
from hermes.benchmarks.catalogue import BenchmarkError
from hermes.memory.encoded import Frames
from hermes.video import probe, sample
from hermes.video.limits import LIMITS

IMAGES: Final = (".jpg", ".jpeg", ".png", ".webp")
FORMATS: Final = ("JPEG", "PNG", "WEBP")
ARRAY_FPS: Final = 1.0
"""Frames per second of an array."""
UNSCALED: Final = 100_000
"""A limit of the side that no decodable frame exceeds, in pixels."""


class FrameSourceError(BenchmarkError):
    """A video of the benchmark that is missing, damaged or cannot be sampled at the chosen rate."""


def frame_step(fps: float, rate: float) -> int:
    """Return the sampling step of a video file in frames: `int(round(fps) / rate)`; 0 if it has too few frames."""
    return int(round(fps) / rate)


def sampled_indices(fps: float, count: int, step: int, clip: tuple[float, float] | None = None) -> range:
    """Return the frames of a file that are sampled.

    Args:
        fps: Frames per second of the file.
        count: Number of frames in the file.
        step: Sampling step in frames.
        clip: Start and end of the sampled part in seconds; None: all frames.
    """
    first, after = (0, count) if clip is None else (int(clip[0] * fps), int(clip[1] * fps) + 1)
    return range(first, min(after, count), step)


@contextmanager
def open_frames(folder: Path, video: AnnotatedVideo, rate: float) -> Iterator[Iterator[Frames]]:
    """Open a video; yields an iterator over its sampled frames, uint8 [H, W, 3] RGB.

    Args:
        folder: The folder of videos.
        video: The video.
        rate: Sampling rate in frames per second.

    Raises:
        FrameSourceError: It is missing, damaged, or has too few frames per second; also while iterating.
        VideoError: The file cannot be decoded; also while iterating.
    """
    path = folder / video.path
    if video.fps is not None:
        yield _images(path, video.fps, rate, video.clip)
    elif path.suffix.lower() == ".npy":
        yield _array(path, rate, video.clip)
    else:
        if not path.exists():
            raise FrameSourceError(f"There is no video {video.path}.")
        info = probe(path)
        if info.fps is None:
            raise FrameSourceError(f"The frame rate of {video.path} is unknown.")
        step = frame_step(info.fps, rate)
        if step < 1:
            raise FrameSourceError(
                f"{video.path} has {info.fps:.3g} frames per second, so it cannot be sampled at {rate:g}."
            )
        start, end = 0.0, None
        if video.clip is not None:
            start = int(video.clip[0] * info.fps) / info.fps
            end = (int(video.clip[1] * info.fps) + 0.5) / info.fps  # after the last frame of the part
        with sample(path, info.fps / step, start=start, end=end, max_side=UNSCALED) as frames:
            yield (frame for frame, _ in frames)


def _images(folder: Path, fps: float, rate: float, clip: tuple[float, float] | None) -> Iterator[Frames]:
    if not folder.is_dir():
        raise FrameSourceError(f"There is no folder of images {folder.name}.")
    files = sorted((p for p in folder.iterdir() if p.suffix.lower() in IMAGES and p.is_file()), key=_natural)
    chosen = sampled_indices(fps, len(files), max(1, int(fps / rate)), clip)
    if not chosen:
        raise FrameSourceError(f"The folder {folder.name} has {len(files)} images, none of them in the part to show.")
    return map(_read_image, files[chosen.start : chosen.stop : chosen.step])


def _natural(path: Path) -> list[tuple[int, str]]:
    """Order names by the numbers in them: 2 before 10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path.name)]


def _read_image(path: Path) -> Frames:
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > LIMITS.pixels:
                raise FrameSourceError(f"The image {path.name} has more than {LIMITS.pixels:,} pixels.")
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise FrameSourceError(f"The image {path.name} cannot be read.") from error


def _array(path: Path, rate: float, clip: tuple[float, float] | None) -> Iterator[Frames]:
    if not path.is_file():
        raise FrameSourceError(f"There is no video {path.name}.")
    try:
        frames = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError, SyntaxError, EOFError, OverflowError) as error:
        raise FrameSourceError(f"{path.name} is not an array in NumPy's format, or is incomplete.") from error
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or 0 in frames.shape:
        raise FrameSourceError(
            f"{path.name} must hold frames as uint8 [T, H, W, 3]; it holds {frames.dtype} {list(frames.shape)}."
        )
    if frames.shape[1] * frames.shape[2] > LIMITS.pixels:
        raise FrameSourceError(f"The frames of {path.name} have more than {LIMITS.pixels:,} pixels.")
    part = frames[: len(frames)] if clip is None else frames[int(clip[0] * ARRAY_FPS) : int(clip[1] * ARRAY_FPS) + 1]
    chosen = np.linspace(0, len(part) - 1, int(len(part) * rate), dtype=np.int64)
    if not len(chosen):
        raise FrameSourceError(f"{path.name} is too short to be sampled at {rate:g} frames per second.")
    return (np.array(part[index]) for index in chosen)
