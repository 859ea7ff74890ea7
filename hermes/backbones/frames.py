"""Frames as vision towers read them: prepared as the model's own image processor does, without torchvision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

Frame = npt.NDArray[np.uint8]


class FramePreparation:
    """Resizes, rescales and normalises, with the numbers of a preprocessor configuration.

    Attributes:
        resample: PIL's filter.
        scale: What pixels are multiplied with.
    """

    def __init__(
        self, config: dict[str, Any], mean: Sequence[float], std: Sequence[float], device: torch.device
    ) -> None:
        """Read a configuration; `mean` and `std` [3] where it names none."""
        self.resample = Image.Resampling(config.get("resample", Image.Resampling.BICUBIC))
        self.scale = float(config.get("rescale_factor", 1 / 255))
        self._mean = torch.tensor(config.get("image_mean") or mean, device=device)[:, None, None]
        self._std = torch.tensor(config.get("image_std") or std, device=device)[:, None, None]

    def __call__(self, frames: Sequence[Frame] | Frame, *sizes: tuple[int, int]) -> Tensor:
        """Frames in one size after the other (most families need one).

        Args:
            frames: T pictures, uint8 [H, W, 3] RGB.
            *sizes: Widths and heights, in the order in which to resize.

        Returns:
            float32 [T, 3, height, width].
        """
        resized = []
        for frame in frames:
            picture = Image.fromarray(frame)
            for size in sizes:
                picture = picture.resize(size, self.resample)
            resized.append(np.asarray(picture))
        pixels = torch.from_numpy(np.stack(resized)).to(self._mean.device).permute(0, 3, 1, 2).float()
        return (pixels * self.scale - self._mean) / self._std
