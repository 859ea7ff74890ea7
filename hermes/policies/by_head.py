"""What policies share whose heads keep tokens of their own: scores per head, and the score on record for the board."""

from __future__ import annotations

import torch
from torch import Tensor

from hermes.memory.cache import IMPORTANCE, PATCH, LayerMemory
from hermes.memory.heads import HeadTable
from hermes.memory.importance import normalise
from hermes.policies.base import Step
from hermes.policies.ops.attention_scores import by_kv_head


def split(layer: LayerMemory) -> HeadTable:
    """The layer's table by head, made at the first call."""
    if layer.heads is None:
        kv_heads = layer.keys.shape[0]
        layer.reserve(0)
        layer.heads = HeadTable.shared(kv_heads, layer.positions, layer.labels, layer.figures)
    return layer.heads


def note(layer: LayerMemory, start: int, scores: Tensor) -> None:
    """Put the scores of the tokens from `start` on, [kv_heads, tokens], on record as their importance, 0 to 1."""
    heads = split(layer)
    stop = start + scores.shape[1]
    heads.figures[:, IMPORTANCE, start:stop] = torch.stack([normalise(own) for own in scores])
    layer.figures[IMPORTANCE, start:stop] = heads.figures[0, IMPORTANCE, start:stop]


def patches_of(layer: LayerMemory, start: int) -> Tensor:
    """Patch of each head's tokens from `start` on, -1: none, int64 [kv_heads, tokens]."""
    return split(layer).labels[:, PATCH, start : layer.length].long()


def chunk_attention(step: Step, index: int) -> Tensor:
    """What the chunk's watched rows attended to in a layer, summed over them: [kv_heads, tokens held], prompt included."""
    if step.attention is None:
        raise ValueError("This policy watches every chunk.")
    sums = step.attention.sums[index]
    return by_kv_head(sums, step.backbone.kv_heads)
