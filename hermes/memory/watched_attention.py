"""Attention function that can record probabilities: SDPA by default, explicit softmax if a recorder is passed.

Registered with transformers' `AttentionInterface`, so that no model class has to be copied or patched.
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
    """Sums the attention of selected query rows on each key, per layer; the mean is `sums / rows`.

    Attributes:
        sums: Layer -> probabilities summed over the recorded rows [heads, keys].
        rows: Layer -> number of recorded rows.
        past_visible: Whether every row sees all past tokens, so that only the new tokens need a mask.
    """

    def __init__(self, keys: list[int], rows: Sequence[slice | Tensor | None], past_visible: bool = True) -> None:
        """Record the attention of query rows `rows[layer]` (None: none) on the first `keys[layer]` keys of each layer."""
        self.keys = keys
        self.windows = rows
        self.past_visible = past_visible
        self.sums: dict[int, Tensor] = {}
        self.rows: dict[int, int] = {}

    def record(self, layer: int, probabilities: Tensor) -> None:
        """Add the selected rows of `probabilities` [heads, rows, keys]."""
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
        """Mean attention over the recorded rows: float32 [heads, keys]; each head sums to at most 1."""
        return self.sums[layer] / self.rows[layer]


class QueryRecorder:
    """Captures a layer's queries instead of computing its attention.

    Attributes:
        query: [heads, rows, head_dim], as passed by the layer.
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
    memory_layer: int | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """Compute attention with the signature of transformers; with a recorder, compute probabilities and record them.

    `memory_layer` is the number of the layer among those that hold tokens; None: its number in the decoder.
    """
    if isinstance(recorder, QueryRecorder):
        recorder.query = query[0]
        return query.transpose(1, 2), None
    layer = int(module.layer_idx if memory_layer is None else memory_layer)  # type: ignore[arg-type]
    if recorder is None or recorder.windows[layer] is None:
        kwargs.pop("is_causal", None)
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, is_causal=False, **kwargs
        )
    heads, rows, dim = query.shape[1:]
    groups = heads // key.shape[1]
    # Stack the queries of each group of heads, so that keys and values need not be repeated.
    stacked = query[0].reshape(-1, groups * rows, dim)
    scores = torch.matmul(stacked, key[0].transpose(1, 2)).view(heads, rows, -1).float() * (scaling or dim**-0.5)
    if attention_mask is not None:
        # If every row sees all past tokens, only the new tokens need masking.
        first = -rows if recorder.past_visible else 0
        scores[..., first:].masked_fill_(~attention_mask[0, ..., first:], -torch.inf)
    probabilities = scores.softmax(-1)
    recorder.record(layer, probabilities)
    weights = probabilities.to(value.dtype).view(-1, groups * rows, key.shape[2])
    output = torch.matmul(weights, value[0]).view(heads, rows, dim)
    return output.transpose(0, 1)[None], None


AttentionInterface.register(NAME, watched_attention)


def attention_mask(tokens: int, past: int, device: torch.device, visible: Tensor | None = None) -> Tensor | None:
    """Return the mask of the keys (`past + tokens`) visible to each new query: bool [1, 1, tokens, keys]; None: all.

    `visible` [tokens, tokens] is the mask among the new tokens; causal by default.
    """
    if tokens == 1:
        return None
    if visible is None:
        visible = torch.ones(tokens, tokens, dtype=torch.bool, device=device).tril()
    return torch.cat((visible.new_ones(tokens, past), visible), dim=1)[None, None]
