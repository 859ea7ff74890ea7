"""Renders a frame: background, optional object, light, camera and sensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from hermes.cards.backgrounds import make_background, skin_tone
from hermes.worlds.scenery import Floats, Scenery, arm_outline, direction, rotation, slab_outline
from hermes.worlds.timeline import PLACES

Pixels = NDArray[np.uint8]

PROCEDURAL: Final = 0.3  # share of procedural backgrounds


@dataclass(frozen=True)
class ObjectLook:
    """Appearance of an object.

    Attributes:
        pixels: Its cut-out, uint8 [H, W, 4].
        centre: Centre of the object, in frame sides.
        size: Longer side of the cut-out, in frame heights.
        matrix: Rotation, mirroring and tilt [2, 2].
        gain: Gain of red, green and blue.
        hand: Direction and colour of a hand that holds the object, or None.
        cover: Direction, distance and colour of something in front of the object, or None.
    """

    pixels: Pixels
    centre: tuple[float, float]
    size: float
    matrix: NDArray[np.float64]
    gain: Floats
    hand: tuple[float, Floats] | None
    cover: tuple[float, float, Floats] | None


def make_setting(
    rng: np.random.Generator,
    photographs: Sequence[Pixels],
    aspect: float | None = None,
    drawn: float | None = None,
    zoom: float = 2.0,
) -> Scenery:
    """Sample a background, light and camera.

    Args:
        rng: Source of randomness.
        photographs: Backgrounds, uint8 [H, W, 3] RGB; if empty, backgrounds are procedural.
        aspect: Width over height of the scene before it is squeezed to a square; None: random.
        drawn: Share of procedural backgrounds; None: `PROCEDURAL`.
        zoom: Maximum magnification of a photograph.
    """
    if rng.random() < (PROCEDURAL if drawn is None else drawn) or not photographs:
        background: Pixels = make_background(rng)
    else:
        background = photographs[int(rng.integers(len(photographs)))]
    height, width = background.shape[:2]
    side = min(height, width) * rng.uniform(1 / zoom, 1)
    left, top = rng.uniform(0, width - side), rng.uniform(0, height - side)
    if rng.random() < 0.5:
        background = np.ascontiguousarray(background[:, ::-1])
    if aspect is None:
        aspect = float(rng.choice([1.0, 4 / 3, 16 / 9]))
    light = np.full((2, 2), rng.uniform(0.7, 1.15)) * rng.uniform(0.85, 1.15, (2, 2))
    return Scenery(
        background=background,
        crop=(float(left), float(top), float(side)),
        light=light.astype(np.float32),
        balance=rng.uniform(0.9, 1.1, 3).astype(np.float32),
        gamma=float(rng.uniform(0.8, 1.25)),
        blur=float(max(0.0, rng.normal(0.4, 0.6))),
        noise=float(rng.uniform(0, 9)),
        shake=float(rng.choice([0.0, 0.006, 0.015])),
        aspect=aspect,
    )


def make_look(rng: np.random.Generator, pixels: Pixels, place: str, aspect: float = 1.0) -> ObjectLook:
    """Sample the appearance of a cut-out at a place."""
    row, column = divmod(PLACES.index(place), 3)
    low, high = (0.4, 1.1) if place == "centre" else (0.38, 0.64)
    size = float(rng.uniform(low, high))
    angle = rng.normal(0, 0.2) if rng.random() < 0.85 else rng.uniform(-np.pi, np.pi)
    turn = rotation(angle)
    matrix = turn @ (np.eye(2) + rng.normal(0, 0.07, (2, 2)))
    if rng.random() < 0.5:
        matrix = matrix @ np.diag([-1.0, 1.0])
    matrix = np.diag([1 / np.sqrt(aspect), np.sqrt(aspect)]) @ matrix
    jitter = np.clip(rng.normal(0, 0.04, 2), -0.08, 0.08)
    inset = min(0.36 * size, 0.29)  # most of the object is in view, its centre in the named ninth
    x, y = np.clip((np.array([column, row]) + 0.5) / 3 + jitter, inset, 1 - inset)
    hand = (float(rng.normal(np.pi / 2, 0.7)), skin_tone(rng)) if rng.random() < 0.3 else None
    cover = None
    if rng.random() < 0.1:
        cover = (
            float(rng.uniform(0, 2 * np.pi)),
            float(rng.uniform(0.5, 0.9)),
            rng.uniform(40, 200, 3).astype(np.float32),
        )
    return ObjectLook(
        pixels=pixels, centre=(float(x), float(y)), size=size, matrix=matrix,
        gain=(rng.uniform(0.75, 1.1) * rng.uniform(0.93, 1.07, 3)).astype(np.float32), hand=hand, cover=cover,
    )  # fmt: skip


def draw(
    rng: np.random.Generator,
    setting: Scenery,
    look: ObjectLook | None,
    height: int = 224,
    width: int = 224,
    shift: tuple[float, float] = (0.0, 0.0),
) -> tuple[Pixels, Pixels]:
    """Draw one frame.

    Args:
        rng: Source of randomness for shake and noise.
        setting: Background, light and camera.
        look: Appearance of the object, or None.
        height: Height of the frame, in pixels.
        width: Width of the frame, in pixels.
        shift: Displacement of the object, in frame sides.

    Returns:
        The frame, uint8 [height, width, 3] RGB, and a mask of the object's visible part, uint8 [height, width], 0 to 255.
    """
    left, top, side = setting.crop
    shake = rng.normal(0, 1, 2) * setting.shake
    scale = side / np.array([width, height])
    matrix = np.array([[scale[0], 0, left + shake[0] * side], [0, scale[1], top + shake[1] * side]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    frame = cv2.warpAffine(
        setting.background, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT
    ).astype(np.float32)
    mask = np.zeros((height, width), np.float32)
    if look is not None:
        _put(rng, frame, mask, look, np.asarray(shift) - shake, setting.shake)
    light = cv2.resize(setting.light, (width, height), interpolation=cv2.INTER_LINEAR)
    frame *= light[..., None] * (setting.balance * (1 + rng.normal(0, 0.015)))
    spread = setting.blur * width / 224
    if spread > 0.2:
        frame = np.asarray(cv2.GaussianBlur(frame, (0, 0), spread), np.float32)
    if setting.noise:
        frame += rng.standard_normal((height, width, 1), np.float32) * setting.noise
    levels = 255 * np.linspace(0, 1, 256, dtype=np.float32) ** setting.gamma
    picture = cv2.LUT(np.clip(frame, 0, 255).astype(np.uint8), levels.astype(np.uint8))
    return np.asarray(picture, np.uint8), mask.astype(np.uint8)


def _put(
    rng: np.random.Generator, frame: Floats, mask: Floats, look: ObjectLook, shift: NDArray[np.float64], shake: float
) -> None:
    """Draw the object onto the frame, then its hand and cover."""
    height, width = frame.shape[:2]
    turn = rng.normal(0, 3 * shake)
    spin = rotation(turn)
    rows, columns = look.pixels.shape[:2]
    linear = spin @ look.matrix * (look.size * height / max(rows, columns))
    if width != height:
        linear = np.diag([width / height, 1.0]) @ linear
    centre = (np.array(look.centre) + shift + rng.normal(0, shake / 2, 2)) * [width, height]
    offset = centre - linear @ np.array([columns / 2, rows / 2])
    laid = cv2.warpAffine(look.pixels, np.column_stack([linear, offset]), (width, height), flags=cv2.INTER_AREA)
    alpha = laid[..., 3:].astype(np.float32) / 255
    frame += (laid[..., :3] * look.gain - frame) * alpha
    mask[:] = alpha[..., 0] * 255
    reach = look.size * 0.42
    if look.hand is not None:
        angle, skin = look.hand
        away = direction(angle)
        across = np.array([-away[1], away[0]]) * min(reach, 0.25)
        near, far = centre / [width, height] + away * reach * 0.95, centre / [width, height] + away * 2.5
        _fill(frame, mask, arm_outline(near, far, across), skin)
    if look.cover is not None:
        angle, distance, colour = look.cover
        away = direction(angle)
        _fill(frame, mask, slab_outline(centre / [width, height] + away * distance * reach, away), colour)


def _fill(frame: Floats, mask: Floats, points: NDArray[np.float64], colour: Floats) -> None:
    height, width = frame.shape[:2]
    fixed = np.round(points * [width * 16, height * 16]).astype(np.int32)
    cv2.fillPoly(frame, [fixed], [float(c) for c in np.ravel(colour)], cv2.LINE_8, 4)
    cv2.fillPoly(mask, [fixed], 0.0, cv2.LINE_8, 4)
