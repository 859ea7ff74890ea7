"""Badges of policies and their groups in tables of results: how far they follow their publication. Does not import torch."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final, Literal

BASELINE = "baseline"
UPPER_BOUND = "upper bound, not a streaming method"
TRAINING_FREE = "re-implemented, no training"
UNTRAINED = "trained in the paper; shown untrained"
SURROGATE = "approximation, not the original"
CUSTOM = "custom policy"
KINDS = {
    BASELINE: "baseline",
    UPPER_BOUND: "upper bound",
    TRAINING_FREE: "re-implemented",
    UNTRAINED: "untrained",
    SURROGATE: "surrogate",
    CUSTOM: "custom",
}
"""Short forms of the badges, for menus."""

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
    """Return the group of a policy with the short badge `kind` (see `KINDS`)."""
    if kind == "untrained":
        return "untrained"
    return "surrogate" if kind == "surrogate" else "re-implemented"
