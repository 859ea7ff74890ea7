"""A card as a vector picture, to be shown on a screen and held up to a camera."""

from __future__ import annotations

import colorsys

import numpy as np

from hermes.cards.render import HSV, card_outline
from hermes.cards.timeline import COLOURS

REACH = 1.35
"""Half the side of the picture, in radii of a card."""


def card_svg(colour: str, shape: str) -> str:
    """Return a card as SVG: an outline of the renderer in the middle of its range of colours.

    Args:
        colour: One of `COLOURS`.
        shape: One of `SHAPES`.
    """
    hue, saturation, value = ((low + high) / 2 for low, high in HSV[colour])
    rgb = colorsys.hsv_to_rgb(hue % 360 / 360, saturation, value)
    points = card_outline(np.random.default_rng(COLOURS.index(colour)), shape)
    corners = " ".join(f"{x:.3f},{y:.3f}" for x, y in points)
    fill = "#" + "".join(f"{round(255 * part):02x}" for part in rgb)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{-REACH} {-REACH} {2 * REACH} {2 * REACH}">'
        f'<polygon points="{corners}" fill="{fill}"/></svg>'
    )
