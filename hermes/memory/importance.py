"""The paper's equations for recency, importance, cross-layer smoothing and retention (sections 3.3 and 3.4).

Pure functions of tensors, one equation each. `tokens` are the video tokens of one layer, oldest first.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate

EPSILON = 1e-6


def distance(tokens: int, device: torch.device | str = "cpu") -> Tensor:
    """Distance of each token from the newest, `d_i = (N-1-i) / max(N-1, 1)`.

    Returns:
        float32 [tokens], 1 for the oldest to 0 for the newest.
    """
    index = torch.arange(tokens, device=device, dtype=torch.float32)
    return (tokens - 1 - index) / max(tokens - 1, 1)


def recency(tokens: int, k: float, device: torch.device | str = "cpu") -> Tensor:
    """Recency of each token, `r(i) = exp(-k d_i)`.

    Args:
        tokens: Video tokens of the layer.
        k: Decay rate; 0 makes all tokens equally recent.
        device: Device of the result.

    Returns:
        float32 [tokens], in (0, 1].
    """
    return torch.exp(-k * distance(tokens, device))


def normalise(values: Tensor) -> Tensor:
    """Min-max normalisation within a layer, `(x - min) / (max - min + 1e-6)`: [tokens] -> [tokens], 0 to 1."""
    if values.numel() == 0:
        return values
    low, high = torch.aminmax(values)
    return (values - low) / (high - low + EPSILON)


def importance(attention: Tensor | None, recency: Tensor, alpha: float) -> Tensor:
    """Importance of each token, `s(i) = (1-α) â(i) + α r̂(i)`, both terms min-max normalised.

    Args:
        attention: Attention of the guidance prompt on each token [tokens]; may be None if `alpha` is 1.
        recency: Recency of each token [tokens].
        alpha: Weight of recency, 0 to 1.

    Returns:
        float32 [tokens], 0 to 1.

    Raises:
        ValueError: `attention` is None and `alpha` is below 1.
    """
    if attention is None:
        if alpha < 1.0:
            raise ValueError("Only a layer with alpha = 1 can be scored without attention.")
        return normalise(recency)
    return (1 - alpha) * normalise(attention.float()) + alpha * normalise(recency)


def resample(scores: Tensor, tokens: int) -> Tensor:
    """Resample the scores of another layer linearly to `tokens` (half-pixel centres): [n] -> [tokens]."""
    if scores.shape[0] == tokens:
        return scores
    if scores.shape[0] == 0:
        return scores.new_zeros(tokens)
    return interpolate(scores[None, None], size=tokens, mode="linear", align_corners=False)[0, 0]


def smooth(scores: Sequence[Tensor], gammas: Sequence[float]) -> list[Tensor]:
    """Cross-layer memory smoothing from the deepest layer up, with smoothed `s_(l+1)`: `s_l <- (1-γ_l) s_l + γ_l s_(l+1)`.

    Args:
        scores: Importance of each layer's tokens, first layer first, each [tokens of that layer].
        gammas: γ of each layer, 0 to 1; that of the deepest layer is not used.

    Returns:
        The smoothed scores, first layer first, shapes unchanged.
    """
    smoothed = list(scores)
    for i in range(len(smoothed) - 2, -1, -1):
        deeper = resample(smoothed[i + 1], smoothed[i].shape[0])
        smoothed[i] = (1 - gammas[i]) * smoothed[i] + gammas[i] * deeper
    return smoothed


def protect_newest(scores: Tensor, frame: Tensor, newest: int) -> Tensor:
    """Raise the scores of the newest frames above all others: `s(i) + 1`. Not part of the paper.

    Args:
        scores: Importance of the tokens, 0 to 1 [tokens].
        frame: Frame of each token, -1 for a summary token [tokens].
        newest: Number of frames to protect, counted from the newest of the layer.

    Returns:
        float32 [tokens], 0 to 2.
    """
    if scores.numel() == 0:
        return scores
    return scores + (frame > (frame.amax() - newest).clamp(min=-1)).to(scores.dtype)


def retain(scores: Tensor, count: int) -> Tensor:
    """Indices of the `count` highest-scoring tokens, in stream order: [tokens] -> int64 [min(count, tokens)]."""
    count = min(count, scores.shape[0])
    return torch.topk(scores, count, sorted=False).indices.sort().values
