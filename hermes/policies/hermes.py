"""HERMES: KV cache as hierarchical memory (arXiv 2601.14724, ACL 2026), training-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from hermes.backbones.base import Backbone
from hermes.errors import HermesError
from hermes.memory.cache import GUIDANCE, IMPORTANCE, RECENCY
from hermes.memory.guidance import GuidanceMode
from hermes.memory.importance import importance, recency, retain, smooth
from hermes.memory.tiers import LONG_TERM, FamilyConstants, LayerConstants, TierRule, layer_constants
from hermes.policies.base import Outcome, Policy, Step, reserve
from hermes.policies.hermes_settings import CONSTANT_NAMES, SETTINGS, settings_with, with_changes
from hermes.policies.settings import Setting


@dataclass
class Hermes(Policy):
    """Three tiers, each layer under one budget by its own rule; evicted long-term tokens fold into a summary token.

    Attributes:
        guidance: "forward" is the paper's true forward pass, "embedding" what the released code does.
        smoothing: Whether importance is smoothed across layers; the paper does.
        summary: Whether long-term layers fold what they evict into a summary token; the paper does.
        tiers: Which tier's rule each layer follows.
        alpha_sensory: And the others beginning with alpha, k or gamma: constants in place of the published ones, None where
            the published one holds. The working tier's α and k change with depth: "top" is its shallow end, "bottom" its
            deep end.
        prompt_local: A local guidance prompt in place of the model's own; "": its own.
        prompt_global: The same for the global one.
        constants: Constants in place of the family's published ones, before single ones are changed; None: the published.
    """

    name: ClassVar[str] = "hermes"
    title: ClassVar[str] = "HERMES"
    badge: ClassVar[str] = "original method, no training"
    about: ClassVar[str] = (
        "Shallow layers keep the newest tokens, deep layers what a generic prompt attends to, middle layers a blend; "
        "every layer stays under one budget."
    )
    citation: ClassVar[str] = "HERMES, arXiv 2601.14724"
    spreads: ClassVar[bool] = True
    has_guidance: ClassVar[bool] = True
    has_tiers: ClassVar[bool] = True

    settings: ClassVar[tuple[Setting, ...]] = SETTINGS

    guidance: GuidanceMode = "forward"
    smoothing: bool = True
    summary: bool = True
    tiers: TierRule = "as published"
    alpha_sensory: float | None = None
    alpha_working_top: float | None = None
    alpha_working_bottom: float | None = None
    alpha_long_term: float | None = None
    k_sensory: float | None = None
    k_working_top: float | None = None
    k_working_bottom: float | None = None
    k_long_term: float | None = None
    gamma_sensory: float | None = None
    gamma_working: float | None = None
    gamma_long_term: float | None = None
    prompt_local: str = ""
    prompt_global: str = ""
    constants: FamilyConstants | None = field(default=None)

    @classmethod
    def settings_for(cls, constants: FamilyConstants) -> tuple[Setting, ...]:
        """The settings with a family's published constants as their defaults."""
        return settings_with(constants)

    def guidance_prompts(self, published: Mapping[str, str]) -> dict[str, str]:
        """The prompts in use: the settings' where they are not empty, else the model's own."""
        typed = {"local": self.prompt_local, "global": self.prompt_global}
        return {name: typed.get(name) or text for name, text in published.items()}

    def layer_constants(self, published: FamilyConstants, num_layers: int) -> tuple[LayerConstants, ...]:
        """The constants of every layer under these settings, where the family's are `published`."""
        values = {name: getattr(self, name) for name in CONSTANT_NAMES}
        changed = {name: value for name, value in values.items() if value is not None}
        return layer_constants(with_changes(self.constants or published, changed), num_layers, self.tiers)

    def check(self, backbone: Backbone) -> None:
        """See `Policy.check`; the guidance must be one of the two known, and its prompts must leave room for a question."""
        super().check(backbone)
        if self.guidance not in ("forward", "embedding"):
            raise HermesError(
                f"Guidance is either forward (the paper) or embedding (the released code), not “{self.guidance}”."
            )
        if self.prompt_local or self.prompt_global:
            prompts = self.guidance_prompts(backbone.card.guidance)
            tokens, room = len(backbone.tokenize("; ".join(prompts.values()))), reserve(backbone) // 2
            if tokens > room:
                raise HermesError(f"The guidance prompts take {tokens} tokens together, and there is room for {room}.")

    def ranked(self, step: Step, scores: list[Tensor]) -> list[Tensor]:  # noqa: ARG002 - for variants
        """What retention goes by, for each layer [tokens of that layer]: the scores themselves."""
        return scores

    def after_encode(self, step: Step) -> Outcome | None:
        """One step of the stream: guidance, importance, smoothing, retention, summary, re-indexing."""
        counts = step.video_tokens()
        if max(counts) <= self.budget:
            return None
        constants = self.layer_constants(step.backbone.constants, len(counts))
        attention = step.measure_guidance([c.alpha < 1 for c in constants], self.guidance, [c.tier for c in constants])
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
            retain(rank, self.budget - fold) if n > self.budget else None
            for rank, n, fold in zip(self.ranked(step, scores), counts, folds, strict=True)
        ]
        return self.retain(step, kept, folds)


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
