"""KV cache: keys, values, positions and provenance of every cached token, in preallocated storage.

Policies choose the tokens to keep; backbones run the model. Decoder layers of transformers call `MemoryCache.update` as
they call any transformers cache.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hermes.memory.devices import together
from hermes.memory.heads import HeadTable
from hermes.memory.linear_state import LinearState, StateTensors
from hermes.memory.positions import Rotary, compact, merge_into_summary, rotate
from hermes.snapshot import SUMMARY, TEXT, VISION

FRAME, PATCH, KIND, FIRST = range(4)
MASS, SECONDS, IMPORTANCE, GUIDANCE, RECENCY = range(5)


@dataclass(frozen=True)
class Provenance:
    """Origin and scores of tokens.

    Attributes:
        labels: int32 [4, tokens]: frame (-1: none), patch (row * columns + column, -1: none), kind (index into KINDS), and
            the first frame that the token represents, which is its own frame unless frames were merged.
        figures: float32 [5, tokens]: mass, seconds, and the importance, guidance attention and recency at the last
            eviction (nan before the first).
    """

    labels: Tensor
    figures: Tensor

    @classmethod
    def of_text(cls, tokens: int, device: torch.device, kind: int = TEXT) -> Provenance:
        """Provenance of `tokens` text tokens."""
        labels = torch.full((4, tokens), -1, dtype=torch.int32, device=device)
        labels[KIND] = kind
        figures = torch.full((5, tokens), torch.nan, device=device)
        figures[MASS] = 1
        return cls(labels, figures)

    @classmethod
    def of_chunk(cls, first: int, seconds: Tensor, step: Tensor, patch: Tensor) -> Provenance:
        """Provenance of a chunk.

        Args:
            first: Number of the chunk's first frame.
            seconds: Time of each frame of the chunk [frames].
            step: Frame of each token within the chunk, int64 [tokens].
            patch: Patch of each token, -1 for the text that the model family inserts between frames, int64 [tokens].
        """
        figures = torch.full((5, step.shape[0]), torch.nan, device=step.device)
        figures[MASS] = 1
        figures[SECONDS] = seconds.to(step.device, torch.float32)[step]
        kind = torch.where(patch >= 0, VISION, TEXT)
        frame = step + first
        return cls(torch.stack((frame, patch, kind, frame)).to(torch.int32), figures)


@dataclass
class LayerMemory:
    """Cached tokens of one layer, oldest first; `length` of `capacity` slots are used.

    Attributes:
        keys: Rotated keys [kv_heads, capacity, head_dim].
        values: Values [kv_heads, capacity, head_dim].
        positions: Rotary positions [axes, capacity].
        labels: int32 [4, capacity], see `Provenance`.
        figures: float32 [5, capacity], see `Provenance`.
        length: Number of cached tokens.
        heads: Positions and provenance per head, if heads hold different tokens. In that case `positions` is the maximum
            over the heads, and `labels` and `figures` are those of the first head. None if all heads hold the same tokens.
        shared: Whether a branch reads this storage and may write past `length`.
        intact: Whether no token was ever evicted and no position changed.
    """

    keys: Tensor
    values: Tensor
    positions: Tensor
    labels: Tensor
    figures: Tensor
    length: int = 0
    shared: bool = False
    intact: bool = True
    heads: HeadTable | None = None

    @property
    def capacity(self) -> int:
        """Number of tokens that fit before the storage has to grow."""
        return self.keys.shape[1]

    def _reallocate(self, capacity: int) -> None:
        for name in ("keys", "values", "positions", "labels", "figures"):
            old = getattr(self, name)
            new = old.new_empty((old.shape[0], capacity, *old.shape[2:]))
            new[:, : self.length] = old[:, : self.length]
            setattr(self, name, new)
        if self.heads is not None:
            self.heads = self.heads.reallocated(self.length, capacity)
        self.shared = False

    def reserve(self, tokens: int) -> None:
        """Ensure that this layer owns its storage and has room for `tokens` more; branches keep the old storage."""
        if self.length + tokens > self.capacity:
            self._reallocate(max(self.length + tokens, self.capacity * 3 // 2))
        elif self.shared:
            self._reallocate(self.capacity)

    def write(self, positions: Tensor, provenance: Provenance | None) -> None:
        """Write positions [axes, tokens] and provenance after the cached tokens; `length` is unchanged (see `commit`)."""
        stop = self.length + positions.shape[1]
        self.positions[:, self.length : stop] = positions
        if self.heads is not None:
            self.heads.write(self.length, positions, provenance.labels if provenance else None)
            if provenance is not None:
                self.heads.figures[:, :, self.length : stop] = provenance.figures
        if provenance is None:
            return
        self.labels[:, self.length : stop] = provenance.labels
        self.figures[:, self.length : stop] = provenance.figures

    def update(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write new keys and values after the cached tokens; return all of them, each [1, kv_heads, tokens, head_dim]."""
        stop = self.length + keys.shape[2]
        self.keys[:, self.length : stop] = keys[0]
        self.values[:, self.length : stop] = values[0]
        return self.keys[None, :, :stop], self.values[None, :, :stop]

    def retain(self, kept: Tensor) -> None:
        """Keep only the tokens `kept` and close the gaps.

        Args:
            kept: Indices into the whole layer in output order, int64 [tokens], or [kv_heads, tokens] to keep the same
                number of different tokens in each head.
        """
        self.reserve(0)
        self.intact = False
        kept = kept.to(self.keys.device)  # the scores of all layers are on the first layer's device
        if kept.dim() == 2:
            self._retain_by_head(kept)
            return
        count = kept.shape[0]
        for storage in (self.keys, self.values, self.positions, self.labels, self.figures):
            storage[:, :count] = storage.index_select(1, kept)
        if self.heads is not None:
            self.heads.retain(kept.expand(self.keys.shape[0], -1))
        self.length = count

    def _retain_by_head(self, kept: Tensor) -> None:
        count = kept.shape[1]
        if self.heads is None:
            self.heads = HeadTable.shared(self.keys.shape[0], self.positions, self.labels, self.figures)
        self.heads.retain(kept)
        for storage in (self.keys, self.values):
            storage[:, :count] = storage.gather(1, kept[..., None].expand(-1, -1, storage.shape[2]))
        self.positions[:, :count] = self.heads.positions[..., :count].amax(0)
        self.labels[:, :count] = self.heads.labels[0, :, :count]
        self.figures[:, :count] = self.heads.figures[0, :, :count]
        self.length = count

    def append(self, keys: Tensor, values: Tensor, positions: Tensor, provenance: Provenance) -> None:
        """Append tokens: keys rotated to `positions` [axes, tokens], and values [kv_heads, tokens, head_dim]."""
        self.reserve(keys.shape[1])
        self.write(positions, provenance)
        self.update(keys[None], values[None])
        self.length += keys.shape[1]

    def copy_of(self, chosen: Tensor) -> LayerMemory:
        """Return a new layer with copies of the tokens `chosen`."""
        names = ("keys", "values", "positions", "labels", "figures")
        chosen = chosen.to(self.keys.device)
        parts = {name: getattr(self, name).index_select(1, chosen) for name in names}
        heads = None if self.heads is None else self.heads.chosen(chosen)
        return LayerMemory(**parts, length=chosen.shape[0], intact=False, heads=heads)

    def raw_keys(self, rotary: Rotary, start: int = 0) -> Tensor:
        """Keys of the tokens from `start` on without rotation, float32 [kv_heads, tokens, head_dim]."""
        keys = self.keys[:, start : self.length].float()
        origin = self.positions.new_zeros(self.positions.shape[0], 1)
        if self.heads is None:
            return rotate(keys, self.positions[:, start : self.length], origin, rotary)
        return self.heads.rotate(keys, origin.expand(len(keys), -1, -1), rotary, start)

    def held(self, start: int = 0) -> LayerMemory:
        """Return a view of the tokens from `start` on, without copying."""
        names = ("keys", "values", "positions", "labels", "figures")
        parts = {name: getattr(self, name)[:, start : self.length] for name in names}
        heads = None if self.heads is None else self.heads.held(start, self.length)
        return replace(self, **parts, heads=heads)

    @property
    def nbytes(self) -> int:
        """Bytes of the cached keys and values."""
        return 2 * self.keys.shape[0] * self.length * self.keys.shape[2] * self.keys.element_size()


