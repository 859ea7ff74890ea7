"""Layout of a stream's frames as tokens, and the encoded tokens of a chunk."""

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
    """How frames become tokens; fixed for the duration of a stream.

    Attributes:
        grid: Rows and columns of the vision tokens of a step.
        pixels: Width and height to which frames are resized.
        frames_per_step: Frames that the vision tower merges into one time step (1, or 2 for the Qwen family). The memory
            counts steps; it calls each step a frame.
        interval: Rotary positions between consecutive steps, on the temporal axis of M-RoPE.
    """

    grid: tuple[int, int]
    pixels: tuple[int, int]
    frames_per_step: int = 1
    interval: float = 1.0


@dataclass(frozen=True)
class Encoded:
    """A chunk of frames as decoder input: vision tokens, and the text that some model families insert between them.

    Attributes:
        embeddings: [1, tokens, hidden].
        step: Step of each token within the chunk, int64 [tokens].
        patch: Patch of each vision token, -1 for text [tokens].
        offsets: Positions relative to the start of the chunk, int64 [axes, tokens].
        deepstack: Features added to the hidden states of the vision tokens after the first layers, one [vision tokens,
            hidden] per layer; empty for most families.
        objects: Probability that each step shows each of `Backbone.object_names` according to the vision tower, float
            [steps, objects]; None for towers that do not recognise objects.
    """

    embeddings: Tensor
    step: Tensor
    patch: Tensor
    offsets: Tensor
    deepstack: tuple[Tensor, ...] = ()
    objects: Tensor | None = None

    @classmethod
    def of_vision(cls, features: Tensor, objects: Tensor | None = None) -> Encoded:
        """Create a chunk of vision tokens [steps, patches, hidden] without text, on one position axis.

        Args:
            features: The vision tokens.
            objects: See the attribute.
        """
        steps, patches = features.shape[:2]
        index = torch.arange(steps * patches, device=features.device)
        return cls(features.flatten(0, 1)[None], index // patches, index % patches, index[None], objects=objects)

    @property
    def vision(self) -> Tensor:
        """Mask of the vision tokens, bool [tokens]."""
        return self.patch >= 0


Encode = Callable[[Sequence[Frames], Seconds, int, Layout], Encoded]
"""Signature of `Backbone.encode`: frames, their times, steps seen before, layout -> tokens."""
