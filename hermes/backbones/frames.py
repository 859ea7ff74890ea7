"""Preprocessing of frames for vision towers, equivalent to the model's image processor, without torchvision."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from hermes.errors import HermesError

Frame = npt.NDArray[np.uint8]
THREADS: Final = 8
"""Threads that resize frames for a model on a GPU."""


def square_side(most: int, unit: int, largest: int) -> int:
    """Return the side of the largest square frame of at most `most` pixels.

    Args:
        most: Pixels of the frame.
        unit: The side is a multiple of this, in pixels.
        largest: The model's own side, in pixels.

    Raises:
        HermesError: The frame would be smaller than `unit` x `unit`.
    """
    if most < unit * unit:
        raise HermesError(f"A frame of this model has at least {unit * unit:,} pixels; the limit cannot be {most:,}.")
    side = math.isqrt(most)
    return largest if side >= largest else side // unit * unit


def pixel_limit(most: int, least: int, own: int) -> int:
    """Return the pixel limit of a model that keeps the aspect ratio of frames: `most`, but at most its own limit.

    Args:
        most: Requested limit, in pixels.
        least: Pixels of the model's smallest frame.
        own: The model's own limit, in pixels.

    Raises:
        HermesError: The limit is below the smallest frame.
    """
    if most < least:
        raise HermesError(f"A frame of this model has at least {least:,} pixels; the limit cannot be {most:,}.")
    return min(own, most)


class FramePreparation:
    """Resizes, rescales and normalises frames with the values of a preprocessor configuration.

    Attributes:
        resample: PIL resampling filter.
        scale: Factor for pixel values.
    """

    def __init__(
        self, config: dict[str, Any], mean: Sequence[float], std: Sequence[float], device: torch.device
    ) -> None:
        """Read a configuration; `mean` and `std` [3] are its defaults."""
        self.resample = Image.Resampling(config.get("resample", Image.Resampling.BICUBIC))
        self._parallel = device.type == "cuda"  # the processor is free while the GPU works
        self.scale = float(config.get("rescale_factor", 1 / 255))
        self._mean = torch.tensor(config.get("image_mean") or mean, device=device)[:, None, None]
        self._std = torch.tensor(config.get("image_std") or std, device=device)[:, None, None]

    def __call__(self, frames: Sequence[Frame] | Frame, *sizes: tuple[int, int]) -> Tensor:
        """Preprocess frames.

        Args:
            frames: T frames, uint8 [H, W, 3] RGB.
            *sizes: Widths and heights to resize to, one after the other; most families need one.

        Returns:
            float32 [T, 3, height, width].
        """

        def resized(frame: Frame) -> npt.NDArray[np.uint8]:
            picture = Image.fromarray(frame)
            for size in sizes:
                picture = picture.resize(size, self.resample)
            return np.asarray(picture)

        threads = min(len(frames), THREADS, os.cpu_count() or 1) if self._parallel else 1
        if threads > 1:
            with ThreadPoolExecutor(threads) as pool:  # Pillow releases the interpreter's lock while it resizes
                pictures = list(pool.map(resized, frames))
        else:
            pictures = [resized(frame) for frame in frames]
        pixels = torch.from_numpy(np.stack(pictures)).to(self._mean.device).permute(0, 3, 1, 2).float()
        return pixels.mul_(self.scale).sub_(self._mean).div_(self._std)  # in place: half the time on a CPU


def flat_patches(pixels: Tensor, patch: int, merge: int, time: int = 1) -> tuple[Tensor, Tensor]:
    """Flatten frames into patches in the order of the Qwen towers, in which merged patches are neighbours.

    Args:
        pixels: [T, 3, height, width]; T is a multiple of `time`.
        patch: Side of a patch in pixels.
        merge: Patches that are merged, in each direction.
        time: Frames that are merged.

    Returns:
        Patches [patches, 3 * time * patch * patch] and the grid [1, 3] (time, height, width).
    """
    steps, high, wide = pixels.shape[0] // time, pixels.shape[2] // patch, pixels.shape[3] // patch
    blocks = pixels.view(steps, time, 3, high // merge, merge, patch, wide // merge, merge, patch)
    flat = blocks.permute(0, 3, 6, 4, 7, 2, 1, 5, 8).reshape(steps * high * wide, 3 * time * patch * patch)
    return flat, torch.tensor([[steps, high, wide]], device=pixels.device)
