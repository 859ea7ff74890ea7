"""Procedural backgrounds: textures, rooms, landscapes, and clutter with the statistics of photographs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from hermes.worlds.scenery import Floats, Image

SIDE: Final = 192  # side in pixels; frames are cropped from this and scaled


def _noise(rng: np.random.Generator, cells: int, octaves: int = 4) -> Floats:
    """Return smooth noise between 0 and 1."""
    total = np.zeros((SIDE, SIDE), np.float32)
    for octave in range(octaves):
        grid = rng.random((cells * 2**octave + 1,) * 2, dtype=np.float32)
        total += cv2.resize(grid, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) * 0.5**octave
    low, high = total.min(), total.max()
    return np.asarray((total - low) / (high - low + 1e-6), np.float32)


def _tone(rng: np.random.Generator, muted: float = 0.35, vivid: float = 0.12) -> Floats:
    """Return a muted colour, RGB 0 to 255, or with probability `vivid` a strong one, as of walls and clothes."""
    saturation = rng.uniform(0, 0.9 if rng.random() < vivid else muted)
    hsv = np.array([[[rng.uniform(0, 360), saturation, rng.uniform(0.12, 0.95)]]], np.float32)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0] * 255, np.float32)


def _mix(a: Floats, b: Floats, share: Floats) -> Floats:
    return np.asarray(a + (b - a) * share[..., None], np.float32)


def _plain(rng: np.random.Generator) -> Floats:
    base = _tone(rng)
    ramp = np.linspace(0, 1, SIDE, dtype=np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    share = np.cos(angle) * ramp[None, :] + np.sin(angle) * ramp[:, None]
    return _mix(base, base * rng.uniform(0.5, 1.3), np.asarray((share - share.min()) / np.ptp(share), np.float32))


def _cloudy(rng: np.random.Generator) -> Floats:
    return _mix(_tone(rng), _tone(rng), _noise(rng, int(rng.integers(2, 9))))


def _cloth(rng: np.random.Generator) -> Floats:
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    angle, period = rng.uniform(0, np.pi), rng.uniform(4, 40)
    wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / period + 3 * _noise(rng, 3))
    if rng.random() < 0.5:
        wave = wave * np.sin((y * np.cos(angle) - x * np.sin(angle)) * 2 * np.pi / period)
    share = np.clip(wave * rng.uniform(0.5, 3) * 0.5 + 0.5, 0, 1)
    return _mix(_tone(rng), _tone(rng), np.asarray(share, np.float32))


def _wood(rng: np.random.Generator) -> Floats:
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    if rng.random() < 0.5:
        x, y = y, x
    grain = np.sin(y / rng.uniform(2, 8) + 6 * _noise(rng, 2, 3) + x / 90) * 0.5 + 0.5
    brown = np.array([rng.uniform(90, 210), rng.uniform(60, 150), rng.uniform(30, 100)], np.float32)
    return _mix(brown, brown * rng.uniform(0.45, 0.8), np.asarray(grain, np.float32))


def _room(rng: np.random.Generator) -> Floats:
    image = _plain(rng)
    floor = int(SIDE * rng.uniform(0.5, 0.95))
    image[floor:] = _mix(_tone(rng), _tone(rng), _noise(rng, 4))[floor:]
    for _ in range(int(rng.integers(1, 6))):  # furniture, windows, door frames
        corner, extent = rng.integers(-20, SIDE, 2), rng.integers(20, 110, 2)
        tone = _tone(rng, 0.3, 0)
        cv2.rectangle(image, corner.tolist(), (corner + extent).tolist(), tone.tolist(), -1)
        if rng.random() < 0.5:
            cv2.rectangle(image, corner.tolist(), (corner + extent).tolist(), (tone * 0.6).tolist(), 2)
    return np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(1.5, 5)), np.float32)


def _landscape(rng: np.random.Generator) -> Floats:
    sky = np.array([rng.uniform(120, 220), rng.uniform(160, 225), rng.uniform(190, 250)], np.float32)
    image = _mix(sky, np.full(3, 235, np.float32), _noise(rng, 3))
    for _ in range(int(rng.integers(1, 4))):
        line = SIDE * rng.uniform(0.25, 0.9) + 50 * (_noise(rng, 3)[0] - 0.5)
        ground = np.array([rng.uniform(30, 170), rng.uniform(60, 170), rng.uniform(20, 120)], np.float32)
        below = np.arange(SIDE)[:, None] > line[None, :]
        image[below] = _mix(ground, ground * 0.5, _noise(rng, 12))[below]
    return np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 3)), np.float32)


def _clutter(rng: np.random.Generator) -> Floats:
    image = _cloudy(rng)
    for _ in range(int(rng.integers(6, 40))):
        centre, axes = rng.integers(0, SIDE, 2), rng.integers(4, 45, 2)
        angle = float(rng.uniform(0, 180))
        cv2.ellipse(image, centre.tolist(), axes.tolist(), angle, 0, 360, _tone(rng, 0.4, 0).tolist(), -1)
    return np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(3, 9)), np.float32)


def _person(rng: np.random.Generator) -> Floats:
    image = (_room if rng.random() < 0.6 else _cloudy)(rng)
    middle = np.array([SIDE * rng.uniform(0.3, 0.7), SIDE * rng.uniform(0.3, 0.55)])
    head = rng.uniform(18, 38)
    skin, hair, shirt = skin_tone(rng), _tone(rng, 0.3) * 0.4, _tone(rng, 0.6)
    body = (middle + np.array([0, head * 2.6])).astype(int)
    cv2.ellipse(image, body.tolist(), (int(head * 2), int(head * 1.6)), 0, 0, 360, shirt.tolist(), -1)
    cv2.circle(image, (middle - [0, head * 0.25]).astype(int).tolist(), int(head * 1.1), hair.tolist(), -1)
    cv2.ellipse(image, middle.astype(int).tolist(), (int(head * 0.8), int(head)), 0, 0, 360, skin.tolist(), -1)
    return np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(1, 4)), np.float32)


def _blob(rng: np.random.Generator, reach: float) -> NDArray[np.int32]:
    """Corners of an irregular outline, in sixteenths of a pixel."""
    turn = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(5, 16))))
    length = reach * rng.uniform(0.45, 1, len(turn)) * np.array([[1.0], [rng.uniform(0.3, 1)]])
    spin = rng.uniform(0, np.pi)
    points = np.array([[np.cos(spin), -np.sin(spin)], [np.sin(spin), np.cos(spin)]]) @ (
        length * np.stack([np.cos(turn), np.sin(turn)])
    )
    return np.asarray(np.round((points.T + rng.uniform(0, SIDE, 2)) * 16), np.int32)


def leaf_mask(rng: np.random.Generator, reach: float) -> Floats:
    """Mask of an irregular object: float32 [SIDE, SIDE], 0 to 1."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    cv2.fillPoly(mask, [_blob(rng, reach)], [255.0], cv2.LINE_AA, 4)
    return np.asarray(mask / 255, np.float32)


