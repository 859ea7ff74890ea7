"""The shipped models as their folders describe them, read without loading the models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from hermes.assets import SHIPPED
from hermes.backbones.card import Knowledge
from hermes.backbones.sources import read_json


@dataclass(frozen=True)
class ShippedModel:
    """A shipped model.

    Attributes:
        name: Name for `hermes.load`.
        title: Display name.
        knowledge: What it knows.
    """

    name: str
    title: str
    knowledge: Knowledge


@cache
def shipped_models() -> Mapping[str, ShippedModel]:
    """Return the shipped models by name, without those whose folder is missing.

    Raises:
        ModelError: The description of a model cannot be read.
    """
    found = {}
    for name, folder in SHIPPED.items():
        content = read_json(folder, "hermes.json")
        if content is not None:
            found[name] = ShippedModel(name, str(content.get("name", name)), Knowledge.read(content))
    return MappingProxyType(found)
