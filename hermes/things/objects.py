"""The objects that the model knows: their names, categories, ImageNet classes and pictures.

Pictures come from packages of the registries (see `hermes.things.pictures`): emoji are given as characters, stamps of
Tux Paint as paths below the package's folder, without their ending.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(frozen=True)
class Object:
    """One object.

    Attributes:
        name: everyday name, one token of the vocabulary; a hyphen is written and read as a space.
        category: one of `CATEGORIES`.
        imagenet: indices of the ImageNet classes that show it.
        emoji: emoji that show it.
        stamps: stamps of Tux Paint that show it.
        also: other names, which the tokenizer reads as this one.
    """

    name: str
    category: str
    imagenet: tuple[int, ...]
    emoji: tuple[str, ...] = ()
    stamps: tuple[str, ...] = ()
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class Category:
    """A kind of object.

    Attributes:
        name: one token of the vocabulary.
        some: how a question asks for one: "Was there an animal?".
    """

    name: str
    some: str


CATEGORIES: Final = (
    Category("animal", "an animal"),
    Category("fruit", "a fruit"),
    Category("vegetable", "a vegetable"),
    Category("snack", "a snack"),
    Category("kitchenware", "any kitchenware"),
    Category("furniture", "any furniture"),
    Category("device", "a device"),
    Category("tool", "a tool"),
    Category("instrument", "an instrument"),
    Category("vehicle", "a vehicle"),
    Category("clothing", "any clothing"),
    Category("accessory", "an accessory"),
    Category("stationery", "any stationery"),
    Category("toy", "a toy"),
)


def _classes(text: str) -> tuple[int, ...]:
    """ImageNet classes from "7 8" or "151-268"."""
    found: list[int] = []
    for part in text.split():
        first, _, last = part.partition("-")
        found.extend(range(int(first), int(last or first) + 1))
    return tuple(found)


def _read() -> tuple[Object, ...]:
    """The objects of `objects.json`, in its order."""
    text = Path(__file__).with_name("objects.json").read_text(encoding="utf-8")
    return tuple(
        Object(
            item["name"],
            item["category"],
            _classes(item["imagenet"]),
            tuple(item.get("emoji", "").split()),
            tuple(item.get("stamps", ())),
            tuple(item.get("also", ())),
        )
        for item in json.loads(text)
    )


OBJECTS: Final = _read()
NAMES: Final = tuple(item.name for item in OBJECTS)
CATEGORY_NAMES: Final = tuple(item.name for item in CATEGORIES)
BY_NAME: Final = {item.name: item for item in OBJECTS}
CATEGORY_OF: Final = tuple(CATEGORY_NAMES.index(item.category) for item in OBJECTS)
"""Index of the category of each object."""
PLACES: Final = (
    "top-left", "top", "top-right",
    "left", "centre", "right",
    "bottom-left", "bottom", "bottom-right",
)  # fmt: skip
