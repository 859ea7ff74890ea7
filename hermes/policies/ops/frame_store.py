"""Storage of frames as features, from which they can be prefilled later. Policies choose the frames to store and read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hermes.backbones.base import Backbone
from hermes.memory.archive_layer import strided_positions
from hermes.memory.cache import MemoryCache
from hermes.memory.chunk import Chunk, concatenated
from hermes.memory.encoded import Encoded
from hermes.memory.layer import FRAME, Provenance
from hermes.memory.positions import compact
from hermes.memory.stream_state import StateField

NAMES = ("embeddings", "step", "patch", "offsets", "labels", "figures")
STORE_FIELDS: Mapping[str, StateField] = {
    "store.embeddings": StateField((1, "any", "hidden"), "model", -1e6, 1e6),
    "store.step": StateField(("any",), "integer", 0, 1e9),
    "store.patch": StateField(("any",), "integer", -1, 1e9),
    "store.offsets": StateField(("axes", "any"), "integer", 0, 1e9),
    "store.labels": StateField((4, "any"), "label", -1, 1e9),
    "store.figures": StateField((5, "any"), nan=True),
    "store.deepstack": StateField(("any", "hidden"), "model", -1e6, 1e6),
}
"""What the tensors of `FrameStore.state` may be."""


@dataclass(frozen=True)
class FrameStore:
    """Encoded tokens of whole frames.

    Attributes:
        encoded: The tokens; their positions only define the order within a frame.
        provenance: Provenance of the tokens.
    """

    encoded: Encoded
    provenance: Provenance

    @classmethod
    def of(cls, chunk: Chunk) -> FrameStore:
        """Create a store from the frames of a chunk."""
        return cls(chunk.encoded, chunk.provenance)

    def joined(self, other: FrameStore) -> FrameStore:
        """Return a store with these frames followed by those of `other`."""
        parts = (self.provenance, other.provenance)
        labels = torch.cat([part.labels for part in parts], dim=1)
        figures = torch.cat([part.figures for part in parts], dim=1)
        return FrameStore(concatenated([self.encoded, other.encoded]), Provenance(labels, figures))

    @property
    def frames(self) -> Tensor:
        """Frame numbers, ascending, int64 [frames]."""
        return torch.unique_consecutive(self.provenance.labels[FRAME].long())

    def only(self, frames: Tensor) -> FrameStore:
        """Return a store with only the tokens of `frames` [n]."""
        keep = torch.isin(self.provenance.labels[FRAME].long(), frames)
        index, vision = keep.nonzero()[:, 0], keep[self.encoded.vision]
        old = self.encoded
        encoded = Encoded(
            old.embeddings[:, index],
            old.step[index],
            old.patch[index],
            old.offsets[:, index],
            tuple(stream[vision] for stream in old.deepstack),
        )
        return FrameStore(encoded, Provenance(self.provenance.labels[:, index], self.provenance.figures[:, index]))

    @property
    def tokens(self) -> int:
        """Number of tokens of all frames."""
        return self.encoded.embeddings.shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes of the features."""
        return self.encoded.embeddings.nbytes + sum(stream.nbytes for stream in self.encoded.deepstack)

    def state(self) -> dict[str, Tensor]:
        """Return all tensors by name."""
        whole = {**vars(self.encoded), **vars(self.provenance)}
        deep = {f"deepstack{i}": stream for i, stream in enumerate(self.encoded.deepstack)}
        return {f"store.{name}": whole[name] for name in NAMES} | {f"store.{n}": stream for n, stream in deep.items()}

    @classmethod
    def of_state(cls, tensors: dict[str, Tensor]) -> FrameStore | None:
        """Restore a store from the tensors of `state`; None if there are none."""
        if "store.embeddings" not in tensors:
            return None
        deep = tuple(tensors[name] for name in sorted(tensors) if name.startswith("store.deepstack"))
        values = {name: tensors[f"store.{name}"] for name in NAMES}
        provenance = Provenance(values.pop("labels"), values.pop("figures"))
        return cls(Encoded(**values, deepstack=deep), provenance)

    def prefilled(self, backbone: Backbone, cache: MemoryCache) -> MemoryCache:
        """Return a new memory: the prompt of `cache`, followed by these frames, prefilled at consecutive positions."""
        prompt = torch.arange(cache.prompt_len, device=backbone.device)
        memory = cache.with_layers([layer.copy_of(prompt) for layer in cache.layers], from_prompt=True)
        own = strided_positions(self.encoded.offsets, self.provenance.labels[FRAME])
        whole = compact(torch.cat((memory.layers[0].positions, own), dim=1), cache.prompt_len)
        positions = whole[:, None, cache.prompt_len :].expand(-1, backbone.num_layers, -1)
        encoded = replace(self.encoded)
        backbone.prefill(encoded.embeddings, positions, self.provenance, memory, encoded=encoded)
        return memory


def spread(frames: Tensor, count: int) -> Tensor:
    """Select at most `count` evenly spaced frames, first and last included: int64 [n] -> int64 [at most count]."""
    if len(frames) <= count:
        return frames
    wanted = torch.linspace(float(frames[0]), float(frames[-1]), count, device=frames.device)
    nearest = (frames[None].float() - wanted[:, None]).abs().argmin(1)
    return frames[nearest].unique()
