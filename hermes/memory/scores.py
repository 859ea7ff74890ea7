"""Reads the scores of all video tokens before an eviction, as numpy arrays for the token history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hermes.analysis.token_history import ScoreRecord, to_bytes
from hermes.memory.cache import FRAME, IMPORTANCE, PATCH, MemoryCache
from hermes.memory.devices import together


@dataclass(frozen=True)
class Scores:
    """Scores of an eviction without its time; the fields are those of `hermes.analysis.token_history.ScoreRecord`."""

    offsets: npt.NDArray[np.int64]
    frame: npt.NDArray[np.int32]
    patch: npt.NDArray[np.int16]
    importance: npt.NDArray[np.uint8]
    kept: npt.NDArray[np.bool_]
    merged: npt.NDArray[np.bool_]

    def at(self, sequence: int, seconds: float, frames_seen: int) -> ScoreRecord:
        """Return the record of the eviction at a given time."""
        return ScoreRecord(
            sequence,
            seconds,
            frames_seen,
            self.offsets,
            self.frame,
            self.patch,
            self.importance,
            self.kept,
            self.merged,
        )


def read_scores(cache: MemoryCache, kept: Sequence[Tensor | None], summary: Sequence[bool]) -> Scores:
    """Read labels and scores of all video tokens before an eviction, in one transfer from the device.

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
        labels = layer.labels[[FRAME, PATCH], video].float()  # exact up to frame 16.7 million
        tables.append(torch.cat((labels, layer.figures[IMPORTANCE, video][None], stays[None])))
    table = torch.cat(together(tables), dim=1).cpu().numpy()
    sizes = [layer.length - start for layer in cache.layers]
    return Scores(
        offsets=np.cumsum([0, *sizes]).astype(np.int64),
        frame=table[0].astype(np.int32),
        patch=table[1].astype(np.int16),
        importance=to_bytes(table[2]),
        kept=table[3] > 0,
        merged=np.array([merges and keep is not None for merges, keep in zip(summary, kept, strict=True)], bool),
    )
