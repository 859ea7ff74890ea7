"""Scenery of rendered streams, and the outlines of hands and covers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]
Points = NDArray[np.float64]


@dataclass(frozen=True)
class Scenery:
    """Constant properties of a stream: background crop, light and camera.

    Attributes:
        background: uint8 [H, W, 3], RGB.
        crop: Left, top and side of the visible part, in background pixels.
        light: Gain at the four corners of the frame [2, 2].
        balance: Gain of red, green and blue.
        gamma: Exponent of the tone curve.
        blur: Standard deviation of the lens blur, in pixels of the model's input.
        noise: Standard deviation of the sensor noise, 0 to 255.
        shake: Standard deviation of the camera shake, in frame sides.
        aspect: Width over height of the scene before it is squeezed to a square.
    """

    background: Image
    crop: tuple[float, float, float]
    light: Floats
    balance: Floats
    gamma: float
    blur: float
    noise: float
    shake: float
    aspect: float


def rotation(angle: float) -> Points:
    """Return the matrix of a rotation [2, 2]."""
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def direction(angle: float) -> Points:
    """Return the unit vector of an angle [2]."""
    return np.array([np.cos(angle), np.sin(angle)])


def arm_outline(near: Points, far: Points, across: Points) -> Points:
    """Return the corners [4, 2] of an arm from `near` to `far` that widens; `across` is perpendicular to it."""
    return np.array([near + across * 0.3, near - across * 0.3, far - across * 0.7, far + across * 0.7])


def slab_outline(edge: Points, away: Points) -> Points:
    """Return the corners [4, 2] of a slab that begins at `edge` and is 0.12 thick in direction `away`."""
    across = np.array([-away[1], away[0]])
    return np.array([edge + across, edge - across, edge - across + away * 0.12, edge + across + away * 0.12])
