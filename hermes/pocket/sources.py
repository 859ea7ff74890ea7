"""Synthetic source of frame tokens for training the decoder."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hermes.cards.timeline import PLACES
from hermes.pocket.codes import cell_cover, code_book


def _disc_covers(count: int = 200) -> Tensor:
    """Return the covers of discs of various sizes at each place, [places, count, TOKENS]."""
    rng = np.random.default_rng(5)
    masks = np.zeros((len(PLACES) * count, 64, 64), np.uint8)
    for index in range(len(masks)):
        row, column = divmod(index // count, 3)
        radius = rng.uniform(0.12, 0.22)
        centre = np.clip((np.array([column, row]) + 0.5) / 3 + rng.normal(0, 0.03, 2), 0.8 * radius, 1 - 0.8 * radius)
        cv2.circle(masks[index], (centre * 64).astype(int).tolist(), int(radius * 64), 1, -1)
    return cell_cover(torch.from_numpy(masks).float()).view(len(PLACES), count, -1)


class SyntheticSource:
    """Codes plus noise: the output of an ideal tower, perturbed."""

    def __init__(self, noise: tuple[float, float] = (0.1, 0.5)) -> None:
        self._book = code_book()
        self._covers = _disc_covers()
        self._noise = noise

    def frames(
        self, rng: np.random.Generator, labels: NDArray[np.int64], event: NDArray[np.int64]
    ) -> tuple[Tensor, Tensor]:
        """See `hermes.pocket.packing.FeatureSource`."""
        shown = torch.from_numpy(event >= 0)
        safe = torch.from_numpy(labels).clamp(min=0)
        choice = rng.integers(0, self._covers.shape[1], (event.shape[0], event.max() + 2))
        which = torch.from_numpy(np.take_along_axis(choice, np.maximum(event, 0), 1))
        cover = self._covers[safe[..., 2], which] * shown[..., None]
        tokens = self._book.tokens(safe[..., 0], safe[..., 1], safe[..., 2], cover)
        spread = rng.uniform(*self._noise, (event.shape[0], 1, 1, 1)).astype(np.float32)
        noise = rng.standard_normal(tokens.shape, np.float32) * spread
        return tokens + torch.from_numpy(noise), cover
