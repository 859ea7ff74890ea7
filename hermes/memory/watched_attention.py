"""Attention function that can record probabilities: SDPA computes the output, blocks of rows the recorded probabilities.

The full matrix of probabilities [heads, rows, keys] exists only if it is small, as for a prompt or a decoded token.
Registered with transformers' `AttentionInterface`, so that no model class has to be copied or patched.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn.attention.bias import CausalBias, causal_lower_right
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

NAME = "hermes_memory"
BLOCK_BYTES: Final = 2**25
"""Upper bound of the float32 scores that exist at once while probabilities are recorded (one row at least)."""


class AttentionRecorder:
    """Sums the attention of selected query rows on each key, per layer; the mean is `sums / rows`.

    Attributes:
        sums: Layer -> probabilities summed over the recorded rows [heads, keys].
        rows: Layer -> number of recorded rows.
        past_visible: Whether every row sees all past tokens, so that only the new tokens need a mask.
        single: Layer -> the rows themselves, each [heads, keys], if every call of `add` records one row; None: not stored.
    """

    def __init__(
        self,
        keys: list[int],
        rows: Sequence[slice | Tensor | None],
        past_visible: bool = True,
        *,
        store_rows: bool = False,
    ) -> None:
        """Record the attention of query rows `rows[layer]` (None: none) on the first `keys[layer]` keys of each layer."""
        self.keys = keys
        self.windows = rows
        self.past_visible = past_visible
        self.single: dict[int, list[Tensor]] | None = {} if store_rows else None
        self.sums: dict[int, Tensor] = {}
        self.rows: dict[int, int] = {}

    def add(self, layer: int, probabilities: Tensor) -> None:
        """Add recorded rows: probabilities [heads, rows, keys]; keys after the first `keys[layer]` are ignored."""
        total = probabilities[..., : self.keys[layer]].sum(1)
        self.sums[layer] = self.sums[layer] + total if layer in self.sums else total
        self.rows[layer] = self.rows.get(layer, 0) + probabilities.shape[1]
        if self.single is not None:
            self.single.setdefault(layer, []).append(total)

    def mean(self, layer: int) -> Tensor:
        """Mean attention over the recorded rows: float32 [heads, keys]; each head sums to at most 1."""
        return self.sums[layer] / self.rows[layer]


class QueryRecorder:
    """Captures a layer's queries instead of computing its attention.

    Attributes:
        query: [heads, rows, head_dim], as passed by the layer.
    """

    query: Tensor


class LastRow:
    """Records the attention of the last row at a fixed address, without recording anything in Python, for CUDA graphs.

    Attributes:
        rows: Layer -> attention of the last row on all keys, float32 [layers, heads, keys].
    """

    def __init__(self, rows: Tensor) -> None:
        """Write to `rows`."""
        self.rows = rows


def watched_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | CausalBias | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    recorder: AttentionRecorder | QueryRecorder | LastRow | None = None,
    memory_layer: int | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """Compute attention with the signature of transformers; with a recorder, also record probabilities.

    `memory_layer` is the number of the layer among those that hold tokens; None: its number in the decoder.
    """
    if isinstance(recorder, QueryRecorder):
        recorder.query = query[0]
        return query.transpose(1, 2), None
    layer = int(module.layer_idx if memory_layer is None else memory_layer)  # type: ignore[arg-type]
    if isinstance(recorder, LastRow):
        if attention_mask is None:
            raise ValueError("Attention over fixed storage needs a mask, which hides its unused slots.")
        return _fixed_attention(query[0], key[0], value[0], attention_mask, scaling, recorder.rows[layer]), None
    rows, keys = query.shape[2], key.shape[2]
    window = None if recorder is None else recorder.windows[layer]
    if recorder is not None and window is not None:
        scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
        heads = query.shape[1]
        if isinstance(window, Tensor):
            window = window.to(query.device)
        visible = attention_mask
        if isinstance(attention_mask, CausalBias):
            visible = _bool_mask(rows, keys - rows, query.device)
        if 4 * heads * rows * keys <= BLOCK_BYTES:
            # One small matrix yields output and probabilities, without repeating keys and values for groups of heads.
            probabilities = _probabilities(query[0], key[0], visible, scaling, slice(None), recorder)
            recorder.add(layer, probabilities[:, window])
            weights = probabilities.to(value.dtype).view(value.shape[1], -1, keys)
            return torch.matmul(weights, value[0]).view(query.shape[1:]).transpose(0, 1)[None], None
        watched = torch.arange(rows, device=query.device)[window]
        for block in watched.split(max(BLOCK_BYTES // (4 * heads * keys), 1)):
            recorder.add(layer, _probabilities(query[0], key[0], visible, scaling, block, recorder))
    if isinstance(attention_mask, CausalBias):
        grouped = query.shape[1] != key.shape[1]
        output = scaled_dot_product_attention(
            query, key, value, attn_mask=attention_mask, scale=scaling, enable_gqa=grouped
        )
        return output.transpose(1, 2).contiguous(), None
    kwargs.pop("is_causal", None)
    return sdpa_attention_forward(
        module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, is_causal=False, **kwargs
    )


def _fixed_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float | None, last_row: Tensor
) -> Tensor:
    """Compute attention over all slots of fixed storage.

    Args:
        query: [heads, rows, head_dim].
        key: [kv_heads, slots, head_dim].
        value: Like `key`.
        mask: Added to the scores [rows, slots].
        scaling: Factor of the scores; None: 1 / sqrt(head_dim).
        last_row: Receives the attention of the last row, float32 [heads, slots].

    Returns:
        [1, rows, heads, head_dim].
    """
    heads, rows, dim = query.shape
    kv_heads, slots = key.shape[:2]
    scaling = dim**-0.5 if scaling is None else scaling
    # The queries of each group of heads are stacked, so that keys need not be repeated.
    scores = query.new_empty(heads, rows, slots).copy_(mask).view(kv_heads, -1, slots)
    scores.baddbmm_(query.reshape(kv_heads, -1, dim), key.transpose(1, 2), alpha=scaling)
    last_row.copy_(scores.view(heads, rows, slots)[:, -1].softmax(-1, dtype=torch.float32))
    return torch.matmul(scores.softmax(-1), value).view(heads, rows, dim).transpose(0, 1)[None]


def _probabilities(
    query: Tensor,
    key: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    rows: slice | Tensor,
    recorder: AttentionRecorder,
) -> Tensor:
    """Return the attention of some rows on all keys, float32 [heads, rows, keys].

    Args:
        query: [heads, all rows, head_dim].
        key: [kv_heads, keys, head_dim].
        attention_mask: Visible keys, bool [1, 1, all rows, keys]; None: all.
        scaling: Factor of the scores.
        rows: The rows.
        recorder: Knows whether every row sees all past tokens, so that only the new tokens need masking.
    """
    heads, count, dim = query.shape
    kv_heads, keys = key.shape[:2]
    first = keys - count if recorder.past_visible else 0
    # Stack the queries of each group of heads, so that keys need not be repeated.
    stacked = query[:, rows].reshape(kv_heads, -1, dim)
    scores = torch.matmul(stacked, key.transpose(1, 2)).view(heads, -1, keys).float().mul_(scaling)
    if attention_mask is not None:
        scores[..., first:].masked_fill_(~attention_mask[0, :, rows, first:], -torch.inf)
    return scores.softmax(-1)


AttentionInterface.register(NAME, watched_attention)


def attention_mask(
    tokens: int, past: int, device: torch.device, visible: Tensor | None = None, dtype: torch.dtype | None = None
) -> Tensor | CausalBias | None:
    """Return the mask of the keys (`past + tokens`) visible to each new query: bool [1, 1, tokens, keys]; None: all.

    Args:
        tokens: Number of new tokens.
        past: Number of tokens before them, all of which are visible.
        device: Device of the layer.
        visible: Mask among the new tokens [tokens, tokens]; causal by default.
        dtype: Type of the queries, if the layer runs on a GPU where possible with FlashAttention. It has no masks of its
            own, but aligns a causal one with the newest key, which takes three quarters of the time (docs/models.md).
    """
    if tokens == 1:
        return None
    if visible is None and device.type == "cuda" and dtype in (torch.float16, torch.bfloat16):
        return causal_lower_right(tokens, past + tokens)
    return _bool_mask(tokens, past, device, visible)


def _bool_mask(tokens: int, past: int, device: torch.device, visible: Tensor | None = None) -> Tensor:
    if visible is None:
        visible = torch.ones(tokens, tokens, dtype=torch.bool, device=device).tril()
    return torch.cat((visible.new_ones(tokens, past), visible), dim=1)[None, None]
