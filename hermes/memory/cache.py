"""KV cache of a stream: the tokens of its layers, and the states of layers that hold none.

Policies choose the tokens to keep; backbones run the model. Decoder layers of transformers call `MemoryCache.update` as
they call any transformers cache.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from hermes.memory.devices import together
from hermes.memory.layer import LayerMemory, Provenance
from hermes.memory.linear_state import LinearState, StateTensors


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

        States return to the prompt if nothing else remains, else to the moment before the tokens that `prefill` marked as
        replaceable (`open_tokens`).

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