def evict(layer: LayerMemory, kept: Tensor, prompt_len: int, rotary: Rotary, *, summary: bool, compacted: bool) -> int:
    """Evict tokens of a layer: retention, summary token and re-indexing (paper sections 3.4 and 3.5).

    Args:
        layer: The layer, modified in place.
        kept: Tokens to keep: indices into the whole layer, prompt included, int64, ascending.
        prompt_len: Number of prompt tokens at the start of the layer.
        rotary: The model's rotary embedding.
        summary: Whether to merge the evicted tokens into one summary token after the kept ones.
        compacted: Whether to compact the positions of the kept tokens.

    Returns:
        Number of evicted tokens.
    """
    kept = kept.to(layer.keys.device)
    count = layer.length - kept.shape[0]
    evicted = None
    if summary and count:
        stays = torch.zeros(layer.length, dtype=torch.int8, device=kept.device)
        stays[kept] = 1
        evicted = stays.sort(stable=True).indices[:count]  # without a synchronisation
        evicted_tokens = layer.copy_of(evicted)
        figures = evicted_tokens.figures
    layer.retain(kept)
    if compacted:
        reindex(layer, prompt_len, rotary)
    if evicted is not None:
        position = layer.positions[:, : layer.length].amax() + 1
        target = position.expand(layer.positions.shape[0], 1)
        key, value = _merge(evicted_tokens, target, rotary)
        label = Provenance.of_text(1, kept.device, SUMMARY)
        label.figures[MASS] = figures[MASS].sum()
        label.figures[SECONDS] = (figures[SECONDS] * figures[MASS]).sum() / figures[MASS].sum()
        label.labels[FIRST] = evicted_tokens.labels[FIRST].amin()
        layer.append(key, value, target, label)
    return count


