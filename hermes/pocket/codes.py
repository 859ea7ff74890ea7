"""The code book: what a frame token should say, as fixed orthogonal vectors.

A token whose cell a card covers says its colour, its shape, its place and which token it is; any other token says
"background" and which token it is. The vision tower learns to write these codes, and the decoder can learn to read
them before the tower is done.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from hermes.cards.timeline import COLOURS, PLACES, SHAPES
from hermes.pocket.model import TOKENS, WIDTH

CLASS_NORM: Final = 6.0  # of each of colour, shape and place
TOKEN_NORM: Final = 4.0
EMPTY_NORM: Final = 8.0


@dataclass(frozen=True)
class CodeBook:
    """Codes of classes and tokens, each row a vector of `WIDTH` numbers."""

    colour: Tensor
    shape: Tensor
    place: Tensor
    token: Tensor
    empty: Tensor

    def tokens(self, colour: Tensor, shape: Tensor, place: Tensor, cover: Tensor) -> Tensor:
        """Codes of whole frames.

        Args:
            colour: int64 [...], class indices (any value where nothing is shown).
            shape: int64 [...].
            place: int64 [...].
            cover: float [..., TOKENS], how far a card covers each cell, 0 to 1 (0 where nothing is shown).

        Returns:
            float [..., TOKENS, WIDTH].
        """
        card = self.colour[colour] + self.shape[shape] + self.place[place]
        share = cover[..., None]
        return self.token + share * card[..., None, :] + (1 - share) * self.empty


def code_book() -> CodeBook:
    """The one code book of this project; the same on every machine."""
    generator = torch.Generator().manual_seed(2601)
    basis, _ = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=generator, dtype=torch.float64))
    rows = basis.T.float()
    sizes = [len(COLOURS), len(SHAPES), len(PLACES), TOKENS, 1]
    colour, shape, place, token, empty = torch.split(rows[: sum(sizes)], sizes)
    return CodeBook(
        colour * CLASS_NORM, shape * CLASS_NORM, place * CLASS_NORM, token * TOKEN_NORM, empty[0] * EMPTY_NORM
    )


def cell_cover(mask: Tensor) -> Tensor:
    """How far a card covers each of the 4 x 4 cells of a frame.

    A cell that is a third covered counts as fully covered, and the most covered cell always does.

    Args:
        mask: float [N, H, W], 0 or 1.

    Returns:
        float [N, TOKENS], 0 to 1.
    """
    share = torch.nn.functional.adaptive_avg_pool2d(mask[:, None], 4).flatten(1)
    best = share.amax(1, keepdim=True)
    return torch.clamp(torch.maximum(share / 0.33, (share == best) * (best > 0)), 0, 1)
