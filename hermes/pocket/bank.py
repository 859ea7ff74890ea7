"""A bank of frames encoded by the trained vision tower, from which training streams are assembled cheaply."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import LlavaOnevisionForConditionalGeneration

from hermes.cards.render import draw, make_look, make_setting
from hermes.cards.timeline import COLOURS, PLACES, SHAPES
from hermes.pocket.codes import cell_cover
from hermes.pocket.train_vision import BACKGROUNDS, encode, make_backgrounds, to_pixel_values

TAKES: Final = 3  # frames per scene, each with different shake and noise
CLASSES: Final = len(COLOURS) * len(SHAPES) * len(PLACES)


@dataclass(frozen=True)
class Bank:
    """S scenes of K frames each, sorted by class.

    Attributes:
        tokens: float16 [S, K, tokens, width].
        cover: float16 [S, K, tokens], fraction of each token's cell that the card covers.
        first: int64 [CLASSES + 2], index of the first scene of each class; scenes of the last class show no card.
    """

    tokens: Tensor
    cover: Tensor
    first: NDArray[np.int64]


@torch.inference_mode()
def make_bank(
    model: LlavaOnevisionForConditionalGeneration, seed: int, each: int, empty: int, takes: int = TAKES
) -> Bank:
    """Render and encode scenes.

    Args:
        model: Model with a trained tower and projector.
        seed: Random seed of the scenes.
        each: Number of scenes per class.
        empty: Number of scenes without a card.
        takes: Number of frames per scene.
    """
    rng = np.random.default_rng([seed, 3])
    kinds = np.concatenate([np.repeat(np.arange(CLASSES), each), np.full(empty, CLASSES)])
    backgrounds = make_backgrounds(seed + 1, min(BACKGROUNDS, len(kinds) // 4))
    tokens, covers = [], []
    for chunk in np.array_split(kinds, len(kinds) // 30 + 1):
        pixels = np.empty((len(chunk), takes, 128, 128, 3), np.uint8)
        mask = np.empty((len(chunk), takes, 128, 128), np.uint8)
        for index, kind in enumerate(chunk.tolist()):
            setting = make_setting(rng, backgrounds[int(rng.integers(len(backgrounds)))])
            look = None
            if kind < CLASSES:
                rest, place = divmod(kind, len(PLACES))
                colour, shape = divmod(rest, len(SHAPES))
                look = make_look(rng, COLOURS[colour], SHAPES[shape], PLACES[place], setting.aspect)
            for take in range(takes):
                pixels[index, take], mask[index, take] = draw(rng, setting, look)
        found, _ = encode(model, to_pixel_values(pixels.reshape(-1, 128, 128, 3)))
        cover = cell_cover(torch.from_numpy(mask.reshape(-1, 128, 128)).float() / 255)
        tokens.append(found.unflatten(0, (-1, takes)).half())
        covers.append(cover.unflatten(0, (-1, takes)).half())
    first = np.searchsorted(kinds, np.arange(CLASSES + 2))
    return Bank(torch.cat(tokens), torch.cat(covers), first)


def keep_bank(path: Path, bank: Bank) -> None:
    """Write a bank."""
    torch.save({"tokens": bank.tokens, "cover": bank.cover, "first": bank.first}, path)


def open_bank(path: Path) -> Bank:
    """Read a bank."""
    return Bank(**torch.load(path, weights_only=False))


class BankSource:
    """Frame tokens of the trained tower: each event uses one scene of its class, each frame one take of that scene."""

    def __init__(self, bank: Bank) -> None:
        self._bank = bank

    def frames(
        self, rng: np.random.Generator, labels: NDArray[np.int64], event: NDArray[np.int64]
    ) -> tuple[Tensor, Tensor]:
        """See `hermes.pocket.packing.FeatureSource`."""
        place = labels[..., 2] + len(PLACES) * (labels[..., 1] + len(SHAPES) * labels[..., 0])
        kind = np.where(event >= 0, place, CLASSES)
        start, count = self._bank.first[kind], self._bank.first[kind + 1] - self._bank.first[kind]
        # One random number per event selects its scene; each pause also gets its own scene.
        number = rng.random((event.shape[0], event.shape[1] + 2))
        run = np.cumsum(np.diff(event, axis=1, prepend=event[:, :1]) != 0, axis=1)
        scene = start + (np.take_along_axis(number, run, 1) * count).astype(np.int64)
        takes = self._bank.tokens.shape[1]
        index = torch.from_numpy(scene * takes + rng.integers(0, takes, event.shape))
        return self._bank.tokens.flatten(0, 1)[index].float(), self._bank.cover.flatten(0, 1)[index].float()
