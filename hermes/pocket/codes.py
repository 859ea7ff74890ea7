"""The code book: fixed orthogonal vectors that define the target content of frame tokens.

A token whose cell is covered by a card encodes the card's colour, shape and place, and the index of the token. Any other
token encodes "background" and its index. The vision tower learns to produce these codes; the decoder can learn to read
them before the tower has been trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from hermes.cards.timeline import COLOURS, PLACES, SHAPES
from hermes.pocket.model import TOKENS, WIDTH

CLASS_NORM: Final = 6.0  # norm of each colour, shape and place code
TOKEN_NORM: Final = 4.0
EMPTY_NORM: Final = 8.0


@dataclass(frozen=True)
class CodeBook:
    """Codes of classes and tokens; each row is a vector of size `WIDTH`."""

    colour: Tensor
    shape: Tensor
    place: Tensor
    token: Tensor
    empty: Tensor

    def tokens(self, colour: Tensor, shape: Tensor, place: Tensor, cover: Tensor) -> Tensor:
        """Return the codes of whole frames.

        Args:
            colour: int64 [...], class indices (any valid index for frames without a card).
            shape: int64 [...], as `colour`.
            place: int64 [...], as `colour`.
            cover: float [..., TOKENS], fraction of each cell that a card covers, 0 to 1 (0 for frames without a card).

        Returns:
            float [..., TOKENS, WIDTH].
        """
        card = self.colour[colour] + self.shape[shape] + self.place[place]
        share = cover[..., None]
        return self.token + share * card[..., None, :] + (1 - share) * self.empty


def code_book() -> CodeBook:
    """Return the code book of this project, which is the same on every machine."""
    generator = torch.Generator().manual_seed(2601)
    basis, _ = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=generator, dtype=torch.float64))
    rows = basis.T.float()
    sizes = [len(COLOURS), len(SHAPES), len(PLACES), TOKENS, 1]
    colour, shape, place, token, empty = torch.split(rows[: sum(sizes)], sizes)
    return CodeBook(
        colour * CLASS_NORM, shape * CLASS_NORM, place * CLASS_NORM, token * TOKEN_NORM, empty[0] * EMPTY_NORM
    )


def cell_cover(mask: Tensor) -> Tensor:
    """Return how much of each of the 4 x 4 cells of a frame a card covers.

    A cell of which at least a third is covered counts as fully covered. So does the most covered cell.

    Args:
        mask: float [N, H, W], 0 or 1.

    Returns:
        float [N, TOKENS], 0 to 1.
    """
    share = torch.nn.functional.adaptive_avg_pool2d(mask[:, None], 4).flatten(1)
    best = share.amax(1, keepdim=True)
    return torch.clamp(torch.maximum(share / 0.33, (share == best) * (best > 0)), 0, 1)
