"""Retrieval per layer: runs a question through the decoder, each layer reading tokens selected by its own queries.

The policy's `choose` function receives a layer's queries and returns the tokens to read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from hermes.backbones.base import Backbone
from hermes.memory.cache import MemoryCache
from hermes.memory.layer import LayerMemory
from hermes.memory.linear_state import read_into_state
from hermes.memory.watched_attention import QueryRecorder, attention_mask

Choose = Callable[[int, Tensor], LayerMemory]
"""Layer index and its raw queries [heads, rows, head_dim] -> tokens to read, prompt first."""


@torch.inference_mode()
def raw_queries(backbone: Backbone, index: int, hidden: Tensor) -> Tensor:
    """Queries of a layer without rotation, from its input [1, rows, hidden]: float32 [heads, rows, head_dim]."""
    layer, rows = backbone.decoder.layers[backbone.token_layers[index]], hidden.shape[1]
    recorder = QueryRecorder()
    still = hidden.new_ones(1, rows, backbone.head_dim), hidden.new_zeros(1, rows, backbone.head_dim)
    layer.self_attn(
        hidden_states=layer.input_layernorm(hidden),
        position_embeddings=still,
        attention_mask=None,
        past_key_values=None,
        recorder=recorder,
    )
    return recorder.query.float()


@torch.inference_mode()
def recall_by_layer(backbone: Backbone, ids: Tensor, cache: MemoryCache, choose: Choose) -> MemoryCache:
    """Run a question through the decoder once, each layer reading the tokens selected by its queries.

    The queries of deeper layers therefore depend on what the shallower layers retrieved.

    Args:
        backbone: The model.
        ids: Token ids of the question [rows].
        cache: The memory of the stream, for its prompt length and the states of layers that hold no tokens.
        choose: Selects the tokens to read.

    Returns:
        A new memory for answering the question, without the question itself.
    """
    hidden, layers = backbone.embed(ids), list[LayerMemory]()
    copied = cache.with_layers([])  # the question's tokens must not change the states
    for number, layer in enumerate(backbone.decoder.layers):
        if number in copied.states:
            hidden = hidden.to(backbone.decoder_devices[number])
            hidden, _ = read_into_state(layer, hidden, copied, copied.states[number])
            continue
        index = len(layers)
        hidden = hidden.to(backbone.layer_devices[index])
        memory = choose(index, raw_queries(backbone, index, hidden))
        layers.append(memory)
        if index + 1 == backbone.num_layers:
            break
        hidden = _read(backbone, layer, memory, hidden)
    return cache.with_layers(layers)


class _OneLayer:
    """Cache interface of a decoder layer for a single `LayerMemory`."""

    def __init__(self, memory: LayerMemory) -> None:
        self.memory = memory

    def update(self, keys: Tensor, values: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        return self.memory.update(keys, values)


def _read(backbone: Backbone, layer: Any, memory: LayerMemory, hidden: Tensor) -> Tensor:
    """Return the layer's output for `hidden` on top of `memory`, whose tokens do not change."""
    rows = hidden.shape[1]
    start = memory.positions[:, : memory.length].amax()[None].to(backbone.device) + 1
    cos, sin = backbone.rotary_embeddings(hidden.to(backbone.device), backbone.text_positions(start, rows))
    memory.reserve(rows)
    return layer(
        hidden,
        attention_mask=attention_mask(rows, memory.length, hidden.device),
        position_embeddings=(cos.to(hidden.device), sin.to(hidden.device)),
        past_key_values=_OneLayer(memory),
    )


def group_queries(queries: Tensor, kv_heads: int) -> Tensor:
    """Mean over rows and over the query heads that share a key head: [heads, rows, dim] -> [kv_heads, dim]."""
    return queries.mean(1).unflatten(0, (kv_heads, -1)).mean(1)


def similarity(query: Tensor, representatives: Tensor) -> Tensor:
    """Dot product of a query [kv_heads, dim] with each block's mean key [blocks, kv_heads, dim], all heads: [blocks]."""
    return (representatives * query).sum((1, 2))


def best_blocks(scores: Tensor, count: int) -> Tensor:
    """Indices of the `count` best blocks, in stream order: [blocks] -> int64 [min(count, blocks)]."""
    return scores.topk(min(count, len(scores))).indices.sort().values
