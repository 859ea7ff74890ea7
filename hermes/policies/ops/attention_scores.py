"""Token scores per head, from attention or from the keys and values.

Pure functions of tensors. `slots` are the tokens of one layer; `heads` are key-value heads.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool1d, normalize


def by_kv_head(attention: Tensor, kv_heads: int) -> Tensor:
    """Mean over the query heads that share a key head: [heads, slots] -> [kv_heads, slots]."""
    return attention.unflatten(0, (kv_heads, -1)).mean(1)


def pooled(scores: Tensor, width: int) -> Tensor:
    """Mean of each slot and its neighbours within `width` slots (odd), 0 beyond the ends (SnapKV): [heads, slots]."""
    return avg_pool1d(scores[:, None], width, stride=1, padding=width // 2)[:, 0]


def heavy_and_recent(scores: Tensor, budget: int, recent: int) -> Tensor:
    """Select the newest `recent` slots and the highest-scoring others, in each head.

    Args:
        scores: [heads, slots], oldest first; at least `budget` slots.
        budget: Number of slots to keep in each head.
        recent: Number of newest slots among them, at most `budget`.

    Returns:
        int64 [heads, budget], ascending.
    """
    slots = scores.shape[1]
    heavy = scores[:, : slots - recent].topk(budget - recent, dim=1).indices
    newest = torch.arange(slots - recent, slots, device=scores.device).expand(len(scores), -1)
    return torch.cat((heavy, newest), dim=1).sort(dim=1).values


def mean_direction(keys: Tensor, patch: Tensor, patches: int) -> Tensor:
    """Mean unit key of each patch: [heads, slots, dim] and [heads, slots] (-1: no patch) -> [heads, patches, dim]."""
    seen = (patch >= 0)[..., None]
    at = patch.clamp(min=0)[..., None]
    unit = normalize(keys.float(), dim=-1) * seen
    sums = unit.new_zeros(keys.shape[0], patches, keys.shape[2]).scatter_add_(1, at.expand_as(unit), unit)
    counts = unit.new_zeros(keys.shape[0], patches, 1).scatter_add_(1, at, seen.float())
    return sums / counts.clamp(min=1)


def temporal_redundancy(keys: Tensor, patch: Tensor, recent: Tensor) -> Tensor:
    """Dissimilarity of each token to the recent frames at the same patch (InfiniPot-V's TaR).

    `-mean_q cos(K_recent(q, i), K(i))`: high if the patch has changed since.

    Args:
        keys: Raw keys [heads, slots, dim].
        patch: Patch of each slot [heads, slots], 0 or more.
        recent: Mean unit key of each patch over the recent frames [heads, patches, dim], see `mean_direction`.

    Returns:
        float32 [heads, slots], -1 to 1.
    """
    at_patch = recent.gather(1, patch[..., None].expand(-1, -1, recent.shape[-1]))
    return -(normalize(keys.float(), dim=-1) * at_patch).sum(-1)


def value_norm(values: Tensor) -> Tensor:
    """Euclidean norm of each token's value (InfiniPot-V's VaN): [heads, slots, dim] -> float32 [heads, slots]."""
    return values.float().norm(dim=-1)


def two_rules(first: Tensor, second: Tensor, budget: int, count: int) -> Tensor:
    """Select slots by two scores: the first selects `count` slots, the second the rest of the budget.

    Args:
        first: [heads, slots].
        second: [heads, slots].
        budget: Number of slots to keep in each head, at most the number of slots.
        count: Number of slots that the first score selects, at most `budget`.

    Returns:
        int64 [heads, budget], ascending.
    """
    chosen = first.topk(count, dim=1).indices
    rest = second.float().clone().scatter_(1, chosen, -torch.inf)
    return torch.cat((chosen, rest.topk(budget - count, dim=1).indices), dim=1).sort(dim=1).values
