"""The code book: fixed vectors of the decoder's width that define the target content of frame tokens.

A token that an object covers encodes the object, its category and its place; any other token encodes "nothing". Every token
also encodes its index in the frame. Codes of places and tokens are those of the card model. An object's code contains the
codes of a colour and a shape, so that the card model's decoder can distinguish objects before it is trained on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from hermes.pocket.codes import code_book as card_codes
from hermes.things.objects import CATEGORIES, CATEGORY_OF, OBJECTS

SHARED: Final = 0.7  # norm of the colour and shape in an object's code, relative to those of the card model
CATEGORY_NORM: Final = 3.0
OBJECT_NORM: Final = 6.0


@dataclass(frozen=True)
class ObjectCodeBook:
    """Codes; each row is a vector of the decoder's width.

    Attributes:
        objects: Complete codes of the objects [objects, width].
        colour_of: Index of the colour in each object's code, int64 [objects].
        shape_of: Index of the shape in each object's code, int64 [objects].
        own: The part of each object's code that no other object shares [objects, width].
        categories: The part that the objects of a category share [categories, width].
        colour_of_category: Index of the colour of each category, int64 [categories].
        places: Codes of the places [9, width].
        tokens: Codes of the tokens' indices [16, width].
        empty: Code of a token that no object covers [width].
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
    """Return the code book, which is the same on every machine up to rounding."""
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
