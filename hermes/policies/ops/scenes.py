"""VideoLLaMB's scene cuts, and its memory that attends to itself and to the scene. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def left_depth(similarities: Sequence[float]) -> float:
    """Depth of the newest similarity below the peak to its left, `(c_left - c) / 2`; a stream has no right side yet.

    The peak is the end of the monotone rise to the left (SceneTiling's nearest monotone peak).

    Args:
        similarities: Cosine of each frame of the scene with the previous frame, oldest first, at least one.

    Returns:
        0 or more.
    """
    peak = similarities[-1]
    for earlier in reversed(similarities[:-1]):
        if earlier < peak:
            break
        peak = earlier
    return (peak - similarities[-1]) / 2


def is_cut(depth: float, depths: Tensor, alpha: float) -> bool:
    """Return whether a depth is a cut: above `μ + α σ` of all depths seen so far, itself included [depths]."""
    if len(depths) < 2:
        return False
    return depth > float(depths.mean() + alpha * depths.std(unbiased=False))


def attended(memory: Tensor, scene: Tensor) -> Tensor:
    """Update a memory with a scene, `softmax(m [m; s]ᵀ / √D) [m; s]`: the bridge's attention without trained weights.

    Args:
        memory: [slots, hidden].
        scene: Tokens of the scene [tokens, hidden].

    Returns:
        float32 [slots, hidden].
    """
    both = torch.cat((memory.float(), scene.float()))
    weight = torch.softmax(memory.float() @ both.T * both.shape[1] ** -0.5, dim=-1)
    return weight @ both


def evenly(tokens: Tensor, count: int) -> Tensor:
    """Return `count` evenly spaced tokens of [n, hidden], the initial memory."""
    index = torch.linspace(0, len(tokens) - 1, min(count, len(tokens)), device=tokens.device)
    return tokens[index.round().long()].float()
