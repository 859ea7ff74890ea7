"""Operations on frame features before the decoder: similarity, novelty, momentum, pooling.

Pure functions. Features are [frames, patches, hidden]; the first frame is compared with `previous`, the frame before it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, cosine_similarity


def before(features: Tensor, previous: Tensor | None) -> Tensor:
    """Return the previous frame of each frame [frames, ...]; if `previous` [...] is None, the first frame is its own."""
    first = features[:1] if previous is None else previous[None]
    return torch.cat((first, features[:-1]))


def patch_similarity(features: Tensor, previous: Tensor | None) -> Tensor:
    """Cosine of each patch with the same patch of the previous frame: [frames, patches]; 1 without a previous frame."""
    return cosine_similarity(features.float(), before(features, previous).float(), dim=-1)


def frame_similarity(features: Tensor, previous: Tensor | None) -> Tensor:
    """Cosine of each frame's mean feature with that of the previous frame: [frames]; 1 without a previous frame.

    Args:
        features: [frames, patches, hidden].
        previous: Mean feature of the frame before the first [hidden], or None.
    """
    means = features.float().mean(1)
    return cosine_similarity(means, before(means, previous), dim=-1)


def pooled_patches(features: Tensor, grid: tuple[int, int], side: int) -> Tensor:
    """Average patches on a smaller grid: [..., rows * columns, hidden] -> [..., new rows * new columns, hidden].

    An axis shorter than `side` keeps its length.
    """
    rows, columns = min(grid[0], side), min(grid[1], side)
    lead, hidden = features.shape[:-2], features.shape[-1]
    planes = features.float().reshape(-1, *grid, hidden).permute(0, 3, 1, 2)
    small = adaptive_avg_pool2d(planes, (rows, columns)).permute(0, 2, 3, 1)
    return small.reshape(*lead, rows * columns, hidden).to(features.dtype)


def novelty_rank(novelty: Tensor) -> Tensor:
    """Rank of each patch within its frame by novelty: [frames, patches] -> 1/patches for the least novel to 1."""
    return (novelty.argsort(dim=1).argsort(dim=1) + 1).float() / novelty.shape[1]


def sequence_similarity(features: Tensor) -> Tensor:
    """Cosine of each frame with the previous one, all patches as one vector: [frames]; 1 for the first."""
    flat = features.float().flatten(1)
    return cosine_similarity(flat, before(flat, None), dim=-1)


def momentum(change: Tensor, previous: Tensor | None, alpha: float) -> Tensor:
    """Momentum of change, `Δ_t = α (F_t - F_(t-1)) + (1 - α) Δ_(t-1)`, unrolled over a chunk.

    Args:
        change: `F_t - F_(t-1)` of each frame [frames, patches, hidden].
        previous: Momentum at the frame before the first [patches, hidden]; None means 0.
        alpha: Weight of the newest change, in (0, 1].

    Returns:
        [frames, patches, hidden].
    """
    frames = len(change)
    age = torch.arange(frames, device=change.device)
    lag = (age[:, None] - age).clamp(min=0)
    decay = (1.0 - alpha) ** torch.arange(frames + 1, device=change.device, dtype=torch.float32)
    weight = alpha * decay[lag].tril()
    moved = torch.einsum("ts,sph->tph", weight, change)
    return moved if previous is None else moved + decay[1:, None, None] * previous


def pair_to_drop(means: Tensor) -> Tensor:
    """Index of the older of the two most similar neighbours: mean features [frames, hidden] -> int64 []."""
    return cosine_similarity(means[1:].float(), means[:-1].float(), dim=-1).argmax()
