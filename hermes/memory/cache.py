"""The cache: keys, values, positions and provenance of every token that a layer holds, in preallocated storage.

It does not decide what to keep (policies do) and does not run the model (backbones do). The decoder layers of transformers
call `MemoryCache.update` as they would call a cache of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hermes.memory.positions import Rotary, compact, fold, rotate
from hermes.snapshot import SUMMARY, TEXT, VISION

FRAME, PATCH, KIND = range(3)
MASS, SECONDS, IMPORTANCE, GUIDANCE, RECENCY = range(5)


@dataclass(frozen=True)
class Provenance:
    """Where tokens come from.

    Attributes:
        labels: int32 [3, tokens]: frame (-1: none), patch (row * columns + column, -1: none), kind (index into KINDS).
        figures: float32 [5, tokens]: mass, seconds, and of the last eviction importance, guidance attention and recency
            (nan: none yet).
    """

    labels: Tensor
    figures: Tensor

    @classmethod
    def of_text(cls, tokens: int, device: torch.device, kind: int = TEXT) -> Provenance:
        """Provenance of `tokens` text tokens."""
        labels = torch.full((3, tokens), -1, dtype=torch.int32, device=device)
        labels[KIND] = kind
        figures = torch.full((5, tokens), torch.nan, device=device)
        figures[MASS] = 1
        return cls(labels, figures)

    @classmethod
    def of_chunk(cls, first: int, seconds: Tensor, step: Tensor, patch: Tensor) -> Provenance:
        """Provenance of a chunk.

        Args:
            first: Number of its first frame.
            seconds: Time of each of its frames [frames].
            step: Frame of the chunk that each token belongs to, int64 [tokens].
            patch: Patch of each token, -1 for text that the family writes between frames, int64 [tokens].
        """
        figures = torch.full((5, step.shape[0]), torch.nan, device=step.device)
        figures[MASS] = 1
        figures[SECONDS] = seconds.to(step.device, torch.float32)[step]
        kind = torch.where(patch >= 0, VISION, TEXT)
        return cls(torch.stack((step + first, patch, kind)).to(torch.int32), figures)


@dataclass
class LayerMemory:
    """The tokens of one layer, oldest first: `length` of them in storage for more.

    Attributes:
        keys: Rotated keys [kv_heads, capacity, head_dim].
        values: Values [kv_heads, capacity, head_dim].
        positions: Rotary positions [axes, capacity].
        labels: int32 [3, capacity], see `Provenance`.
        figures: float32 [5, capacity], see `Provenance`.
        length: Tokens held.
        lent: Whether a branch reads this storage and may write behind `length`.
        intact: Whether no token was ever evicted and no position changed.
    """

    keys: Tensor
    values: Tensor
    positions: Tensor
    labels: Tensor
    figures: Tensor
    length: int = 0
    lent: bool = False
    intact: bool = True

    @property
    def capacity(self) -> int:
        """Tokens that fit before storage has to grow."""
        return self.keys.shape[1]

    def _reallocate(self, capacity: int) -> None:
        for name in ("keys", "values", "positions", "labels", "figures"):
            old = getattr(self, name)
            new = old.new_empty((old.shape[0], capacity, *old.shape[2:]))
            new[:, : self.length] = old[:, : self.length]
            setattr(self, name, new)
        self.lent = False

    def reserve(self, tokens: int) -> None:
        """Make storage of our own with room for `tokens` more; a branch that reads the old storage keeps it."""
        if self.length + tokens > self.capacity:
            self._reallocate(max(self.length + tokens, self.capacity * 3 // 2))
        elif self.lent:
            self._reallocate(self.capacity)

    def write(self, positions: Tensor, provenance: Provenance | None) -> None:
        """Write positions [axes, tokens] and provenance behind the tokens held; `length` stays (see `commit`)."""
        stop = self.length + positions.shape[1]
        self.positions[:, self.length : stop] = positions
        if provenance is None:
            return
        self.labels[:, self.length : stop] = provenance.labels
        self.figures[:, self.length : stop] = provenance.figures

    def update(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write new keys and values behind the tokens held and return all, each [1, kv_heads, tokens, head_dim]."""
        stop = self.length + keys.shape[2]
        self.keys[:, self.length : stop] = keys[0]
        self.values[:, self.length : stop] = values[0]
        return self.keys[None, :, :stop], self.values[None, :, :stop]

    def retain(self, kept: Tensor) -> None:
        """Keep only the tokens `kept` (int64, ascending, whole layer's indices) and close the gaps."""
        self.reserve(0)
        self.intact = False
        count = kept.shape[0]
        for storage in (self.keys, self.values, self.positions, self.labels, self.figures):
            storage[:, :count] = storage.index_select(1, kept)
        self.length = count

    def held(self, start: int = 0) -> LayerMemory:
        """A view of the tokens held from `start` on; nothing is copied."""
        names = ("keys", "values", "positions", "labels", "figures")
        return replace(self, **{name: getattr(self, name)[:, start : self.length] for name in names})

    @property
    def nbytes(self) -> int:
        """Bytes of the keys and values of the tokens held."""
        return 2 * self.keys.shape[0] * self.length * self.keys.shape[2] * self.keys.element_size()


