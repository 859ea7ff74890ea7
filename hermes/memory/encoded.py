"""Frames on their way into the decoder: how they become tokens, and the tokens of a chunk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Frames = npt.NDArray[np.uint8]
Seconds = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Layout:
    """How the frames of a stream become tokens; fixed when a stream begins.

    Attributes:
        grid: Rows and columns of a step's vision tokens.
        pixels: Width and height to which frames are resized.
        frames_per_step: Frames that the vision tower merges into one step of time (1, or 2 for the Qwen family). The memory
            counts steps: what it calls a frame is one step.
        interval: Rotary positions from one step to the next, on the temporal axis of M-RoPE.
    """

    grid: tuple[int, int]
    pixels: tuple[int, int]
    frames_per_step: int = 1
    interval: float = 1.0


@dataclass(frozen=True)
class Encoded:
    """A chunk of frames as the decoder reads it: vision tokens, and text between them where the family writes any.

    Attributes:
        embeddings: [1, tokens, hidden].
        step: Step of the chunk that each token belongs to, int64 [tokens].
        patch: Patch of each vision token, -1 for text [tokens].
        offsets: Positions relative to where the chunk begins, int64 [axes, tokens].
        deepstack: Features added to the hidden states of the vision tokens after the first layers, one [vision tokens,
            hidden] a layer; empty for most families.
    """

    embeddings: Tensor
    step: Tensor
    patch: Tensor
    offsets: Tensor
    deepstack: tuple[Tensor, ...] = ()

    @classmethod
    def of_vision(cls, features: Tensor) -> Encoded:
        """Vision tokens [steps, patches, hidden] alone, on one position axis."""
        steps, patches = features.shape[:2]
        index = torch.arange(steps * patches, device=features.device)
        return cls(features.flatten(0, 1)[None], index // patches, index % patches, index[None])

    @property
    def vision(self) -> Tensor:
        """Which tokens are vision tokens, bool [tokens]."""
        return self.patch >= 0


Encode = Callable[[Sequence[Frames], Seconds, int, Layout], Encoded]
"""What `Backbone.encode` does: frames, their times, steps seen before, layout -> tokens."""
