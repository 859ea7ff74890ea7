"""Sources of frame tokens for training the decoder: noisy codes, or features of the trained tower."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hermes.pocket.codes import cell_cover
from hermes.things.codes import code_book
from hermes.things.objects import NAMES
from hermes.worlds.timeline import PLACES

COVERS: Final = 200  # shapes of each place
MISSED: Final = 0.05  # share of frames in which the tower overlooks an object


def _covers() -> Tensor:
    """Return the covers of ellipses of various sizes at each place, float [places, COVERS, 16]."""
    rng = np.random.default_rng(6)
    masks = np.zeros((len(PLACES) * COVERS, 64, 64), np.uint8)
    for index in range(len(masks)):
        row, column = divmod(index // COVERS, 3)
        largest = 0.5 if (row, column) == (1, 1) else 0.28
        axes = rng.uniform(0.1, largest) * rng.uniform(0.7, 1.2, 2)
        centre = np.clip((np.array([column, row]) + 0.5) / 3 + rng.normal(0, 0.04, 2), 0.14, 0.86)
        cv2.ellipse(
            masks[index], (centre * 64).astype(int).tolist(), np.maximum(axes * 64, 3).astype(int).tolist(),
            float(rng.uniform(0, 180)), 0, 360, 1, -1,
        )  # fmt: skip
    return cell_cover(torch.from_numpy(masks).float()).view(len(PLACES), COVERS, -1)


class CodeSource:
    """Synthetic output of a good tower, with noise, ambiguous objects and missed frames."""

    def __init__(self, noise: tuple[float, float] = (0.05, 0.4), doubt: float = 0.35) -> None:
        """Set the range of the noise's standard deviation, and the share of events mixed with another object (`doubt`)."""
        self._book = code_book()
        self._covers = _covers()
        self._noise = noise
        self._doubt = doubt

    def frames(
        self, rng: np.random.Generator, labels: NDArray[np.int64], event: NDArray[np.int64]
    ) -> tuple[Tensor, Tensor]:
        """See `hermes.pocket.packing.FeatureSource`; labels are object, category and place."""
        shape = event.shape
        shown = torch.from_numpy(event >= 0)
        safe = torch.from_numpy(labels).clamp(min=0)
        book, index = self._book, np.maximum(event, 0)
        choice = rng.integers(0, COVERS, (shape[0], event.max() + 2))
        which = torch.from_numpy(np.take_along_axis(choice, index, 1))
        cover = self._covers[safe[..., 2], which] * shown[..., None]
        # In some events, a share of the evidence that varies by frame belongs to another object.
        wrong = rng.integers(0, len(NAMES), (shape[0], event.max() + 2))
        doubt = np.where(rng.random(wrong.shape) < self._doubt, rng.uniform(0, 0.45, wrong.shape), 0)
        share = np.take_along_axis(doubt, index, 1) * rng.uniform(0.5, 1.1, shape)
        mixed = torch.from_numpy(share.astype(np.float32))[..., None]
        other = book.objects[torch.from_numpy(np.take_along_axis(wrong, index, 1))]
        object_code = (1 - mixed) * book.objects[safe[..., 0]] + mixed * other
        seen = cover * torch.from_numpy(rng.random(shape) >= MISSED)[..., None]
        seen = seen * torch.from_numpy(rng.uniform(0.6, 1, shape).astype(np.float32))[..., None]
        part = seen[..., None]
        card = (object_code + book.places[safe[..., 2]])[..., None, :]
        tokens = book.tokens + part * card + (1 - part) * book.empty
        spread = rng.uniform(*self._noise, (shape[0], 1, 1, 1)).astype(np.float32)
        return tokens + torch.from_numpy(rng.standard_normal(tokens.shape, np.float32) * spread), cover


class SeenSource:
    """Frame tokens of the trained tower: each event uses one scene of its object and place."""

    def __init__(self, tokens: Tensor, cover: Tensor, label: Tensor, place: Tensor, doubt: float = 0.15) -> None:
        """Sort scenes by object and place.

        Args:
            tokens: float16 [S, takes, 16, width].
            cover: float16 [S, takes, 16].
            label: int64 [S], index of the object that the tower recognises, -1 for none.
            place: int64 [S], place that the tower recognises.
            doubt: Share of events that are mixed with evidence for another object.
        """
        kind = torch.where(label < 0, len(NAMES) * len(PLACES), label * len(PLACES) + place)
        order = kind.argsort(stable=True)
        self._tokens, self._cover = tokens[order], cover[order]
        self._first = np.searchsorted(kind[order].numpy(), np.arange(len(NAMES) * len(PLACES) + 2))
        self._doubt = doubt
        self._codes = CodeSource()

    def scenes_of(self, label: int, place: int) -> int:
        """Return the number of scenes of an object at a place, or of empty ones for `label` -1."""
        kind = len(NAMES) * len(PLACES) if label < 0 else label * len(PLACES) + place
        return int(self._first[kind + 1] - self._first[kind])

    def frames(
        self, rng: np.random.Generator, labels: NDArray[np.int64], event: NDArray[np.int64]
    ) -> tuple[Tensor, Tensor]:
        """See `hermes.pocket.packing.FeatureSource`. Objects and places without a scene use `CodeSource`."""
        made, made_cover = self._codes.frames(rng, labels, event)
        kind = np.where(event >= 0, labels[..., 0] * len(PLACES) + labels[..., 2], len(NAMES) * len(PLACES))
        start, count = self._first[kind], self._first[kind + 1] - self._first[kind]
        number = rng.random((event.shape[0], event.shape[1] + 2))
        run = np.cumsum(np.diff(event, axis=1, prepend=event[:, :1]) != 0, axis=1)
        scene = start + (np.take_along_axis(number, run, 1) * count).astype(np.int64)
        takes = self._tokens.shape[1]
        index = torch.from_numpy(np.minimum(scene, len(self._tokens) - 1) * takes + rng.integers(0, takes, event.shape))
        missing = torch.from_numpy(count == 0)[..., None]
        tokens = torch.where(missing[..., None], made, self._tokens.flatten(0, 1)[index].float())
        cover = torch.where(missing, made_cover, self._cover.flatten(0, 1)[index].float())
        doubtful = rng.random(number.shape) < self._doubt
        share = np.take_along_axis(np.where(doubtful, rng.uniform(0, 0.4, number.shape), 0), run, 1)
        part = torch.from_numpy((share * (event >= 0)).astype(np.float32))[..., None, None]
        return (1 - part) * tokens + part * made_with_other(made, rng), cover


def made_with_other(tokens: Tensor, rng: np.random.Generator) -> Tensor:
    """Return the tokens of another stream of the batch for each frame."""
    return tokens[torch.from_numpy(rng.permutation(len(tokens)))]
