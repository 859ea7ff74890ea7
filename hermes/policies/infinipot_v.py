"""InfiniPot-V: selects each head's tokens by temporal redundancy and value norm, without a query (arXiv 2506.15745)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from hermes.memory.layer import FRAME, LayerMemory
from hermes.policies.base import Policy
from hermes.policies.by_head import note, patches_of, split
from hermes.policies.fidelity import TRAINING_FREE
from hermes.policies.ops.attention_scores import mean_direction, temporal_redundancy, two_rules, value_norm
from hermes.policies.settings import OUR_REINDEXING, Setting
from hermes.policies.step import Outcome, Step

PARTS = 24
"""Frames that the released code keeps of 32; the shares are counted in these parts."""


@dataclass
class InfiniPotV(Policy):
    """Compresses each head over budget: it keeps recent frames whole, then changed patches, then large values.

    Attributes:
        target: Share of the budget left after compression.
        newest: Of 24 tokens left, those of the newest frames, which are kept whole.
        by_change: Of 24 tokens left, those selected because their patch has changed since (TaR); the rest have the largest
            values (VaN).
    """

    name: ClassVar[str] = "infinipot-v"
    title: ClassVar[str] = "InfiniPot-V"
    badge: ClassVar[str] = TRAINING_FREE
    about: ClassVar[str] = (
        "Each head keeps the newest frames whole, older patches that have changed since, and tokens with large values."
    )
    citation: ClassVar[str] = "InfiniPot-V, arXiv 2506.15745; keys are compared unrotated"
    spreads: ClassVar[bool] = True
    settings: ClassVar[tuple[Setting, ...]] = (
        Setting(
            "target",
            "Compress to",
            "Share of the budget left after compression. The released code cuts 32 frames to 24 and then takes 8 more; "
            "here, as for the other policies, new frames do not count towards the budget.",
            "number",
            1.0,
            low=0.1,
            high=1.0,
            step=0.05,
            source="ours",
        ),
        Setting(
            "newest",
            "Newest frames, of 24",
            "Of 24 tokens left, those of the newest frames, which are kept whole.",
            "number",
            8,
            low=1,
            high=22,
            step=1,
            source="released code",
        ),
        Setting(
            "by_change",
            "Selected by change, of 24",
            "Of 24 tokens left, those selected because their patch has changed since. The rest have the largest values.",
            "number",
            4,
            low=0,
            high=22,
            step=1,
            source="released code",
        ),
        OUR_REINDEXING,
    )

    target: float = 1.0
    newest: int = 8
    by_change: int = 4

    def after_encode(self, step: Step) -> Outcome | None:
        """Compress every layer that is over budget, each head independently."""
        if max(step.video_tokens()) <= self.budget:
            return None
        kept = [self._keep(step, layer) for layer in step.cache.layers]
        return self.retain_by_head(step, kept)

    def _keep(self, step: Step, layer: LayerMemory) -> Tensor | None:
        """Return the slots that each head keeps, int64 [kv_heads, slots]; None if the layer is within budget."""
        start = step.prompt_len
        if layer.length - start <= self.budget:
            return None
        left = max(round(self.budget * self.target), 1)
        newest = self._newest(step, layer, left)
        older = layer.length - start - newest
        if left <= newest:
            return torch.arange(older + newest - left, older + newest, device=layer.keys.device).expand(
                len(layer.keys), -1
            )
        keys = layer.raw_keys(step.backbone.rotary, start)
        patch = patches_of(layer, start)
        now = mean_direction(keys[:, older:], patch[:, older:], step.patches)
        # Text between frames has no patch to compare: it counts as unchanged, and can only be kept for its values.
        changed = temporal_redundancy(keys[:, :older], patch[:, :older].clamp(min=0), now)
        changed = changed.masked_fill(patch[:, :older] < 0, -1.0)
        # Newest frames are whole: where they take more or less than their part, the part by change makes up for it.
        by_change = min(max(round(left * (self.newest + self.by_change) / PARTS) - newest, 0), left - newest)
        norms = value_norm(layer.values[:, start : start + older])
        chosen = two_rules(changed, norms, left - newest, by_change)
        note(layer, start, changed)
        whole = torch.arange(older, older + newest, device=chosen.device).expand(len(chosen), -1)
        return torch.cat((chosen, whole), dim=1)

    def _newest(self, step: Step, layer: LayerMemory, left: int) -> int:
        """Number of tokens of the newest whole frames, at least one frame."""
        frame = split(layer).labels[0, FRAME, step.prompt_len : layer.length]
        frames = max(left * self.newest // (PARTS * max(step.patches, 1)), 1)
        return int((frame > frame.max() - frames).sum())
