"""The attention of each token of an answer on the frames, in float16, for a limited number of tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hermes.memory.heads import tokens_by_head
from hermes.memory.layer import FRAME, LayerMemory

MAX_TOKENS: Final = 256
"""Maximum number of tokens of an answer whose attention is stored."""
MAX_BYTES: Final = 2**25
"""Upper bound of the stored attention of an answer, in bytes; with many frames and layers it limits the tokens."""
WAITING_BYTES: Final = 2**25
"""Size of the rows, in bytes, from which they are summed per frame before the answer has ended."""


class TokenAttention:
    """Sums recorded rows of attention per frame, one row per decoded token.

    Rows wait in the recorder until `is_due`, so that short answers are summed once, after their last token.
    """

    def __init__(self, layers: Sequence[LayerMemory], heads: int, frames_seen: int) -> None:
        """Record nothing yet.

        Args:
            layers: The layers of the memory that the answer reads.
            heads: Number of query heads.
            frames_seen: Frames seen when the question was asked. Tokens of later frames are ignored.
        """
        self._layers = layers
        self._heads = heads
        self._frames_seen = frames_seen
        self._blocks: list[npt.NDArray[np.float16]] = []
        bytes_per_token = 2 * len(layers) * heads * frames_seen
        self.most = min(MAX_TOKENS, MAX_BYTES // bytes_per_token) if bytes_per_token else 0

    @property
    def tokens(self) -> int:
        """Number of tokens summed so far."""
        return sum(len(block) for block in self._blocks)

    def is_due(self, rows: Mapping[int, Sequence[Tensor]]) -> bool:
        """Whether the waiting rows are large, or complete because no more tokens are stored."""
        waiting = len(next(iter(rows.values()), ()))
        nbytes = sum(row.nbytes for of_layer in rows.values() for row in of_layer[-1:]) * waiting
        return nbytes >= WAITING_BYTES or self.tokens + waiting >= self.most

    def add(self, rows: Mapping[int, Sequence[Tensor]]) -> None:
        """Sum rows per frame.

        Args:
            rows: For each layer the attention of consecutive tokens, each [heads, keys].
        """
        count = min([self.most - self.tokens, *(len(of_layer) for of_layer in rows.values())])
        if count < 1 or len(rows) < len(self._layers):
            return
        sums = [self._on_frames(layer, torch.stack(list(rows[i][:count]))) for i, layer in enumerate(self._layers)]
        self._blocks.append(torch.stack(sums, dim=1).numpy())

    def _on_frames(self, layer: LayerMemory, rows: Tensor) -> Tensor:
        """Sum attention [tokens, heads, keys] per frame: float16 [tokens, heads, frames] on the CPU."""
        labels, own = tokens_by_head(layer)
        frame = labels[FRAME].long()
        known = (frame >= 0) & (frame < self._frames_seen)
        target = torch.where(known, frame, self._frames_seen)  # one more column, which is dropped
        by_head = target[None] if own is None else target[own].repeat_interleave(self._heads // len(own), 0)
        rows = rows.to(target.device)
        sums = rows.new_zeros(*rows.shape[:2], self._frames_seen + 1)
        sums.scatter_add_(2, by_head[None].expand_as(rows), rows)
        return sums[..., :-1].half().cpu()

    def stored(self, tokens: int) -> npt.NDArray[np.float16]:
        """Return the attention of the first `tokens` tokens, or of all that are stored [tokens, layers, heads, frames]."""
        if not self._blocks:
            return np.zeros((0, len(self._layers), self._heads, self._frames_seen), np.float16)
        return np.concatenate(self._blocks)[:tokens]
