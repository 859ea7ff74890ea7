"""The decoder at fixed shapes, so that a CUDA graph can replay it: a token costs one launch instead of about 2,000.

A question is padded on the left to a fixed number of rows. Keys and values are copied from the memory to fixed storage, in
which a mask hides the unused slots. The layers are transformers' own, as in `Backbone.prefill`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor

from hermes.memory.cache import MemoryCache
from hermes.memory.watched_attention import AttentionRecorder, LastRow

if TYPE_CHECKING:
    from hermes.backbones.base import Backbone

logger = logging.getLogger(__name__)

ROWS: Final = (1, 32, 64, 128)
"""Numbers of rows for which the decoder is captured: one for a decoded token, the others for questions."""
SLOTS: Final = 512
"""The storage has a multiple of this number of slots."""
MAX_SLOTS: Final = 2**14
"""Larger memories are read without a graph, which would attend to all slots."""


class FixedCache:
    """Keys and values of one answer; takes the place of a `MemoryCache` in the decoder layers.

    Attributes:
        storage: [layers, 2, kv_heads, slots, head_dim], keys before values.
        targets: Slots of the new tokens [layers, rows].
    """

    def __init__(self, layers: int, kv_heads: int, head_dim: int, slots: int, like: Tensor) -> None:
        """Allocate storage of the type and on the device of `like`."""
        # Zeros, because a masked slot still takes part in a product.
        self.storage = like.new_zeros(layers, 2, kv_heads, slots, head_dim)
        self.targets = torch.zeros(layers, 0, dtype=torch.long, device=like.device)

    def load(self, memory: MemoryCache) -> None:
        """Copy the keys and values of a memory."""
        for target, layer in zip(self.storage, memory.layers, strict=True):
            target[0, :, : layer.length].copy_(layer.keys[:, : layer.length])
            target[1, :, : layer.length].copy_(layer.values[:, : layer.length])

    def update(self, keys: Tensor, values: Tensor, layer_idx: int, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        """Store new keys and values [1, kv_heads, rows, head_dim] and return all slots; called by the decoder layers."""
        own, target = self.storage[layer_idx], self.targets[layer_idx]
        own[0].index_copy_(1, target, keys[0])
        own[1].index_copy_(1, target, values[0])
        return own[0][None], own[1][None]


class FixedStep:
    """One pass of the decoder over a fixed number of rows, captured as a CUDA graph where possible."""

    def __init__(self, model: Backbone, cache: FixedCache, rows: int, pool: Any) -> None:
        """Run the pass once; on a GPU, capture it with the memory of `pool`."""
        self._model, self._cache, self._rows = model, cache, rows
        layers, heads = model.num_layers, int(model.text_config.num_attention_heads)
        device, slots = model.device, cache.storage.shape[3]
        self._ids = torch.zeros(rows, dtype=torch.long, device=device)
        self._lengths = torch.ones(layers, dtype=torch.long, device=device)
        self._order = torch.zeros(rows, dtype=torch.long, device=device)  # negative for padding
        self._slots = torch.arange(slots, device=device)
        cos, sin = model.rotary_embeddings(model.embed(self._ids), self._positions(self._lengths))
        self._cos, self._sin = cos.clone(), sin.clone()
        self._watch = LastRow(torch.zeros(layers, heads, slots, device=device))
        self._logits = self._run()
        self._graph: torch.cuda.CUDAGraph | None = None
        if pool is not None:
            self._capture(pool)

    def _capture(self, pool: Any) -> None:
        stream = torch.cuda.Stream(self._model.device)
        stream.wait_stream(torch.cuda.current_stream(self._model.device))
        with torch.cuda.stream(stream):
            self._run()
        torch.cuda.current_stream(self._model.device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # Other threads read snapshots of other streams meanwhile.
        with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
            self._logits = self._run()
        self._graph = graph

    def _positions(self, starts: Tensor) -> Tensor:
        return (starts[:, None] + self._order.clamp(min=0)).expand(self._model.axes, -1, -1)

    def _run(self) -> Tensor:
        model, cache = self._model, self._cache
        # New tokens follow the memory; padding is stored after them, where no row sees it.
        cache.targets = self._lengths[:, None] + self._order.remainder(self._rows)
        visible = self._lengths[:, None] + (self._order + 1).clamp(min=0)
        hidden_slots = self._slots >= visible[..., None]
        mask = torch.zeros_like(hidden_slots, dtype=model.dtype).masked_fill_(hidden_slots, -torch.inf)
        hidden = model.embed(self._ids)
        for index, layer in enumerate(model.decoder.layers):
            hidden = layer(
                hidden,
                attention_mask=mask[index],
                position_embeddings=(self._cos[index : index + 1], self._sin[index : index + 1]),
                past_key_values=cache,
                recorder=self._watch,
                memory_layer=index,
            )
        return model.logits(hidden[:, -1:])[0]

    def __call__(self, ids: Tensor, lengths: Tensor, starts: Tensor) -> tuple[Tensor, Tensor]:
        """Run the pass.

        Args:
            ids: Token ids, at most `rows`, int64 [tokens].
            lengths: Used slots of each layer, int64 [layers]; at least one.
            starts: Position of the first token in each layer, int64 [layers].

        Returns:
            Logits after the last token, float32 [1, vocabulary], and its attention to all slots in each layer, float32
            [layers, heads, slots]. Both are valid until the next call.
        """
        padding = self._rows - len(ids)
        self._ids[padding:] = ids
        self._lengths.copy_(lengths)
        torch.arange(-padding, len(ids), out=self._order)
        cos, sin = self._model.rotary_embeddings(self._cos, self._positions(starts))
        self._cos.copy_(cos)
        self._sin.copy_(sin)
        if self._graph is None:
            self._logits = self._run()
        else:
            self._graph.replay()
        return self._logits, self._watch.rows


class FixedAnswer:
    """The decoder of one answer, on a copy of its memory."""

    def __init__(self, shapes: FixedShapes, memory: MemoryCache) -> None:
        """Copy a memory; `shapes` is in use until `close`."""
        self._shapes, self._model = shapes, shapes.model
        self._starts = memory.next_positions()
        self._keys = [layer.length for layer in memory.layers]
        self._lengths = torch.tensor(self._keys, device=self._model.device)
        self._attention: Tensor | None = None
        self._open = True
        shapes.cache.load(memory)

    @torch.inference_mode()
    def logits(self, ids: Tensor) -> Tensor:
        """Append tokens [tokens] and return the logits after the last one, float32 [1, vocabulary]."""
        logits, self._attention = self._shapes.step(len(ids))(ids, self._lengths, self._starts)
        self._lengths, self._starts = self._lengths + len(ids), self._starts + len(ids)
        return logits

    @torch.inference_mode()
    def record(self, recorder: AttentionRecorder) -> None:
        """Add the attention of the newest token to a recorder."""
        if self._attention is None:
            return
        rows = self._attention.clone()
        for index, keys in enumerate(self._keys):
            recorder.add(index, rows[index, :, None, :keys])

    def close(self) -> None:
        """Let another answer use the fixed storage."""
        if self._open:
            self._open = False
            self._shapes.in_use.release()


class FixedShapes:
    """Fixed storage and captured passes of a model. One answer at a time uses them; others run without.

    Attributes:
        model: The model.
        cache: The storage.
        in_use: Held by the answer that uses the storage.
    """

    def __init__(self, model: Backbone) -> None:
        """Allocate nothing before the first answer."""
        self.model = model
        self.in_use = threading.Lock()
        self._steps: dict[int, FixedStep] = {}
        self._pool: Any = None
        self.cache = self._new_cache(0)

    def _new_cache(self, slots: int) -> FixedCache:
        """Return storage of another size, without passes: they refer to the addresses of the former one."""
        model = self.model
        self._steps.clear()
        # A pool ends with its last graph.
        self._pool = torch.cuda.graph_pool_handle() if model.device.type == "cuda" else None
        like = torch.empty(0, dtype=model.dtype, device=model.device)
        return FixedCache(model.num_layers, model.kv_heads, model.head_dim, slots, like)

    @torch.inference_mode()
    def open(self, memory: MemoryCache, question: int, longest: int) -> FixedAnswer | None:
        """Return a decoder for an answer.

        Args:
            memory: The memory that the answer reads; it is copied.
            question: Number of tokens of the question.
            longest: Maximum number of tokens of the answer.

        Returns:
            The decoder, to be closed; None if another answer uses the storage, or if the memory or the question is too long
            for it.
        """
        rows = next((rows for rows in ROWS if rows >= question), None)
        if rows is None:
            return None
        slots = -(-(max(layer.length for layer in memory.layers) + rows + longest) // SLOTS) * SLOTS
        if slots > MAX_SLOTS or not self.in_use.acquire(blocking=False):
            return None
        try:
            if slots > self.cache.storage.shape[3]:
                self.cache = self._new_cache(slots)
            for needed in dict.fromkeys((rows, 1)):
                if needed not in self._steps:
                    self._steps[needed] = FixedStep(self.model, self.cache, needed, self._pool)
            return FixedAnswer(self, memory)
        except BaseException:
            self.in_use.release()
            raise

    def step(self, tokens: int) -> FixedStep:
        """Return the pass for that many tokens."""
        return self._steps[next(rows for rows in ROWS if rows >= tokens)]


def fixed_shapes(model: Backbone) -> FixedShapes | None:
    """Return the fixed shapes of a model on one GPU; None where graphs do not help or cannot be captured.

    They cannot with layers on several devices or offloaded by accelerate, with linear attention, or with a mixture of
    experts, whose routing depends on the data.
    """
    hooks: Iterable[object] = (module for module in model.model.modules() if hasattr(module, "_hf_hook"))
    if model.device.type != "cuda" or model.is_spread or model.state_layers or any(True for _ in hooks):
        return None
    if any("experts" in name for name, _ in model.decoder.named_modules()):
        return None
    return FixedShapes(model)
