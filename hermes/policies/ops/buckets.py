"""LiveVLM v2's selection with temporal coverage, and scores of pages of tokens. Pure functions."""

from __future__ import annotations

import torch
from torch import Tensor


def bucket_of(place: Tensor, buckets: int) -> Tensor:
    """Bucket of each token by its place in the stream, 0 or more: int64 [tokens] -> int64 [tokens], 0 to buckets - 1."""
    span = place.max() + 1
    return (place * buckets).div(span, rounding_mode="floor").clamp(max=buckets - 1)


def bucketed(scores: Tensor, bucket: Tensor, capacity: int, first: int, total: int) -> Tensor:
    """Select tokens by score with temporal coverage.

    The `first` best are selected regardless of their bucket. The others are selected, best first, while their bucket has
    fewer than `capacity` tokens, up to `total` tokens.

    Args:
        scores: [tokens].
        bucket: Bucket of each token [tokens].
        capacity: Maximum number of tokens per bucket.
        first: Number of tokens selected regardless of their bucket.
        total: Maximum number of selected tokens.

    Returns:
        int64 [at most total], ascending.
    """
    order = scores.argsort(descending=True, stable=True)
    placed, rest = order[:first], order[first:]
    held = torch.bincount(bucket[placed], minlength=int(bucket.max()) + 1)
    # Rank of each remaining token within its bucket, best first: its index in the bucket-sorted order minus the start.
    by_bucket = bucket[rest].argsort(stable=True)
    sorted_bucket = bucket[rest][by_bucket]
    sizes = torch.bincount(sorted_bucket, minlength=len(held))
    index = torch.arange(len(rest), device=rest.device)
    rank = torch.empty_like(index)
    rank[by_bucket] = index - (sizes.cumsum(0) - sizes)[sorted_bucket]
    room = held[bucket[rest]] + rank < capacity
    return torch.cat((placed, rest[room][: max(total - first, 0)])).sort().values


def page_scores(queries: Tensor, keys: Tensor, size: int) -> Tensor:
    """Attention of a question on each page of `size` tokens, using the page's mean raw key.

    Args:
        queries: Raw queries [heads, rows, dim].
        keys: Raw keys [kv_heads, tokens, dim], at least one token; the last page may be shorter.
        size: Tokens per page.

    Returns:
        Attention over pages, mean over heads and rows: float32 [pages], with sum 1.
    """
    tokens = keys.shape[1]
    page = torch.arange(tokens, device=keys.device) // size
    pages = -(-tokens // size)
    sums = keys.new_zeros(keys.shape[0], pages, keys.shape[2]).index_add_(1, page, keys)
    means = sums / torch.bincount(page)[:, None]
    grouped = queries.unflatten(0, (keys.shape[0], -1)).flatten(1, 2)
    attention = torch.softmax(grouped @ means.transpose(1, 2) * queries.shape[-1] ** -0.5, dim=-1)
    return attention.mean((0, 1))
