"""Renders a frame: background, optional card, light, camera and sensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from hermes.cards.backgrounds import SIDE, Floats, Image, skin_tone
from hermes.worlds.scenery import Scenery, arm_outline, direction, rotation, slab_outline
from hermes.worlds.timeline import PLACES

# Ranges of hue in degrees, saturation and value of each card colour, before lighting.
HSV: Final[dict[str, tuple[tuple[float, float], ...]]] = {
    "red": ((-10, 7), (0.68, 1), (0.55, 1)),
    "orange": ((17, 33), (0.75, 1), (0.82, 1)),
    "yellow": ((46, 62), (0.6, 1), (0.82, 1)),
    "green": ((90, 158), (0.45, 1), (0.35, 0.9)),
    "blue": ((203, 242), (0.55, 1), (0.45, 1)),
    "purple": ((266, 308), (0.4, 0.95), (0.4, 0.85)),
    "white": ((0, 360), (0, 0.08), (0.9, 1)),
    "black": ((0, 360), (0, 0.35), (0.02, 0.15)),
}


@dataclass(frozen=True)
class Look:
    """Appearance of a card: outline about its centre (radius 1), position, size, colour, hand and cover."""

    outline: NDArray[np.float64]
    centre: tuple[float, float]
    radius: float
    colour: Floats
    border: Floats | None
    shade: float
    hand: tuple[float, Floats] | None
    cover: NDArray[np.float64] | None


def make_setting(rng: np.random.Generator, background: Image, aspect: float | None = None) -> Scenery:
    """Sample camera and light for a background."""
    side = rng.uniform(0.55, 1) * SIDE
    left, top = rng.uniform(0, SIDE - side, 2)
    if rng.random() < 0.5:
        background = np.ascontiguousarray(background[:, ::-1])
    light = np.full((2, 2), rng.uniform(0.72, 1.12)) * rng.uniform(0.82, 1.18, (2, 2))
    if aspect is None:
        aspect = float(rng.choice([1.0, 4 / 3, 16 / 9]) if rng.random() < 0.7 else rng.uniform(0.75, 1.9))
    return Scenery(
        background=background,
        crop=(float(left), float(top), float(side)),
        light=light.astype(np.float32),
        balance=rng.uniform(0.9, 1.1, 3).astype(np.float32),
        gamma=float(rng.uniform(0.85, 1.2)),
        blur=float(max(0.0, rng.normal(0.4, 0.4))),
        noise=float(rng.uniform(0, 9)),
        shake=float(rng.choice([0.0, 0.006, 0.015])),
        aspect=aspect,
    )


def card_outline(rng: np.random.Generator, shape: str) -> NDArray[np.float64]:
    """Corner points of a shape of radius about 1, before rotation."""
    if shape == "circle":
        turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        points = np.stack([np.cos(turn), np.sin(turn)], 1)
    elif shape == "square":
        half = rng.uniform(0.8, 0.95)
        long = half * rng.uniform(1, 1.3)
        points = np.array([[-half, -long], [half, -long], [half, long], [-half, long]])
    elif shape == "triangle":
        turn = np.array([-np.pi / 2, np.pi / 6, 5 * np.pi / 6])
        points = 1.2 * np.stack([np.cos(turn), np.sin(turn)], 1) * [1, rng.uniform(0.9, 1.15)]
        points += rng.normal(0, 0.06, points.shape)
    elif shape == "star":
        turn = np.arange(10) * np.pi / 5 - np.pi / 2
        length = np.where(np.arange(10) % 2 == 0, 1.25, 1.25 * rng.uniform(0.36, 0.48))
        points = np.stack([np.cos(turn) * length, np.sin(turn) * length], 1)
    else:  # cross
        arm, tip = rng.uniform(0.28, 0.4), 1.1
        quarter = np.array([[arm, -tip], [arm, -arm], [tip, -arm]])
        points = np.concatenate([quarter @ rotation(a).T for a in np.arange(4) * np.pi / 2])
    return np.asarray(points)


def make_look(
    rng: np.random.Generator, colour: str, shape: str, place: str, aspect: float = 1.0, big: float = 0.0
) -> Look:
    """Sample the appearance of a card.

    Args:
        rng: Source of randomness.
        colour: One of `COLOURS`.
        shape: One of `SHAPES`.
        place: One of `PLACES`.
        aspect: Width over height of the scene before it is squeezed to a square.
        big: 0 to 1; increases the minimum size (training starts with large cards).
    """
    points = card_outline(rng, shape)
    angle = rng.normal(0, 0.25) if rng.random() < 0.75 else rng.uniform(-np.pi, np.pi)
    if shape == "square":  # limit rotation: squares on a corner are rare
        angle = float(np.clip(angle, -0.5, 0.5))
    tilt = np.eye(2) + rng.normal(0, 0.06, (2, 2))
    turn = rotation(angle)
    points = points @ (tilt @ turn).T
    points = points / (1 + points @ rng.normal(0, 0.06, (2, 1)))  # a little perspective
    column, row = PLACES.index(place) % 3, PLACES.index(place) // 3
    low = 0.14 + 0.06 * big
    radius = rng.uniform(low, 0.24)
    if place == "centre" and rng.random() < 0.25:
        radius = rng.uniform(0.24, 0.38)
    squeeze = np.sqrt(aspect)
    points = points * [1 / squeeze, squeeze]
    jitter = np.clip(rng.normal(0, 0.03, 2), -0.065, 0.065)
    # Most of a card is in view, its centre always in its own ninth of the frame.
    inset = np.minimum(0.8 * radius * np.abs(points).max(0), 0.29)
    x, y = np.clip((np.array([column, row]) + 0.5) / 3 + jitter, inset, 1 - inset)
    hue, saturation, value = (rng.uniform(*pair) for pair in HSV[colour])
    rgb = cv2.cvtColor(np.array([[[hue % 360, saturation, value]]], np.float32), cv2.COLOR_HSV2RGB)[0, 0] * 255
    border = None
    if rng.random() < 0.2:
        border = np.full(3, rng.choice([35.0, 215.0]) + rng.uniform(-25, 25), np.float32)
    hand = (float(rng.normal(np.pi / 2, 0.7)), skin_tone(rng)) if rng.random() < 0.35 else None
    cover = None
    if rng.random() < 0.15:
        edge = rng.uniform(0, 2 * np.pi)
        cover = np.array([np.cos(edge), np.sin(edge), rng.uniform(0.55, 0.9), *rng.uniform(40, 200, 3)])
    return Look(
        outline=points,
        centre=(float(x), float(y)),
        radius=float(radius),
        colour=np.asarray(rgb, np.float32),
        border=border,
        shade=float(rng.uniform(-0.15, 0.15)),
        hand=hand,
        cover=cover,
    )


def _fill(image: Image, points: NDArray[np.float64], colour: NDArray[np.floating]) -> None:
    """Draw a filled polygon, corners in unit coordinates, anti-aliased."""
    height, width = image.shape[:2]
    fixed = np.round(points * [width * 16, height * 16]).astype(np.int32)
    cv2.fillPoly(image, [fixed], [float(c) for c in np.ravel(colour)], cv2.LINE_AA, 4)


def draw(
    rng: np.random.Generator, setting: Scenery, look: Look | None, height: int = 128, width: int = 128
) -> tuple[Image, Image]:
    """Draw one frame.

    Args:
        rng: Source of randomness for shake and noise.
        setting: Background, light and camera.
        look: Appearance of the card, or None.
        height: Height of the frame, in pixels.
        width: Width of the frame, in pixels.

    Returns:
        The frame, uint8 [height, width, 3] RGB, and a mask of the visible part of the card, uint8 [height, width], 0 or 255.
    """
    left, top, side = setting.crop
    shift = rng.normal(0, 1, 2) * setting.shake
    scale = side / np.array([width, height])
    matrix = np.array([[scale[0], 0, left + shift[0] * side], [0, scale[1], top + shift[1] * side]], np.float64)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    frame: Image = np.asarray(
        cv2.warpAffine(setting.background, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT),
        np.uint8,
    )
    mask = np.zeros((height, width), np.uint8)
    if look is not None:
        _draw_card(rng, frame, mask, look, shift, setting.shake)
    light = cv2.resize(setting.light, (width, height), interpolation=cv2.INTER_LINEAR)
    gain = (light[..., None] * (setting.balance * (1 + rng.normal(0, 0.015)))).astype(np.float32)
    lit = frame.astype(np.float32) * gain
    if setting.noise:
        grain = rng.standard_normal((height, width, 1), np.float32) * setting.noise
        lit += grain
    levels = 255 * np.linspace(0, 1, 256, dtype=np.float32) ** setting.gamma
    frame = np.asarray(cv2.LUT(np.clip(lit, 0, 255).astype(np.uint8), levels.astype(np.uint8)), np.uint8)
    spread = setting.blur * width / 128
    if spread > 0.2:
        frame = np.asarray(cv2.GaussianBlur(frame, (0, 0), spread), np.uint8)
    return frame, mask


def _draw_card(
    rng: np.random.Generator, frame: Image, mask: Image, look: Look, shift: NDArray[np.float64], shake: float
) -> None:
    turn = rng.normal(0, 3 * shake)
    spin = rotation(turn)
    centre = np.array(look.centre) - shift + rng.normal(0, shake / 2, 2)
    points = centre + look.radius * look.outline @ spin.T
    if look.border is not None:
        _fill(frame, centre + 1.14 * look.radius * look.outline @ spin.T, look.border)
    _fill(frame, points, look.colour)
    _fill(mask, points, np.array([255.0]))
    if look.shade:  # one half of the card is a little darker
        half = np.zeros(frame.shape[:2], np.uint8)
        _fill(half, np.array([[centre[0], -1], [3, -1], [3, 3], [centre[0], 3]]), np.array([255.0]))
        inside = (half > 0) & (mask > 0)
        frame[inside] = np.clip(frame[inside].astype(np.float32) * (1 + look.shade), 0, 255).astype(np.uint8)
    if look.hand is not None:
        angle, skin = look.hand
        away = direction(angle)
        across = np.array([-away[1], away[0]]) * look.radius
        arm = arm_outline(centre + away * look.radius * 0.92, centre + away * 2.5, across)
        _fill(frame, arm, skin)
        _fill(mask, arm, np.array([0.0]))
    if look.cover is not None:
        away, reach = look.cover[:2], look.cover[2] * look.radius
        slab = slab_outline(centre + away * reach, away)
        _fill(frame, slab, look.cover[3:])
        _fill(mask, slab, np.array([0.0]))
