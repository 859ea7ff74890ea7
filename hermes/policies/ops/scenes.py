"""VideoLLaMB's equations: where a scene ends, and a memory that attends to itself and to the scene. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def left_depth(similarities: Sequence[float]) -> float:
    """How deep the newest similarity lies under the peak to its left, `(c_left - c) / 2`, as a stream can tell.

    The peak is found by climbing from the newest to the left while it goes up (SceneTiling's nearest monotone peak).

    Args:
        similarities: Cosine of each frame of the scene with the frame before it, oldest first, at least one.

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
    """Whether a depth is a cut: above `μ + α σ` of all depths seen so far, itself included [depths]."""
    if len(depths) < 2:
        return False
    return depth > float(depths.mean() + alpha * depths.std(unbiased=False))


def attended(memory: Tensor, scene: Tensor) -> Tensor:
    """A memory after a scene, `softmax(m [m; s]ᵀ / √D) [m; s]`: the bridge's attention without its trained weights.

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
    """`count` of the tokens [n, hidden], evenly spread: what a memory begins with."""
    index = torch.linspace(0, len(tokens) - 1, min(count, len(tokens)), device=tokens.device)
    return tokens[index.round().long()].float()
