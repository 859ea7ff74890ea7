"""Equations of the reducers that work on frame features before the decoder: novelty, boundaries, pooling.

Pure functions. Features are [frames, patches, hidden]; the first frame is compared with `previous`, the frame before it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, cosine_similarity


def before(features: Tensor, previous: Tensor | None) -> Tensor:
    """The frame before each frame: [frames, ...] and None (no frame before the first: itself) or [...] -> [frames, ...]."""
    first = features[:1] if previous is None else previous[None]
    return torch.cat((first, features[:-1]))


def patch_similarity(features: Tensor, previous: Tensor | None) -> Tensor:
    """Cosine of each patch with the same patch one frame before: [frames, patches], -1 to 1; 1 without a frame before."""
    return cosine_similarity(features.float(), before(features, previous).float(), dim=-1)


def frame_similarity(features: Tensor, previous: Tensor | None) -> Tensor:
    """Cosine of each frame's mean feature with that of the frame before: [frames]; 1 without a frame before.

    Args:
        features: [frames, patches, hidden].
        previous: Mean feature of the frame before [hidden], or None.
    """
    means = features.float().mean(1)
    return cosine_similarity(means, before(means, previous), dim=-1)


def pooled_patches(features: Tensor, grid: tuple[int, int], side: int) -> Tensor:
    """Patches averaged onto a smaller grid: [..., rows * columns, hidden] -> [..., new rows * new columns, hidden].

    A grid that is smaller than `side` x `side` on an axis keeps that axis.
    """
    rows, columns = min(grid[0], side), min(grid[1], side)
    lead, hidden = features.shape[:-2], features.shape[-1]
    planes = features.float().reshape(-1, *grid, hidden).permute(0, 3, 1, 2)
    small = adaptive_avg_pool2d(planes, (rows, columns)).permute(0, 2, 3, 1)
    return small.reshape(*lead, rows * columns, hidden).to(features.dtype)
