"""Random keep: a control that keeps random tokens, as many per layer as HERMES."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from hermes.memory.importance import retain
from hermes.memory.layer import FRAME, IMPORTANCE, PATCH
from hermes.policies.base import Policy
from hermes.policies.settings import OUR_REINDEXING, Setting
from hermes.policies.step import Outcome, Step

ONCE, ANEW = "once a token", "at every eviction"


@dataclass
class RandomKeep(Policy):
    """Keeps the prompt and `budget` random video tokens in each layer, drawn independently per layer.

    Attributes:
        lots: "once a token" draws one random number per token, so that all tokens are equally likely to be kept, whatever
            their age. "at every eviction" draws again each time, so that old tokens become rare.
        seed: Random seed.
    """

    name: ClassVar[str] = "random-keep"
    title: ClassVar[str] = "Random keep"
    badge: ClassVar[str] = "our baseline"
    about: ClassVar[str] = "Keeps random tokens, different ones in each layer, as many as HERMES keeps."
    citation: ClassVar[str] = "ours: a control for the other policies"
    spreads: ClassVar[bool] = True
    settings: ClassVar[tuple[Setting, ...]] = (
        Setting(
            "lots",
            "Random draws",
            "Once per token, which keeps all moments equally, or again at every eviction, which makes old tokens rare.",
            "choice",
            ONCE,
            choices=(ONCE, ANEW),
            source="ours",
        ),
        Setting("seed", "Seed", "The same seed keeps the same tokens.", "number", 0, 0, 999, 1, source="ours"),
        OUR_REINDEXING,
    )

    lots: str = ONCE
    seed: int = 0

    def after_encode(self, step: Step) -> Outcome | None:
        """Keep the tokens with the highest random numbers."""
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
    """Return a reproducible random number for each token: a SplitMix64 hash of its origin.

    Args:
        frame: Frame of each token, int64 [tokens].
        patch: Patch of each token, -1 for none, int64 [tokens].
        layer: Layer index.
        seed: Random seed.
        draw: Number of the draw, int64 scalar.

    Returns:
        float32 [tokens], uniform in [0, 1).
    """
    bits = frame * 0x1_0000_01B3 + (patch + 2) * 0x9E37_79B1 + (layer + 1) * 0x85EB_CA77
    bits = bits + (seed + 1) * 0xC2B2_AE3D + draw * 0x27D4_EB2F_1657
    for shift, factor in ((30, -0x40A7_B892_E31B_1A47), (27, -0x6B2F_B644_ECCE_EE15)):
        bits = (bits ^ _shifted(bits, shift)) * factor  # int64 overflow wraps around, as intended
    bits = bits ^ _shifted(bits, 31)
    return _shifted(bits, 40).float() / float(1 << 24)


def _shifted(bits: Tensor, by: int) -> Tensor:
    """Logical right shift; `>>` on int64 is arithmetic and extends the sign."""
    return (bits >> by) & ((1 << (64 - by)) - 1)
