"""Probes: run a prompt on top of the memory without storing it, to read its attention or queries."""

from __future__ import annotations

import torch
from torch import Tensor

from hermes.backbones.base import Backbone
from hermes.memory.cache import MemoryCache
from hermes.memory.layer import LayerMemory
from hermes.memory.watched_attention import AttentionRecorder
from hermes.policies.ops.retrieval import recall_by_layer


def probe_attention(backbone: Backbone, cache: MemoryCache, ids: Tensor) -> list[Tensor]:
    """Attention of the prompt `ids` on every cached token, mean over heads and over the prompt's tokens.

    Returns:
        For each layer float32 [cached tokens, prompt included].
    """
    return [attention.mean(0) for attention in probe_heads(backbone, cache, ids, slice(None))]


@torch.inference_mode()
def probe_heads(backbone: Backbone, cache: MemoryCache, ids: Tensor, rows: slice) -> list[Tensor]:
    """Attention of the tokens `rows` of the prompt `ids` on every cached token, mean over these rows.

    Returns:
        For each layer float32 [heads, cached tokens, prompt included].
    """
    branch = cache.branch()
    try:
        lengths = [layer.length for layer in branch.layers]
        recorder = AttentionRecorder(lengths, [rows] * len(lengths))
        positions = backbone.text_positions(branch.next_positions(), len(ids))
        backbone.prefill(backbone.embed(ids), positions, None, branch, recorder)
    finally:
        cache.release(branch)
    return [recorder.mean(index) for index in range(len(lengths))]


@torch.inference_mode()
def probe_queries(backbone: Backbone, cache: MemoryCache, ids: Tensor) -> list[Tensor]:
    """Raw queries of the prompt `ids` in every layer, on top of the memory: float32 [heads, rows, head_dim] each."""
    branch, queries = cache.branch(), []

    def watch(index: int, found: Tensor) -> LayerMemory:
        queries.append(found)
        return branch.layers[index]

    try:
        recall_by_layer(backbone, ids, branch, watch)
    finally:
        cache.release(branch)
    return queries
