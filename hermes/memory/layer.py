"""Keys, values, positions and provenance of the tokens that one decoder layer holds, in preallocated storage."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hermes.memory.heads import HeadTable
from hermes.memory.positions import Rotary, rotate
from hermes.snapshot import TEXT, VISION

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
