"""Positions and provenance per head, for layers whose key-value heads hold different tokens.

All heads of a layer hold the same number of tokens, so keys and values remain one tensor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hermes.memory.positions import Rotary, compact, rotate

if TYPE_CHECKING:
    from hermes.memory.layer import LayerMemory

CODE = 1 << 20
"""Upper bound of the patches in a frame; combines frame and patch into one number."""


@dataclass
class HeadTable:
    """Positions and provenance of a layer's tokens, for each head.

    Attributes:
        positions: Rotary positions [kv_heads, axes, capacity].
        labels: int32 [kv_heads, 4, capacity], see `Provenance`.
        figures: float32 [kv_heads, 5, capacity], see `Provenance`.
    """

    positions: Tensor
    labels: Tensor
    figures: Tensor

    @classmethod
    def shared(cls, heads: int, positions: Tensor, labels: Tensor, figures: Tensor) -> HeadTable:
        """Create a table from values that all heads share, each [rows, capacity]."""
        return cls(*(table[None].repeat(heads, 1, 1) for table in (positions, labels, figures)))

    def reallocated(self, length: int, capacity: int) -> HeadTable:
        """Return a copy of the first `length` tokens with room for `capacity`."""
        tables = []
        for old in (self.positions, self.labels, self.figures):
            new = old.new_empty((*old.shape[:2], capacity))
            new[..., :length] = old[..., :length]
            tables.append(new)
        return HeadTable(*tables)

    def write(self, start: int, positions: Tensor, labels: Tensor | None) -> None:
        """Write new tokens, shared by all heads, from `start` on: positions [axes, tokens], labels [4, tokens]."""
        stop = start + positions.shape[1]
        self.positions[..., start:stop] = positions
        if labels is not None:
            self.labels[..., start:stop] = labels

    def retain(self, kept: Tensor) -> None:
        """Keep only the tokens `kept` of each head, int64 [kv_heads, tokens]."""
        count = kept.shape[1]
        for table in (self.positions, self.labels, self.figures):
            table[..., :count] = table.gather(2, kept[:, None].expand(-1, table.shape[1], -1))

    def held(self, start: int, stop: int) -> HeadTable:
        """Return a view of the tokens `start` to `stop`."""
        return HeadTable(self.positions[..., start:stop], self.labels[..., start:stop], self.figures[..., start:stop])

    def chosen(self, chosen: Tensor) -> HeadTable:
        """Return a copy of the slots `chosen`, the same slots in every head."""
        tables = (self.positions, self.labels, self.figures)
        return HeadTable(*(table.index_select(2, chosen) for table in tables))

    def rotate(self, keys: Tensor, new: Tensor, rotary: Rotary, start: int = 0) -> Tensor:
        """Rotate keys [kv_heads, tokens, head_dim] of the tokens from `start` on to `new` [kv_heads, axes, tokens or 1]."""
        old = self.positions[..., start : start + keys.shape[1]]
        return torch.stack([rotate(k[None], o, n, rotary)[0] for k, o, n in zip(keys, old, new, strict=True)])

    def compacted(self, keys: Tensor, prompt_len: int, rotary: Rotary) -> Tensor:
        """Compact the positions of every head in place; return the keys rotated to match."""
        new = torch.stack([compact(own, prompt_len) for own in self.positions])
        moved = self.rotate(keys, new, rotary)
        self.positions.copy_(new)
        return moved


def tokens_by_head(layer: LayerMemory) -> tuple[Tensor, Tensor | None]:
    """Return the union of the tokens held by the heads of a layer, in stream order.

    Returns:
        Labels of the union, int32 [4, tokens], and the index into it of each head's slots, int64 [kv_heads, slots]; the
        index is None if all heads hold the same tokens.
    """
    if layer.heads is None:
        return layer.labels[:, : layer.length], None
    labels = layer.heads.labels[..., : layer.length]
    frame, patch = labels[:, 0].long(), labels[:, 1].long()
    slot = torch.arange(layer.length, device=labels.device)
    # Tokens without a frame are identified by their slot, a frame's text by its order, and patches by their number.
    text = (frame >= 0) & (patch < 0)
    nth = text.long().cumsum(1)
    start = torch.full((len(frame), int(frame.max()) + 2), CODE, device=labels.device)
    start.scatter_reduce_(1, torch.where(text, frame + 1, 0), nth, "amin")
    place = torch.where(text, nth - start.gather(1, frame.clamp(min=-1) + 1), patch + CODE // 2)
    code = torch.where(frame < 0, slot - CODE, frame * CODE + place)
    codes, index = torch.unique(code, return_inverse=True)
    union = labels.new_zeros(len(codes), labels.shape[1])
    union[index.flatten()] = labels.transpose(1, 2).flatten(0, 1)
    return union.T, index
