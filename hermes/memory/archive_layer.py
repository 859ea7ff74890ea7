"""One layer of an archive: append-only blocks of tokens, and their recall at new positions.

`hermes.memory.archive` handles files and the memory limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from hermes.memory.layer import LayerMemory
from hermes.memory.positions import Rotary, compact, rotate

STRIDE = 1 << 14
"""Positions reserved for each frame in the archive; more than any frame uses."""


class Growing:
    """A tensor [rows, ...] with amortised appends; the storage doubles when full."""

    def __init__(self, first: Tensor) -> None:
        """Create the tensor with a copy of the rows of `first`."""
        self._storage, self.length = first.clone(), len(first)

    def append(self, rows: Tensor) -> None:
        """Add rows."""
        stop = self.length + len(rows)
        if stop > len(self._storage):
            new = self._storage.new_empty((max(stop, 2 * len(self._storage)), *self._storage.shape[1:]))
            new[: self.length] = self._storage[: self.length]
            self._storage = new
        self._storage[self.length : stop] = rows
        self.length = stop

    @property
    def rows(self) -> Tensor:
        """View of the rows."""
        return self._storage[: self.length]


@dataclass
class ArchiveLayer:
    """Archived tokens of one layer in blocks, oldest first.

    Attributes:
        payload: Raw keys and values in host memory [tokens, 2, kv_heads, head_dim]; None if everything is on disk.
        mapped: Memory-mapped keys and values of the tokens before `payload`, same shape; None if nothing is on disk.
        labels: int32 [tokens, 4], see `Provenance`.
        figures: float32 [tokens, 5], see `Provenance`.
        positions: Positions with frames `STRIDE` apart, int64 [tokens, axes]; see `strided_positions`.
        starts: First token of each block, followed by the number of tokens, int64 [blocks + 1].
        representatives: Mean raw key of each block, on the model's device, float32 [blocks, kv_heads, head_dim].
    """

    labels: Growing
    figures: Growing
    positions: Growing
    starts: Growing
    representatives: Growing
    payload: Growing | None = None
    mapped: Tensor | None = None

    @classmethod
    def create(
        cls, labels: Tensor, figures: Tensor, positions: Tensor, starts: Tensor, means: Tensor, payload: Tensor
    ) -> Self:
        """Create a layer from initial rows; the arguments are described in the class attributes."""
        first = (Growing(labels), Growing(figures), Growing(positions), Growing(starts), Growing(means))
        return cls(*first, payload=Growing(payload))

    @property
    def tokens(self) -> int:
        """Number of archived tokens."""
        return self.labels.length

    @property
    def blocks(self) -> int:
        """Number of archived blocks."""
        return self.representatives.length

    def tokens_of(self, blocks: Tensor) -> Tensor:
        """Indices of the tokens of `blocks` (int64, ascending), in order."""
        starts = self.starts.rows
        begin, size = starts[blocks], starts[blocks + 1] - starts[blocks]
        shift = begin - (size.cumsum(0) - size)
        return torch.arange(int(size.sum())) + shift.repeat_interleave(size)

    def read(self, tokens: Tensor) -> Tensor:
        """Raw keys and values of `tokens` (int64, ascending): [tokens, 2, kv_heads, head_dim]."""
        on_disk = 0 if self.mapped is None else len(self.mapped)
        old, new = tokens[tokens < on_disk], tokens[tokens >= on_disk] - on_disk
        parts = [] if self.mapped is None else [self.mapped.index_select(0, old)]
        if self.payload is not None:
            parts.append(self.payload.rows.index_select(0, new))
        return torch.cat(parts)


def strided_positions(positions: Tensor, frame: Tensor) -> Tensor:
    """Return positions relative to each frame's first position, with frames `STRIDE` apart.

    Args:
        positions: [axes, tokens].
        frame: Frame of each token, ascending [tokens].

    Returns:
        int64 [axes, tokens]; increases with the frame even if positions were compacted between frames.
    """
    own, block = torch.unique_consecutive(frame, return_inverse=True)
    least = positions.new_full((positions.shape[0], len(own)), torch.iinfo(positions.dtype).max)
    least.scatter_reduce_(1, block.expand_as(positions), positions, "amin")
    return positions - least[:, block] + frame.long() * STRIDE


def append_to_prompt(
    prompt: LayerMemory,
    keys: Tensor,
    values: Tensor,
    positions: Tensor,
    labels: Tensor,
    figures: Tensor,
    rotary: Rotary,
) -> LayerMemory:
    """Return a new layer: the prompt followed by tokens whose raw keys are rotated to consecutive positions.

    Args:
        prompt: Prompt tokens.
        keys: Raw keys [kv_heads, tokens, head_dim].
        values: [kv_heads, tokens, head_dim].
        positions: Relative positions of the tokens [axes, tokens]; only their order matters, see `compact`.
        labels: int32 [4, tokens].
        figures: float32 [5, tokens].
        rotary: The model's rotary embedding.
    """
    device, length = prompt.keys.device, prompt.length
    whole = torch.cat((prompt.positions[:, :length], positions.to(device)), dim=1)
    whole = compact(whole, length)
    origin = whole.new_zeros(whole.shape[0], 1)
    rotated = rotate(keys.float(), origin.expand(-1, keys.shape[1]), whole[:, length:], rotary).to(prompt.keys.dtype)
    return LayerMemory(
        keys=torch.cat((prompt.keys[:, :length], rotated), dim=1),
        values=torch.cat((prompt.values[:, :length], values.to(prompt.values.dtype)), dim=1),
        positions=whole,
        labels=torch.cat((prompt.labels[:, :length], labels.to(device)), dim=1),
        figures=torch.cat((prompt.figures[:, :length], figures.to(device)), dim=1),
        length=whole.shape[1],
        intact=False,
    )
