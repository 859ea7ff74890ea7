"""Renderer independent of the training generator: paper cut-outs over a moving street at dusk, drawn with Pillow.

It shares only the names of colours, shapes and places with the pocket model's training data. Outlines are rounded, cards
have rims and shadows or are rings, they drift and rotate, and the background moves. Its clips test the model outside its
training distribution.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from hermes.cards.timeline import PLACES, Event, shown_at

PAINT: Final[dict[str, tuple[int, int, int]]] = {
    "red": (205, 44, 52), "orange": (240, 138, 36), "yellow": (250, 212, 58), "green": (52, 150, 84),
    "blue": (44, 98, 190), "purple": (132, 70, 168), "white": (246, 244, 238), "black": (30, 30, 34),
}  # fmt: skip
FINE: Final = 3  # supersampling factor, for smooth edges


def paper_frames(
    seed: int, events: list[Event], frames: int, fps: float, width: int, height: int
) -> Iterator[NDArray[np.uint8]]:
    """Render the frames of a stream of paper cut-outs.

    Args:
        seed: Random seed; the same arguments give the same pixels.
        events: Cards to show, in frames.
        frames: Number of frames.
        fps: Frames per second, for the speed of movements.
        width: Width of the frames, in pixels.
        height: Height of the frames, in pixels.

    Yields:
        uint8 [height, width, 3] RGB.
    """
    rng = np.random.default_rng([seed, frames, 2])
    street = _street(rng, width, height)
    styles = {event: rng.uniform(-1, 1, 4) for event in events}
    for index in range(frames):
        picture = _street_at(street, index / fps, width, height)
        event = shown_at(events, index)
        if event is not None:
            _lay_on(picture, event, styles[event], (index - event.start) / fps)
        yield np.asarray(picture, np.uint8)


def _street(rng: np.random.Generator, width: int, height: int) -> list[tuple[Image.Image, float]]:
    """Layers of the background, far to near, wider than the frame, with their speeds in frame widths per second."""
    wide = 3 * width
    sky = Image.new("RGBA", (wide, height))
    pen = ImageDraw.Draw(sky)
    for row in range(height):
        share = row / height
        pen.line(
            [(0, row), (wide, row)], fill=(int(70 + 110 * share), int(84 + 50 * share), int(120 - 20 * share), 255)
        )
    layers = [(sky, 0.0)]
    for depth, (speed, tone) in enumerate(((0.006, 84), (0.014, 62), (0.03, 44))):
        houses = Image.new("RGBA", (wide, height))
        pen = ImageDraw.Draw(houses)
        left = 0
        while left < wide:
            broad, top = (
                int(rng.uniform(0.1, 0.24) * width),
                int(rng.uniform(0.35, 0.7) * height + depth * 0.07 * height),
            )
            pen.rectangle([left, top, left + broad, height], fill=(tone, tone - 6, tone + 8, 255))
            for x in range(left + 8, left + broad - 8, 22):
                for y in range(top + 10, height, 26):
                    if rng.random() < 0.35:
                        pen.rectangle([x, y, x + 8, y + 11], fill=(222, 190, 120, int(rng.uniform(60, 170))))
            left += broad + int(rng.uniform(-4, 0.04 * width))
        layers.append((houses.filter(ImageFilter.GaussianBlur(2.4 - 0.5 * depth)), speed))
    lamps = Image.new("RGBA", (wide, height))
    pen = ImageDraw.Draw(lamps)
    for _ in range(26):  # lights out of focus
        across, down, r = rng.uniform(0, wide), rng.uniform(0.3, 1) * height, rng.uniform(0.01, 0.035) * width
        colour = ((250, 220, 160), (240, 160, 130), (190, 210, 250))[int(rng.integers(3))]
        pen.ellipse([across - r, down - r, across + r, down + r], fill=(*colour, int(rng.uniform(30, 90))))
    layers.append((lamps.filter(ImageFilter.GaussianBlur(1.5)), 0.045))
    return layers


def _street_at(street: list[tuple[Image.Image, float]], seconds: float, width: int, height: int) -> Image.Image:
    picture = Image.new("RGB", (width, height))
    for layer, speed in street:
        shift = (seconds * speed * width) % (layer.width - width)
        moved = layer.transform(
            (width, height), Image.Transform.AFFINE, (1, 0, shift, 0, 1, 0), Image.Resampling.BILINEAR
        )
        picture.paste(moved, (0, 0), moved)
    return picture


def _lay_on(picture: Image.Image, event: Event, style: NDArray[np.float64], seconds: float) -> None:
    """Draw a cut-out with its shadow; `style` is four numbers from -1 to 1: size, turn, drift, rim or ring."""
    column, row = PLACES.index(event.place) % 3, PLACES.index(event.place) // 3
    radius = (0.135 + 0.025 * style[0]) * min(picture.size) * 1.15
    drift = 0.018 * math.sin(1.7 * seconds + 3 * style[2])
    x = 0.5 + 0.31 * (column - 1) + drift
    y = 0.5 + 0.29 * (row - 1) + 0.012 * math.cos(2.1 * seconds + style[2])
    side = int(3.4 * radius * FINE)
    angle = 14 * style[1] + 5 * math.sin(1.3 * seconds)
    outer = _cut(event.shape, side, radius * FINE * 1.16).rotate(angle, Image.Resampling.BICUBIC)
    inner = _cut(event.shape, side, radius * FINE).rotate(angle, Image.Resampling.BICUBIC)
    small = (side // FINE, side // FINE)
    rim = (250, 248, 242) if event.colour != "white" else (90, 90, 96)
    corner = (round(x * picture.width) - small[0] // 2, round(y * picture.height) - small[1] // 2)
    shadow = (
        outer.filter(ImageFilter.GaussianBlur(3 * FINE)).resize(small, Image.Resampling.BOX).point(lambda v: v * 0.5)
    )
    picture.paste((12, 12, 18), (corner[0] + 4, corner[1] + 6), shadow)
    picture.paste(rim, corner, outer.resize(small, Image.Resampling.BOX))
    picture.paste(PAINT[event.colour], corner, inner.resize(small, Image.Resampling.BOX))
    if style[3] > 0.4:  # a ring: the middle is paper
        hole = _cut(event.shape, side, radius * FINE * 0.5).rotate(angle, Image.Resampling.BICUBIC)
        picture.paste(rim, corner, hole.resize(small, Image.Resampling.BOX))


def _cut(shape: str, side: int, radius: float) -> Image.Image:
    """The mask of a shape with rounded corners, centred in a square."""
    mask = Image.new("L", (side, side))
    pen = ImageDraw.Draw(mask)
    middle, soft = side / 2, 0.16 * radius
    if shape == "circle":
        pen.ellipse([middle - radius, middle - radius, middle + radius, middle + radius], fill=255)
        return mask
    if shape == "square":
        half = 0.88 * radius
        pen.rounded_rectangle([middle - half, middle - half, middle + half, middle + half], 2 * soft, fill=255)
        return mask
    if shape == "cross":
        for across, down in ((1.0, 0.34), (0.34, 1.0)):
            box = [middle - across * radius, middle - down * radius, middle + across * radius, middle + down * radius]
            pen.rounded_rectangle(box, soft, fill=255)
        return mask
    lengths, low = ((1.0,) * 3, 0.12) if shape == "triangle" else ((1.0, 0.52) * 5, 0.0)
    points = []
    for index, length in enumerate(lengths):
        turn, reach = index * math.tau / len(lengths) - math.pi / 2, length * (1.08 * radius - soft)
        points.append((middle + reach * math.cos(turn), middle + reach * math.sin(turn) + low * radius))
    pen.polygon(points, fill=255)
    pen.line([*points, points[0], points[1]], fill=255, width=int(2 * soft), joint="curve")
    return mask
