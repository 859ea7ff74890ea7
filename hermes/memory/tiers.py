"""Assignment of layers to tiers, and the published constants of each model family (paper section 3.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hermes.errors import HermesError

SENSORY, WORKING, LONG_TERM = range(3)

TierRule = Literal[
    "as published", "all sensory", "all working", "all long-term", "no sensory", "no working", "no long-term"
]
"""Which tier's rule each layer follows: its own, one for all layers, or a neighbour's if one tier is switched off."""


@dataclass(frozen=True)
class Ramp:
    """A constant that varies with depth: `start + change * p`, where p is the relative depth of a working layer, 0 to 1."""

    start: float
    change: float = 0.0

    def at(self, depth: float) -> float:
        """Value at depth `depth`, 0 to 1."""
        return self.start + self.change * depth


@dataclass(frozen=True)
class FamilyConstants:
    """Published constants of a model family.

    Attributes:
        alpha: Weight of recency versus attention, one ramp per tier (sensory, working, long-term).
        k: Decay of recency with distance, one ramp per tier.
        gamma: Weight of the next deeper layer in cross-layer smoothing, one value per tier.
    """

    alpha: tuple[Ramp, Ramp, Ramp]
    k: tuple[Ramp, Ramp, Ramp]
    gamma: tuple[float, float, float] = (0.1, 0.3, 0.4)


LLAVA_ONEVISION = FamilyConstants(
    alpha=(Ramp(1.0), Ramp(1.0, -0.9), Ramp(0.0)),
    k=(Ramp(20.0), Ramp(20.0, -19.5), Ramp(0.0)),
)
QWEN2_5_VL = FamilyConstants(
    alpha=(Ramp(1.0), Ramp(0.75, -0.6), Ramp(0.0)),
    k=(Ramp(20.0), Ramp(20.0, -12.0), Ramp(0.0)),
)
FAMILIES = {"llava_onevision": LLAVA_ONEVISION, "qwen2_5_vl": QWEN2_5_VL}
"""Published constants by transformers model type."""


def borders(num_layers: int) -> tuple[int, int]:
    """Borders between the tiers: sensory `l < S`, working `S <= l < G`, long-term `l >= G`.

    Args:
        num_layers: Number of decoder layers, at least 1.

    Returns:
        `S = floor(0.1 L)` and `G = floor(0.7 L)`, computed in integers.

    Raises:
        HermesError: `num_layers` is not positive.
    """
    if num_layers < 1:
        raise HermesError(f"A decoder needs at least one layer, not {num_layers}.")
    return num_layers // 10, (num_layers * 7) // 10


def tier_of_layers(num_layers: int) -> tuple[int, ...]:
    """Tier of every layer (`SENSORY`, `WORKING` or `LONG_TERM`), first layer first."""
    sensory, long_term = borders(num_layers)
    return tuple(SENSORY if i < sensory else WORKING if i < long_term else LONG_TERM for i in range(num_layers))


def rule_of_layers(num_layers: int, rule: TierRule = "as published") -> tuple[int, ...]:
    """Tier whose rule each layer follows, first layer first; only "as published" follows the paper.

    The layers of a tier that is switched off follow the neighbouring tier's rule. For the working tier, the shallow half
    follows the sensory rule and the deep half the long-term rule.

    Raises:
        HermesError: Unknown rule.
    """
    tiers = tier_of_layers(num_layers)
    everywhere = {"all sensory": SENSORY, "all working": WORKING, "all long-term": LONG_TERM}
    if rule in everywhere:
        return (everywhere[rule],) * num_layers
    if rule == "no working":
        halves = zip(tiers, depth_of_layers(num_layers), strict=True)
        return tuple((SENSORY if p < 0.5 else LONG_TERM) if t == WORKING else t for t, p in halves)
    if rule not in ("as published", "no sensory", "no long-term"):
        raise HermesError(f"There is no tier rule “{rule}”.")
    removed = {"no sensory": SENSORY, "no long-term": LONG_TERM}.get(rule)
    return tuple(WORKING if t == removed else t for t in tiers)


def depth_of_layers(num_layers: int) -> tuple[float, ...]:
    """Relative depth of every layer among the working layers, `p = (l - S) / (G - S)` clamped to [0, 1]."""
    sensory, long_term = borders(num_layers)
    span = max(long_term - sensory, 1)
    return tuple(min(max((i - sensory) / span, 0.0), 1.0) for i in range(num_layers))


@dataclass(frozen=True)
class LayerConstants:
    """Constants of one layer: its tier, `alpha` (0 to 1), `k` (at least 0) and `gamma` (0 to 1)."""

    tier: int
    alpha: float
    k: float
    gamma: float


def layer_constants(
    family: FamilyConstants, num_layers: int, rule: TierRule = "as published"
) -> tuple[LayerConstants, ...]:
    """Constants of every layer of a decoder with `num_layers` layers, first layer first.

    Args:
        family: Constants of each tier.
        num_layers: Number of decoder layers.
        rule: Which tier's rule each layer follows. A layer outside the working tier that follows its rule has depth 0 if
            it is shallower than the working layers, and 1 if it is deeper.
    """
    tiers, depths = rule_of_layers(num_layers, rule), depth_of_layers(num_layers)
    return tuple(
        LayerConstants(t, family.alpha[t].at(p), family.k[t].at(p), family.gamma[t])
        for t, p in zip(tiers, depths, strict=True)
    )
