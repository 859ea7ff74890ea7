"""HERMES: KV cache as hierarchical memory (arXiv 2601.14724, ACL 2026), training-free."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from hermes.backbones.base import Backbone
from hermes.errors import HermesError
from hermes.memory.cache import GUIDANCE, IMPORTANCE, RECENCY
from hermes.memory.guidance import GuidanceMode
from hermes.memory.importance import importance, recency, retain, smooth
from hermes.memory.tiers import LONG_TERM, FamilyConstants, LayerConstants, layer_constants
from hermes.policies.base import Outcome, Policy, Step


@dataclass
class Hermes(Policy):
    """Three tiers, each layer under one budget by its own rule; evicted long-term tokens fold into a summary token.

    Attributes:
        guidance: "forward" is the paper's true forward pass, "embedding" what the released code does.
        smoothing: Whether importance is smoothed across layers; the paper does.
        summary: Whether long-term layers fold what they evict into a summary token; the paper does.
        constants: Constants in place of the family's published ones; None: the published ones.
    """

    name: ClassVar[str] = "hermes"
    title: ClassVar[str] = "HERMES"
    badge: ClassVar[str] = "training-free, as published"
    about: ClassVar[str] = (
        "Shallow layers keep the newest tokens, deep layers what a generic prompt attends to, middle layers a blend; "
        "every layer stays under one budget."
    )
    citation: ClassVar[str] = "HERMES, arXiv 2601.14724"
    has_guidance: ClassVar[bool] = True
    has_tiers: ClassVar[bool] = True

    guidance: GuidanceMode = "forward"
    smoothing: bool = True
    summary: bool = True
    constants: FamilyConstants | None = field(default=None)

    def check(self, backbone: Backbone) -> None:
        """See `Policy.check`; the guidance must be one of the two known."""
        super().check(backbone)
        if self.guidance not in ("forward", "embedding"):
            raise HermesError(
                f"Guidance is either forward (the paper) or embedding (the released code), not “{self.guidance}”."
            )

    def after_encode(self, step: Step) -> Outcome | None:
        """One step of the stream: guidance, importance, smoothing, retention, summary, re-indexing."""
        counts = step.video_tokens()
        if max(counts) <= self.budget:
            return None
        constants = layer_constants(self.constants or step.backbone.constants, len(counts))
        attention = step.measure_guidance([c.alpha < 1 for c in constants], self.guidance)
        known = {(n, c.k) for n, c in zip(counts, constants, strict=True)}
        of = {key: recency(*key, step.backbone.device) for key in known}
        recencies = [of[n, c.k] for n, c in zip(counts, constants, strict=True)]
        scores = score_layers(attention, recencies, constants, smoothing=self.smoothing)
        for layer, score, seen, recent in zip(step.cache.layers, scores, attention, recencies, strict=True):
            video = slice(step.prompt_len, layer.length)
            layer.figures[IMPORTANCE, video] = score
            layer.figures[RECENCY, video] = recent
            if seen is not None:
                layer.figures[GUIDANCE, video] = seen
        folds = [self.summary and c.tier == LONG_TERM for c in constants]
        kept = [
            retain(score, self.budget - fold) if n > self.budget else None
            for score, n, fold in zip(scores, counts, folds, strict=True)
        ]
        return self._evict_layers(step, kept, folds)


def score_layers(
    attention: list[Tensor | None],
    recencies: list[Tensor],
    constants: tuple[LayerConstants, ...],
    *,
    smoothing: bool = True,
) -> list[Tensor]:
    """Importance of every layer's video tokens, smoothed across layers (paper sections 3.3 and 3.4).

    Args:
        attention: Guidance attention of each layer [tokens of that layer]; None where alpha is 1.
        recencies: Recency of each layer's tokens [tokens of that layer].
        constants: The constants of each layer.
        smoothing: Whether scores are smoothed from the deepest layer up.

    Returns:
        For each layer float32 [tokens of that layer], 0 to 1.
    """
    scores = [importance(a, r, c.alpha) for a, r, c in zip(attention, recencies, constants, strict=True)]
    return smooth(scores, [c.gamma for c in constants]) if smoothing else scores