def _dead_leaves(rng: np.random.Generator) -> Floats:
    """Overlapping objects of all sizes with individual shading (dead leaves model): the statistics of photographs."""
    image, main, common = _cloudy(rng), _tone(rng), rng.uniform(0, 0.7)
    sheets = [_noise(rng, int(rng.integers(2, 24))) for _ in range(4)]
    for reach in np.sort(90 * rng.power(1.2, int(rng.integers(30, 110))))[::-1]:
        share = leaf_mask(rng, float(reach) + 3)
        tone = np.asarray(common * main * rng.uniform(0.4, 1.4) + (1 - common) * _tone(rng, 0.4, 0.03), np.float32)
        paint = _mix(tone, tone * rng.uniform(0.3, 1.2), sheets[int(rng.integers(len(sheets)))])
        image = _mix(image, paint, share)
    return np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 2.5)), np.float32)


def _spectrum(rng: np.random.Generator) -> Floats:
    """Coloured noise whose power decreases with frequency as in photographs."""
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None]) + 1 / SIDE
    wave = np.fft.rfft2(rng.standard_normal((3, SIDE, SIDE))) / frequency ** rng.uniform(1.0, 2.0)
    layers = np.fft.irfft2(wave, (SIDE, SIDE))
    layers /= layers.std((1, 2), keepdims=True) + 1e-6
    share = rng.uniform(0.5, 1)  # share common to the three colour channels
    mixed = share * layers[:1] + (1 - share) * layers
    return np.asarray(_tone(rng) + mixed.transpose(1, 2, 0) * rng.uniform(10, 45), np.float32)


