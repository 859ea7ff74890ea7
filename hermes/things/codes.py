"""The code book: what a frame token should say, as fixed vectors of the decoder's width.

A token that an object covers says the object, its category and its place; any other token says "nothing". Every token says
which of the frame's tokens it is. Codes of places and tokens are the card model's; an object's code holds the codes of a
colour and a shape as well, so that the card model's decoder finds its way among objects before it has learned their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from hermes.pocket.codes import code_book as card_codes
from hermes.things.objects import CATEGORIES, CATEGORY_OF, OBJECTS

SHARED: Final = 0.7  # of the norm that colours and shapes have
CATEGORY_NORM: Final = 3.0
OBJECT_NORM: Final = 6.0


@dataclass(frozen=True)
class ObjectCodeBook:
    """Codes, each row a vector of the decoder's width.

    Attributes:
        objects: [objects, width], categories included.
        colour_of: int64 [objects], which colour's code is part of an object's.
        shape_of: int64 [objects], which shape's.
        own: [objects, width], what is an object's alone.
        categories: [categories, width], what the objects of a category share.
        colour_of_category: int64 [categories].
        places: [9, width].
        tokens: [16, width].
        empty: [width].
    """

    objects: Tensor
    colour_of: Tensor
    shape_of: Tensor
    own: Tensor
    categories: Tensor
    colour_of_category: Tensor
    places: Tensor
    tokens: Tensor
    empty: Tensor


def code_book() -> ObjectCodeBook:
    """The code book of this model; the same on every machine up to rounding."""
    cards = card_codes()
    used = torch.cat([cards.colour, cards.shape, cards.place, cards.token, cards.empty[None]])
    free = torch.linalg.svd(used.double()).Vh[len(used) :].float()  # rows orthogonal to all codes of cards
    generator = torch.Generator().manual_seed(2602)
    categories = free[: len(CATEGORIES)] * CATEGORY_NORM
    rest = free[len(CATEGORIES) :]
    own = torch.randn(len(OBJECTS), len(rest), generator=generator, dtype=torch.float64)
    for _ in range(300):  # push the directions apart
        own = own / own.norm(dim=1, keepdim=True)
        likeness = own @ own.T - torch.eye(len(own), dtype=torch.float64)
        own = own - 0.1 * (likeness**3) @ own
    own = (own / own.norm(dim=1, keepdim=True)).float() @ rest * OBJECT_NORM
    kind = torch.tensor(CATEGORY_OF)
    colours = torch.arange(len(CATEGORIES)) % len(cards.colour)
    colour = colours[kind]
    shape = torch.arange(len(OBJECTS)) % len(cards.shape)
    shared = SHARED * (cards.colour[colour] + cards.shape[shape])
    objects = shared + categories[kind] + own
    return ObjectCodeBook(objects, colour, shape, own, categories, colours, cards.place, cards.token, cards.empty)
