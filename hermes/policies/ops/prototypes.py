"""StreamMem's prototypes: one key and one value for a frame, averaged with its tokens' scores as weights. Pure functions."""

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
        size: Tokens that each was averaged from, int64 [frames].
    """

    keys: Tensor
    values: Tensor
    median: Tensor
    size: Tensor

    @property
    def count(self) -> int:
        """Prototypes."""
        return len(self.median)


def prototypes(keys: Tensor, values: Tensor, scores: Tensor, group: Tensor, index: Tensor) -> Prototypes:
    """Average tokens by frame, `K̄ = Σ α_j K_j` and `V̄ = Σ α_j V_j` with the scores normalised within the frame as α.

    Args:
        keys: Raw keys [kv_heads, tokens, head_dim].
        values: [kv_heads, tokens, head_dim].
        scores: [tokens], 0 or more.
        group: Frame of each token, from 0, ascending, none missing [tokens].
        index: Where each token lies in the layer [tokens].

    Returns:
        As many prototypes as frames.
    """
    size = torch.bincount(group)
    frames = len(size)
    scores = scores.float() + 1e-9  # a frame that nothing attends to is averaged evenly
    total = scores.new_zeros(frames).index_add_(0, group, scores)
    weight = scores / total[group]
    shape = (keys.shape[0], frames, keys.shape[2])
    mean_keys = torch.zeros(shape, device=keys.device).index_add_(1, group, keys.float() * weight[:, None])
    mean_values = torch.zeros(shape, device=keys.device).index_add_(1, group, values.float() * weight[:, None])
    # Weights add up over all frames; a frame's half is reached at its number + 0.5.
    reached = torch.searchsorted(weight.double().cumsum(0), torch.arange(frames, device=group.device) + 0.5 - 1e-6)
    return Prototypes(mean_keys, mean_values, index[reached.clamp(max=len(index) - 1)], size)