def evict(layer: LayerMemory, kept: Tensor, prompt_len: int, rotary: Rotary, *, summary: bool, compacted: bool) -> int:
    """Let go of a layer's tokens: retention, summary token and re-indexing (paper sections 3.4 and 3.5).

    Args:
        layer: The layer, changed in place.
        kept: Tokens to keep, int64 ascending, indices into the whole layer, prompt included.
        prompt_len: Prompt tokens at the head of the layer.
        rotary: The model's rotary embedding.
        summary: Whether the evicted tokens are folded into one summary token behind the kept ones.
        compacted: Whether the kept tokens' positions are compacted.

    Returns:
        How many tokens were evicted.
    """
    count = layer.length - kept.shape[0]
    evicted = None
    if summary and count:
        gone = torch.ones(layer.length, dtype=torch.bool, device=kept.device)
        gone[kept] = False
        evicted = gone.nonzero()[:, 0]
        keys, values = layer.keys[:, evicted], layer.values[:, evicted]
        old, figures = layer.positions[:, evicted], layer.figures[:, evicted]
    layer.retain(kept)
    if compacted:
        reindex(layer, prompt_len, rotary)
    if evicted is not None:
        position = layer.positions[:, : layer.length].amax() + 1
        target = position.expand(layer.positions.shape[0], 1)
        key, value = fold(keys, values, old, target, rotary)
        label = Provenance.of_text(1, kept.device, SUMMARY)
        label.figures[MASS] = figures[MASS].sum()
        label.figures[SECONDS] = (figures[SECONDS] * figures[MASS]).sum() / figures[MASS].sum()
        layer.reserve(1)
        layer.write(target, label)
        layer.update(key[None], value[None])
        layer.length += 1
    return count


def reindex(layer: LayerMemory, prompt_len: int, rotary: Rotary) -> None:
    """Compact a layer's positions and rotate its keys by the difference, in place (paper section 3.5)."""
    layer.reserve(0)
    layer.intact = False
    held = layer.held()
    new = compact(held.positions, prompt_len)
    layer.keys[:, : layer.length] = rotate(held.keys, held.positions, new, rotary)
    layer.positions[:, : layer.length] = new


class MemoryCache:
    """The memory of one stream: a `LayerMemory` a layer, and where new tokens go.

    `branch()` gives a cache that reads this one and keeps what it adds to itself: questions and guidance prompts run on
    branches, so that they never fill the video's memory. A branch shares storage; whoever writes first pays the copy.
    """

    def __init__(self, layers: list[LayerMemory], prompt_len: int = 0) -> None:
        """A cache over `layers`, whose first `prompt_len` tokens are the prompt."""
        self.layers = layers
        self.prompt_len = prompt_len

    @classmethod
    def allocate(
        cls,
        num_layers: int,
        kv_heads: int,
        head_dim: int,
        axes: int,
        capacity: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> MemoryCache:
        """An empty cache with room for `capacity` tokens a layer."""

        def layer() -> LayerMemory:
            return LayerMemory(
                keys=torch.empty(kv_heads, capacity, head_dim, device=device, dtype=dtype),
                values=torch.empty(kv_heads, capacity, head_dim, device=device, dtype=dtype),
                positions=torch.empty(axes, capacity, device=device, dtype=torch.long),
                labels=torch.empty(3, capacity, device=device, dtype=torch.int32),
                figures=torch.empty(5, capacity, device=device),
            )

        return cls([layer() for _ in range(num_layers)])

    def next_positions(self) -> Tensor:
        """First free position of each layer: its largest position + 1, int64 [layers]."""
        return torch.stack(
            [
                layer.positions[:, : layer.length].amax() + 1 if layer.length else layer.positions.new_zeros(())
                for layer in self.layers
            ]
        )

    def begin(self, positions: Tensor, provenance: Provenance | None) -> None:
        """Make room for new tokens and note where they come from; they count only after `commit`.

        Args:
            positions: [axes, layers, tokens].
            provenance: Of the same tokens, for every layer; None on a branch that nobody takes a snapshot of.
        """
        for i, layer in enumerate(self.layers):
            layer.reserve(positions.shape[2])
            layer.write(positions[:, i], provenance)

    def update(self, keys: Tensor, values: Tensor, layer_idx: int, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        """The verb that decoder layers call: store new keys and values [1, kv_heads, tokens, head_dim], return all."""
        return self.layers[layer_idx].update(keys, values)

    def commit(self, tokens: int) -> None:
        """Count the `tokens` written since `begin`; before it, nothing has changed for a reader."""
        for layer in self.layers:
            layer.length += tokens

    def branch(self) -> MemoryCache:
        """A cache that starts as this one; what it adds, it keeps to itself."""
        branches = []
        for layer in self.layers:
            layer.reserve(0)
            branches.append(replace(layer, lent=False))
            layer.lent = True
        return MemoryCache(branches, self.prompt_len)

    def release(self, branch: MemoryCache) -> None:
        """Tell that `branch` is not used any more, so that writing needs no copy."""
        for layer, other in zip(self.layers, branch.layers, strict=True):
            if layer.keys is other.keys:
                layer.lent = False

    @property
    def nbytes(self) -> int:
        """Bytes of the keys and values of the tokens held, all layers."""
        return sum(layer.nbytes for layer in self.layers)
