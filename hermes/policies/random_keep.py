"""Random keep: what any rule must beat. Every layer holds as many tokens as under HERMES, drawn by chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from hermes.memory.cache import FRAME, IMPORTANCE, PATCH
from hermes.memory.importance import retain
from hermes.policies.base import Outcome, Policy, Step
from hermes.policies.settings import OUR_REINDEXING, Setting

ONCE, ANEW = "once a token", "at every eviction"


@dataclass
class RandomKeep(Policy):
    """Keeps the prompt and `budget` video tokens of each layer, by lot. Each layer draws for itself.

    Attributes:
        lots: "once a token": every token of the stream has the same chance to be held, however old it is. "at every
            eviction": new lots each time, so that old tokens, which went through more draws, grow rare.
        seed: The same seed gives the same lots.
    """

    name: ClassVar[str] = "random-keep"
    title: ClassVar[str] = "Random keep"
    badge: ClassVar[str] = "our baseline"
    about: ClassVar[str] = "Keeps tokens by lot, each layer its own: as many as HERMES, chosen by nothing."
    citation: ClassVar[str] = "ours: a control for every rule that chooses"
    spreads: ClassVar[bool] = True
    settings: ClassVar[tuple[Setting, ...]] = (
        Setting(
            "lots",
            "Lots are drawn",
            "Once a token, so that all moments are held alike; or anew at every eviction, so that old ones grow rare.",
            "choice",
            ONCE,
            choices=(ONCE, ANEW),
            source="ours",
        ),
        Setting("seed", "Seed", "The same seed draws the same lots.", "number", 0, 0, 999, 1, source="ours"),
        OUR_REINDEXING,
    )

    lots: str = ONCE
    seed: int = 0

    def after_encode(self, step: Step) -> Outcome | None:
        """Keep the tokens with the highest lots."""
        counts = step.video_tokens()
        if max(counts) <= self.budget:
            return None
        kept: list[Tensor | None] = []
        for index, (layer, count) in enumerate(zip(step.cache.layers, counts, strict=True)):
            if count <= self.budget:
                kept.append(None)
                continue
            labels = layer.labels[:, step.prompt_len : layer.length].long()
            draw = labels[FRAME].max() + 1 if self.lots == ANEW else torch.zeros_like(labels[FRAME, 0])
            lot = lots(labels[FRAME], labels[PATCH], index, self.seed, draw)
            layer.figures[IMPORTANCE, step.prompt_len : layer.length] = lot
            kept.append(retain(lot, self.budget))
        return self.retain(step, kept)


def lots(frame: Tensor, patch: Tensor, layer: int, seed: int, draw: Tensor) -> Tensor:
    """A lot for every token, the same whenever it is asked for: the bits of where it comes from, mixed (SplitMix64).

    Args:
        frame: Frame of each token, int64 [tokens].
        patch: Patch of each token, -1 where it has none, int64 [tokens].
        layer: Its layer.
        seed: Gives other lots.
        draw: Number of the draw, int64 scalar.

    Returns:
        float32 [tokens], 0 to 1, evenly spread.
    """
    bits = frame * 0x1_0000_01B3 + (patch + 2) * 0x9E37_79B1 + (layer + 1) * 0x85EB_CA77
    bits = bits + (seed + 1) * 0xC2B2_AE3D + draw * 0x27D4_EB2F_1657
    for shift, factor in ((30, -0x40A7_B892_E31B_1A47), (27, -0x6B2F_B644_ECCE_EE15)):
        bits = (bits ^ _shifted(bits, shift)) * factor  # int64 wraps around, as it should
    bits = bits ^ _shifted(bits, 31)
    return _shifted(bits, 40).float() / float(1 << 24)


def _shifted(bits: Tensor, by: int) -> Tensor:
    """Logical shift to the right: int64 alone would draw the sign along."""
    return (bits >> by) & ((1 << (64 - by)) - 1)
