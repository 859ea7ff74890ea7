"""Reads the scores of all video tokens before an eviction, as numpy arrays for the token history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hermes.analysis.token_history import ScoreRecord, to_bytes
from hermes.memory.cache import MemoryCache
from hermes.memory.devices import together
from hermes.memory.layer import FRAME, IMPORTANCE, PATCH


@dataclass(frozen=True)
class Scores:
    """Scores of an eviction without its time, still on the device, so that reading them does not delay the eviction.

    Attributes:
        offsets: First token of each layer, then the number of tokens, int64 [layers + 1].
        table: float32 [4, tokens]: frame, patch, importance, and 1 for kept tokens.
        merged: Whether each layer merged its evicted tokens, bool [layers].
    """

    offsets: npt.NDArray[np.int64]
    table: Tensor
    merged: npt.NDArray[np.bool_]

    def at(self, sequence: int, seconds: float, frames_seen: int) -> ScoreRecord:
        """Transfer the scores and return the record of the eviction at a given time."""
        frame, patch, importance, kept = self.table.cpu().numpy()
        return ScoreRecord(
            sequence,
            seconds,
            frames_seen,
            self.offsets,
            frame.astype(np.int32),
            patch.astype(np.int16),
            to_bytes(importance),
            kept > 0,
            self.merged,
        )


def read_scores(cache: MemoryCache, kept: Sequence[Tensor | None], summary: Sequence[bool]) -> Scores:
    """Copy labels and scores of all video tokens before an eviction.

    Args:
        cache: The memory before the eviction.
        kept: Indices of the video tokens that each layer keeps, int64, ascending; None for all.
        summary: Whether each layer merges its evicted tokens into a summary token.
    """
    start = cache.prompt_len
    tables = []
    for layer, keep in zip(cache.layers, kept, strict=True):
        video = slice(start, layer.length)
        stays = torch.ones(layer.length - start, device=layer.figures.device)
        if keep is not None:
            stays.zero_()[keep.to(stays.device)] = 1
        labels = (
            layer.labels[FRAME, video].float(),
            layer.labels[PATCH, video].float(),
        )  # exact up to frame 16.7 million
        tables.append(torch.stack((*labels, layer.figures[IMPORTANCE, video], stays)))
    sizes = [layer.length - start for layer in cache.layers]
    return Scores(
        offsets=np.cumsum([0, *sizes]).astype(np.int64),
        table=torch.cat(together(tables), dim=1),
        merged=np.array([merges and keep is not None for merges, keep in zip(summary, kept, strict=True)], bool),
    )
