"""Backgrounds from photographs: crops of the bundled training photographs with varied colours, combined in pieces.

Training uses `TRAINING_PHOTOGRAPHS` of `hermes.assets`; `HELD_OUT_PHOTOGRAPHS` are for evaluation only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import cv2
import numpy as np

from hermes.cards.backgrounds import SIDE, Floats, Image, leaf_mask
from hermes.errors import HermesError

SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".webp")


def read_photographs(folder: Path, square: int | None = None) -> list[Image]:
    """Read the photographs of a folder, in the order of their names.

    Args:
        folder: Folder of the photographs.
        square: Side in pixels to scale each photograph to; None keeps the sizes.

    Returns:
        Images uint8 [H, W, 3], RGB.

    Raises:
        HermesError: There are no photographs, or one cannot be read.
    """
    files = sorted(p for p in folder.glob("*") if p.suffix.lower() in SUFFIXES)
    if not files:
        raise HermesError(f"There are no photographs in {folder}.")
    pictures = []
    for file in files:
        picture = cv2.imread(str(file), cv2.IMREAD_COLOR)
        if picture is None:
            raise HermesError(f"{file} is not a readable image.")
        if square is not None:
            picture = cv2.resize(picture, (square, square), interpolation=cv2.INTER_AREA)
        pictures.append(np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8))
    return pictures


def _crop(rng: np.random.Generator, photograph: Image, smallest: float = 0.3) -> Floats:
    """Return a random square crop, rotated, mirrored and recoloured; float32 [SIDE, SIDE, 3], 0 to 255."""
    height, width = photograph.shape[:2]
    side = int(min(height, width) * rng.uniform(smallest, 1))
    top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
    part = cv2.resize(photograph[top : top + side, left : left + side], (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.3:
        part = np.rot90(part, int(rng.integers(1, 4)))
    if rng.random() < 0.5:
        part = part[:, ::-1]
    hsv = cv2.cvtColor(np.ascontiguousarray(part, np.float32) / 255, cv2.COLOR_RGB2HSV)
    if rng.random() < 0.5:
        hsv[..., 0] = (hsv[..., 0] + rng.uniform(0, 360)) % 360
    hsv[..., 1] = np.clip(hsv[..., 1] * rng.uniform(0.2, 1.5), 0, 1)
    hsv[..., 2] = np.clip(hsv[..., 2] * rng.uniform(0.6, 1.3), 0, 1) ** rng.uniform(0.7, 1.4)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) * 255, np.float32)


def photograph_background(rng: np.random.Generator, photographs: list[Image]) -> Image:
    """Draw a background of `SIDE` x `SIDE` pixels, RGB.

    Half of them are crops of one photograph; on the others, irregular pieces of more photographs are pasted, so that few
    photographs give many edges, colours and objects that are not cards.
    """

    def one(smallest: float = 0.3) -> Floats:
        return _crop(rng, photographs[int(rng.integers(len(photographs)))], smallest)

    image = one()
    if rng.random() < 0.5:
        sheets = [one(0.15) for _ in range(int(rng.integers(2, 5)))]
        for reach in np.sort(70 * rng.power(1.2, int(rng.integers(2, 25))))[::-1]:
            share = leaf_mask(rng, float(reach) + 4)[..., None]
            sheet = np.roll(sheets[int(rng.integers(len(sheets)))], tuple(rng.integers(0, SIDE, 2)), (0, 1))
            image = image + (sheet - image) * share
    if rng.random() < 0.4:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 2.5)), np.float32)
    return np.clip(image, 0, 255).astype(np.uint8)
