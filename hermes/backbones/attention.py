"""Attention that can be watched: transformers' own SDPA, and beside it the probabilities where a recorder asks for them.

Registered with transformers' `AttentionInterface`, so that no model class is copied or patched.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

NAME = "hermes_memory"


class AttentionRecorder:
    """Adds up, layer by layer, how much the recorded rows attend to each key; mean over rows is `sums / rows`.

    Attributes:
        sums: Layer -> probabilities summed over the recorded rows [heads, keys].
        rows: Layer -> rows recorded.
    """

    def __init__(self, keys: list[int], rows: Sequence[slice | None]) -> None:
        """Record attention of the query rows `rows[layer]` (None: do not) on the first `keys[layer]` keys of each layer."""
        self.keys = keys
        self.windows = rows
        self.sums: dict[int, Tensor] = {}
        self.rows: dict[int, int] = {}

    def record(self, layer: int, query: Tensor, key: Tensor, mask: Tensor | None, scaling: float) -> None:
        """Add the probabilities of the watched rows: `query` [1, heads, rows, dim], `key` [1, kv_heads, keys, dim]."""
        window = self.windows[layer]
        if window is None:
            return
        query = query[0, :, window]
        rows, groups = query.shape[1], query.shape[0] // key.shape[1]
        scores = torch.matmul(query.unflatten(0, (-1, groups)).flatten(1, 2), key[0].transpose(1, 2)) * scaling
        scores = scores.float().unflatten(1, (groups, rows)).flatten(0, 1)
        if mask is not None:
            scores = scores.masked_fill(~mask[0, :, window], -torch.inf)
        probabilities = scores.softmax(-1).sum(1)[:, : self.keys[layer]]
        self.sums[layer] = self.sums[layer] + probabilities if layer in self.sums else probabilities
        self.rows[layer] = self.rows.get(layer, 0) + rows

    def mean(self, layer: int) -> Tensor:
        """Mean attention over the recorded rows: float32 [heads, keys]; each head's row adds up to at most 1."""
        return self.sums[layer] / self.rows[layer]


def watched_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    recorder: AttentionRecorder | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """Transformers' attention function: SDPA, recorded where `recorder` is given."""
    if recorder is not None and scaling is not None:
        recorder.record(int(module.layer_idx), query, key, attention_mask, scaling)  # type: ignore[arg-type]
    kwargs.pop("is_causal", None)
    return sdpa_attention_forward(
        module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, is_causal=False, **kwargs
    )


AttentionInterface.register(NAME, watched_attention)
