"""Shared code of the policies that keep different tokens in each head."""

from __future__ import annotations

import torch
from torch import Tensor

from hermes.memory.heads import HeadTable
from hermes.memory.importance import normalise
from hermes.memory.layer import IMPORTANCE, PATCH, LayerMemory
from hermes.policies.ops.attention_scores import by_kv_head
from hermes.policies.step import Step


def split(layer: LayerMemory) -> HeadTable:
    """Return the layer's table per head, created at the first call."""
    if layer.heads is None:
        kv_heads = layer.keys.shape[0]
        layer.reserve(0)
        layer.heads = HeadTable.shared(kv_heads, layer.positions, layer.labels, layer.figures)
    return layer.heads


def note(layer: LayerMemory, start: int, scores: Tensor) -> None:
    """Record the scores [kv_heads, tokens] of the tokens from `start` on as their importance, normalised to 0 to 1."""
    heads = split(layer)
    stop = start + scores.shape[1]
    heads.figures[:, IMPORTANCE, start:stop] = torch.stack([normalise(own) for own in scores])
    layer.figures[IMPORTANCE, start:stop] = heads.figures[0, IMPORTANCE, start:stop]


def patches_of(layer: LayerMemory, start: int) -> Tensor:
    """Patch of each head's tokens from `start` on, -1 for none, int64 [kv_heads, tokens]."""
    return split(layer).labels[:, PATCH, start : layer.length].long()


def chunk_attention(step: Step, index: int) -> Tensor:
    """Attention in a layer, summed over the chunk's watched rows: [kv_heads, cached tokens], prompt included."""
    if step.attention is None:
        raise ValueError("The attention of the chunk was not recorded.")
    sums = step.attention.sums[index]
    return by_kv_head(sums, step.backbone.kv_heads)
