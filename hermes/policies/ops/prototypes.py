"""StreamMem's prototypes: one key and value per frame, averaged with the tokens' scores as weights. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Prototypes:
    """One averaged token for each frame.

    Attributes:
        keys: Raw keys, float32 [kv_heads, frames, head_dim].
        values: float32 [kv_heads, frames, head_dim].
        median: Token at which each frame's weights reach one half, an index into the layer's video tokens, int64 [frames].
        size: Number of tokens averaged into each, int64 [frames].
    """

    keys: Tensor
    values: Tensor
    median: Tensor
    size: Tensor

    @property
    def count(self) -> int:
        """Number of prototypes."""
        return len(self.median)


def prototypes(keys: Tensor, values: Tensor, scores: Tensor, group: Tensor, index: Tensor) -> Prototypes:
    """Average tokens by frame, `K̄ = Σ α_j K_j` and `V̄ = Σ α_j V_j` with the scores normalised within the frame as α.

    Args:
        keys: Raw keys [kv_heads, tokens, head_dim].
        values: [kv_heads, tokens, head_dim].
        scores: [tokens], 0 or more.
        group: Frame of each token, from 0, ascending, without gaps [tokens].
        index: Index of each token in the layer [tokens].

    Returns:
        One prototype per frame.
    """
    size = torch.bincount(group)
    frames = len(size)
    scores = scores.float() + 1e-9  # a frame without attention is averaged uniformly
    total = scores.new_zeros(frames).index_add_(0, group, scores)
    weight = scores / total[group]
    shape = (keys.shape[0], frames, keys.shape[2])
    mean_keys = torch.zeros(shape, device=keys.device).index_add_(1, group, keys.float() * weight[:, None])
    mean_values = torch.zeros(shape, device=keys.device).index_add_(1, group, values.float() * weight[:, None])
    # Each frame's weights sum to 1, so the cumulative sum reaches the middle of a frame at its number + 0.5.
    reached = torch.searchsorted(weight.double().cumsum(0), torch.arange(frames, device=group.device) + 0.5 - 1e-6)
    return Prototypes(mean_keys, mean_values, index[reached.clamp(max=len(index) - 1)], size)
