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
        past_visible: Whether every row sees all of the past, so that masks matter only among the new tokens.
    """

    def __init__(self, keys: list[int], rows: Sequence[slice | Tensor | None], past_visible: bool = True) -> None:
        """Record attention of the query rows `rows[layer]` (None: do not) on the first `keys[layer]` keys of each layer."""
        self.keys = keys
        self.windows = rows
        self.past_visible = past_visible
        self.sums: dict[int, Tensor] = {}
        self.rows: dict[int, int] = {}

    def record(self, layer: int, probabilities: Tensor) -> None:
        """Add the watched rows of `probabilities` [heads, rows, keys]."""
        window = self.windows[layer]
        if window is None:
            return
        if isinstance(window, Tensor):
            window = window.to(probabilities.device)
        watched = probabilities[:, window, : self.keys[layer]]
        total = watched.sum(1)
        self.sums[layer] = self.sums[layer] + total if layer in self.sums else total
        self.rows[layer] = self.rows.get(layer, 0) + watched.shape[1]

    def mean(self, layer: int) -> Tensor:
        """Mean attention over the recorded rows: float32 [heads, keys]; each head's row adds up to at most 1."""
        return self.sums[layer] / self.rows[layer]


class QueryRecorder:
    """Takes a layer's queries instead of computing its attention.

    Attributes:
        query: [heads, rows, head_dim], as the layer handed them over.
    """

    query: Tensor


def watched_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    recorder: AttentionRecorder | QueryRecorder | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """SDPA as transformers calls it; where a recorder watches, the probabilities are computed and used."""
    if isinstance(recorder, QueryRecorder):
        recorder.query = query[0]
        return query.transpose(1, 2), None
    layer = int(module.layer_idx)  # type: ignore[arg-type]
    if recorder is None or recorder.windows[layer] is None:
        kwargs.pop("is_causal", None)
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, is_causal=False, **kwargs
        )
    heads, rows, dim = query.shape[1:]
    groups = heads // key.shape[1]
    # Queries of one group of heads are stacked, so that keys and values need no copies for them.
    stacked = query[0].reshape(-1, groups * rows, dim)
    scores = torch.matmul(stacked, key[0].transpose(1, 2)).view(heads, rows, -1).float() * (scaling or dim**-0.5)
    if attention_mask is not None:
        # Where the past is visible to all, only among the new tokens is there something to hide.
        first = -rows if recorder.past_visible else 0
        scores[..., first:].masked_fill_(~attention_mask[0, ..., first:], -torch.inf)
    probabilities = scores.softmax(-1)
    recorder.record(layer, probabilities)
    weights = probabilities.to(value.dtype).view(-1, groups * rows, key.shape[2])
    output = torch.matmul(weights, value[0]).view(heads, rows, dim)
    return output.transpose(0, 1)[None], None


AttentionInterface.register(NAME, watched_attention)


def attention_mask(tokens: int, past: int, device: torch.device, visible: Tensor | None = None) -> Tensor | None:
    """Which of `past + tokens` keys each new query may see: bool [1, 1, tokens, keys]; None: all of them.

    `visible` [tokens, tokens] says it for the new keys; causal where None.
    """
    if tokens == 1:
        return None
    if visible is None:
        visible = torch.ones(tokens, tokens, dtype=torch.bool, device=device).tril()
    return torch.cat((visible.new_ones(tokens, past), visible), dim=1)[None, None]
