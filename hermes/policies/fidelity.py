"""Groups of policies in tables of results, by how far they follow their publication. Does not import torch."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final, Literal

Fidelity = Literal["re-implemented", "untrained", "surrogate"]

GROUPS: Final = MappingProxyType[Fidelity, str](
    {
        "re-implemented": "Baselines and re-implemented methods",
        "untrained": "Published parts without their training",
        "surrogate": "Surrogates, not the published system",
    }
)
"""Title of each group, in the order of the tables."""


def fidelity_of_kind(kind: str) -> Fidelity:
    """Return the group of a policy with the short badge `kind` (see `hermes.policies.base.KINDS`)."""
    if kind == "untrained":
        return "untrained"
    return "surrogate" if kind == "surrogate" else "re-implemented"