def _merge(tokens: LayerMemory, target: Tensor, rotary: Rotary) -> tuple[Tensor, Tensor]:
    if tokens.heads is None:
        return merge_into_summary(tokens.keys, tokens.values, tokens.positions, target, rotary)
    moved = tokens.heads.rotate(tokens.keys.float(), target.expand(len(tokens.keys), -1, -1), rotary)
    key, value = moved.mean(1, keepdim=True), tokens.values.float().mean(1, keepdim=True)
    return key.to(tokens.keys.dtype), value.to(tokens.values.dtype)


def reindex(layer: LayerMemory, prompt_len: int, rotary: Rotary) -> None:
    """Compact a layer's positions and rotate its keys to match, in place (paper section 3.5)."""
    layer.reserve(0)
    layer.intact = False
    held = layer.held()
    if held.heads is not None:
        layer.keys[:, : layer.length] = held.heads.compacted(held.keys, prompt_len, rotary)
        layer.positions[:, : layer.length] = held.heads.positions.amax(0)
        return
    new = compact(held.positions, prompt_len)
    layer.keys[:, : layer.length] = rotate(held.keys, held.positions, new, rotary)
    layer.positions[:, : layer.length] = new


class MemoryCache:
    """KV cache of one stream: one `LayerMemory` per decoder layer that holds tokens, one `LinearState` per other layer.

    Questions and guidance prompts run on a `branch()`, so that their tokens never enter the video's memory. A branch shares
    storage with its parent (copy-on-write).
    """

    def __init__(
        self, layers: list[LayerMemory], prompt_len: int = 0, states: Mapping[int, LinearState] | None = None
    ) -> None:
        """Create a cache.

        Args:
            layers: The decoder layers that hold tokens.
            prompt_len: Number of prompt tokens at the start of each.
            states: States of the decoder layers that hold none, by their number in the decoder.
        """
        self.layers = layers
        self.prompt_len = prompt_len
        self.states = dict(states or {})
        numbers = (number for number in range(len(layers) + len(self.states)) if number not in self.states)
        self._index = {number: index for index, number in enumerate(numbers)}

    @classmethod
    def allocate(
        cls,
        devices: Sequence[torch.device],
        kv_heads: int,
        head_dim: int,
        axes: int,
        capacity: int,
        dtype: torch.dtype,
        states: Mapping[int, LinearState] | None = None,
    ) -> MemoryCache:
        """Return an empty cache with room for `capacity` tokens per layer.

        `devices` has the device of each layer that holds tokens; `states` are those of the other layers.
        """

        def layer(device: torch.device) -> LayerMemory:
            return LayerMemory(
                keys=torch.empty(kv_heads, capacity, head_dim, device=device, dtype=dtype),
                values=torch.empty(kv_heads, capacity, head_dim, device=device, dtype=dtype),
                positions=torch.empty(axes, capacity, device=device, dtype=torch.long),
                labels=torch.empty(4, capacity, device=device, dtype=torch.int32),
                figures=torch.empty(5, capacity, device=device),
            )

        return cls([layer(device) for device in devices], states=states)

    def next_positions(self) -> Tensor:
        """Next free position of each layer (its largest position + 1), int64 [layers], on the first layer's device."""
        first = [
            layer.positions[:, : layer.length].amax() + 1 if layer.length else layer.positions.new_zeros(())
            for layer in self.layers
        ]
        return torch.stack(together(first))

    def begin(self, positions: Tensor, provenance: Provenance | None) -> None:
        """Reserve room for new tokens and write their positions and provenance; `commit` adds them to the cache.

        Args:
            positions: [axes, layers, tokens].
            provenance: Provenance of the same tokens, for every layer; None on a branch, which has no snapshots.
        """
        for i, layer in enumerate(self.layers):
            layer.reserve(positions.shape[2])
            layer.write(positions[:, i], provenance)
        for state in self.states.values():
            state.begin()

    def update(self, keys: Tensor, values: Tensor, layer_idx: int, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        """Store new keys and values [1, kv_heads, tokens, head_dim] and return all; called by the decoder layers."""
        return self.layers[self._index[layer_idx]].update(keys, values)

    # transformers' interface for layers with linear attention

    def get_conv_state(self, layer_idx: int, state_idx: int = 0) -> Tensor | None:  # noqa: ARG002
        """State of a layer's convolution; None before the first token."""
        return self.states[layer_idx].conv_state()

    def get_recurrent_state(self, layer_idx: int, state_idx: int = 0) -> Tensor | None:  # noqa: ARG002
        """Recurrent state of a layer; None before the first token."""
        return self.states[layer_idx].recurrent_state()

    def update_conv_state(self, inputs: Tensor, layer_idx: int, *_: object, **__: object) -> Tensor:
        """Store new inputs of a layer's convolution and return them after those that it still needs."""
        return self.states[layer_idx].update_conv(inputs)

    def update_recurrent_state(self, state: Tensor, layer_idx: int, *_: object, **__: object) -> Tensor:
        """Store a layer's recurrent state."""
        return self.states[layer_idx].update_recurrent(state)

    def is_recording_past(self, layer_idx: int) -> bool:  # noqa: ARG002
        """Whether a layer keeps the inputs of its convolution, to crop them later; never."""
        return False

    def retract(self, tokens: int) -> None:
        """Remove the newest `tokens` of every layer, but never the prompt, so that new tokens can replace them.

        States return to the prompt if nothing else remains, else to the moment before the tokens that `prefill` was told
        may be replaced.

        Raises:
            HermesError: There is no such moment.
        """
        if not tokens:
            return
        whole = all(layer.length - tokens <= self.prompt_len for layer in self.layers)
        for state in self.states.values():
            if whole:
                state.back_to_prompt()
            else:
                state.back()
        for layer in self.layers:
            layer.length = max(layer.length - tokens, self.prompt_len)

    def commit(self, tokens: int, held: Mapping[int, StateTensors | None] | None = None) -> None:
        """Add the `tokens` written since `begin` to the cache; until then, readers do not see them.

        `held` has the states before tokens that may still be replaced, by number of the layer.
        """
        for layer in self.layers:
            layer.length += tokens
        for number, state in self.states.items():
            state.commit((held or {}).get(number))

    def with_layers(self, layers: list[LayerMemory], *, from_prompt: bool = False) -> MemoryCache:
        """Return a cache with other tokens and copies of the states, either the current ones or those after the prompt."""
        made = MemoryCache(layers, self.prompt_len, {number: replace(state) for number, state in self.states.items()})
        if from_prompt:
            for state in made.states.values():
                state.back_to_prompt()
        return made

    def branch(self) -> MemoryCache:
        """Return a cache with the same content; tokens added to the branch do not affect this cache."""
        branches = []
        for layer in self.layers:
            layer.reserve(0)
            branches.append(replace(layer, shared=False))
            layer.shared = True
        return self.with_layers(branches)

    def release(self, branch: MemoryCache) -> None:
        """Mark `branch` as no longer used, so that this cache can write without copying."""
        for layer, other in zip(self.layers, branch.layers, strict=True):
            if layer.keys is other.keys:
                layer.shared = False

    @property
    def nbytes(self) -> int:
        """Bytes of the cached keys and values, all layers."""
        return sum(layer.nbytes for layer in self.layers)

    @property
    def state_bytes(self) -> int:
        """Bytes of the states of the layers that hold no tokens."""
        return sum(state.nbytes for state in self.states.values())
