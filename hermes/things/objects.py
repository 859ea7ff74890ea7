"""The objects that the model knows: names, categories, ImageNet classes and pictures.

Pictures come from the packages of `hermes.things.fetch`. Emoji are given as characters, Tux Paint stamps as paths below the
package's folder, without extension, 3D models as library and name (see `hermes.things.models3d`), and icons as theme and
path, without extension.
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
        name: Everyday name, one token of the vocabulary. Text has a space in place of a hyphen.
        category: One of `CATEGORIES`.
        imagenet: Indices of the ImageNet classes that show it.
        emoji: Emoji that show it.
        stamps: Tux Paint stamps that show it.
        models: 3D models of it.
        icons: Desktop icons that show it.
        also: Synonyms, which the tokenizer replaces with the name.
    """

    name: str
    category: str
    imagenet: tuple[int, ...]
    emoji: tuple[str, ...] = ()
    stamps: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    icons: tuple[str, ...] = ()
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class Category:
    """A category of objects.

    Attributes:
        name: One token of the vocabulary.
        some: The category with an article, as in "Was there an animal?".
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
    """Parse ImageNet classes: "7 8" or "151-268"."""
    found: list[int] = []
    for part in text.split():
        first, _, last = part.partition("-")
        found.extend(range(int(first), int(last or first) + 1))
    return tuple(found)


def _read() -> tuple[Object, ...]:
    """Read `objects.json`."""
    text = Path(__file__).with_name("objects.json").read_text(encoding="utf-8")
    return tuple(
        Object(
            item["name"],
            item["category"],
            _classes(item["imagenet"]),
            tuple(item.get("emoji", "").split()),
            tuple(item.get("stamps", ())),
            tuple(item.get("models", ())),
            tuple(item.get("icons", ())),
            tuple(item.get("also", ())),
        )
        for item in json.loads(text)
    )


# Models that show none of the objects.
_UNKNOWN: Final = {
    "BlendSwap-CC-0": "bookcase cissors_swap comb flowerBox kitchenaid knifeStandSwap oakTable radiator1 shelves stool "
    "toiletBrush towel2 washbasin headphones barrel crate fireExtinguisher cactus tennisRacket wheelbarrow "
    "cupcake wardrobeWithSlidingDoors littlePlant stove",
    "BlendSwap-CC-BY": "fork kitchenKnife kitchenblender washing_machine wheelchair chessboard bonecoDeNeve suitcase tulip "
    "yuccaPlant xylophone toilets_unit_jay_hardy gift saltShaker rubix2 treadmill",
    "KatorLegaz": "ashtray flashlight fire-hydrant stapler dinner-plate filing-cabinet coffee-maker tape-measure",
    "Scopia": "vase1 vase2 pottery scie-egoine perceuse-electrique keys bague cone skateboard toaster bonsai-tree "
    "stroller mower ps4-joystick birthday_cake gant-textured bush roasted-chicken frenchFries cardboard-box",
    "Reallusion": "female01 female02 female03 male01 male02 male03 sitMale03 sitFemale01 boyStanding girlStanding",
    "0ad": "camel giraffe_adult fox_red donkey rhino hippopotamus walrus gazelle crocodile",
}
UNKNOWN_MODELS: Final = tuple(f"{library}/{name}" for library, names in _UNKNOWN.items() for name in names.split())
OBJECTS: Final = _read()
NAMES: Final = tuple(item.name for item in OBJECTS)
CATEGORY_NAMES: Final = tuple(item.name for item in CATEGORIES)
BY_NAME: Final = {item.name: item for item in OBJECTS}
CATEGORY_OF: Final = tuple(CATEGORY_NAMES.index(item.category) for item in OBJECTS)
"""Index of the category of each object."""