def _shelf(rng: np.random.Generator) -> Floats:
    """Rows of upright objects: books, bottles, fences, blinds."""
    image = _cloudy(rng)
    for row in range(int(rng.integers(1, 4))):
        top, left, base = int(row * SIDE / 3 + rng.integers(-30, 30)), int(rng.integers(-10, 10)), _tone(rng)
        while left < SIDE:
            width, height = int(rng.integers(3, 26)), int(rng.integers(25, 75))
            tone = base * rng.uniform(0.5, 1.3) if rng.random() < 0.5 else _tone(rng, 0.4, 0.05)
            cv2.rectangle(image, (left, top + 75 - height), (left + width, top + 75), tone.tolist(), -1)
            left += width + int(rng.integers(0, 8))
    return np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 2.5)), np.float32)


def _scribble(rng: np.random.Generator) -> Floats:
    """Lines, wires, writing."""
    image = (_plain if rng.random() < 0.5 else _cloudy)(rng)
    for _ in range(int(rng.integers(4, 40))):
        points = np.cumsum(rng.normal(0, rng.uniform(4, 30), (int(rng.integers(2, 9)), 2)), 0) + rng.uniform(0, SIDE, 2)
        tone = _tone(rng, 0.4, 0.05)
        cv2.polylines(
            image,
            [points.astype(np.int32)],
            bool(rng.random() < 0.2),
            tone.tolist(),
            int(rng.integers(1, 5)),
            cv2.LINE_AA,
        )
    return np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 2)), np.float32)


def _foliage(rng: np.random.Generator) -> Floats:
    image = _mix(np.array([30, 60, 20], np.float32), np.array([120, 150, 70], np.float32), _noise(rng, 10))
    for _ in range(150):
        centre, axes = rng.integers(0, SIDE, 2), rng.integers(2, 12, 2)
        leaf = np.array([rng.uniform(30, 150), rng.uniform(70, 170), rng.uniform(20, 90)])
        cv2.ellipse(image, centre.tolist(), axes.tolist(), float(rng.uniform(0, 180)), 0, 360, leaf.tolist(), -1)
    return np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 2)), np.float32)


def _bricks(rng: np.random.Generator) -> Floats:
    image = np.tile(_tone(rng, 0.2), (SIDE, SIDE, 1)).astype(np.float32)
    height, width, base = int(rng.integers(10, 26)), int(rng.integers(24, 60)), _tone(rng, 0.5)
    for row in range(SIDE // height + 1):
        for column in range(-1, SIDE // width + 1):
            left = column * width + (row % 2) * width // 2
            tone = base * rng.uniform(0.75, 1.15)
            cv2.rectangle(image, (left, row * height), (left + width - 3, (row + 1) * height - 3), tone.tolist(), -1)
    return np.asarray(image + 20 * (_noise(rng, 16) - 0.5)[..., None], np.float32)


def skin_tone(rng: np.random.Generator) -> Floats:
    """A skin colour, RGB 0 to 255, from light to dark."""
    light, dark = np.array([240, 205, 180], np.float32), np.array([85, 55, 40], np.float32)
    return np.asarray(light + (dark - light) * rng.random(), np.float32)


Families = tuple[Callable[[np.random.Generator], Floats], ...]
CALM: Final[Families] = (_plain, _cloudy, _cloth, _wood, _room, _room, _landscape, _clutter, _person)
PHOTOGRAPHIC: Final[Families] = (_person, _dead_leaves, _dead_leaves, _dead_leaves, _spectrum, _shelf, _scribble)
TRAINED: Final[Families] = CALM + PHOTOGRAPHIC
HELD_OUT: Final[Families] = (_foliage, _bricks)  # not used in training


def make_background(rng: np.random.Generator, families: Families = CALM) -> Image:
    """Draw a background of `SIDE` x `SIDE` pixels, RGB, from a random family."""
    return np.clip(families[int(rng.integers(len(families)))](rng), 0, 255).astype(np.uint8)
