"""HERMES: KV cache as hierarchical memory (arXiv 2601.14724, ACL 2026), training-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from hermes.backbones.base import Backbone
from hermes.errors import HermesError
from hermes.memory.guidance import GuidanceMode
from hermes.memory.guidance_prompts import RELEASED_GLOBAL, RELEASED_LOCAL, Wording, prompts_of_tiers
from hermes.memory.importance import importance, recency, retain, smooth
from hermes.memory.layer import GUIDANCE, IMPORTANCE, RECENCY
from hermes.memory.tiers import LONG_TERM, FamilyConstants, LayerConstants, TierRule, layer_constants
from hermes.policies.base import Policy
from hermes.policies.hermes_settings import CONSTANT_NAMES, SETTINGS, settings_with, with_changes
from hermes.policies.limits import reserve
from hermes.policies.settings import Setting
from hermes.policies.step import AnswerSettings, Outcome, Step


@dataclass
class Hermes(Policy):
    """Three tiers of layers with one budget and one rule each; evicted long-term tokens merge into a summary token.

    Attributes:
        guidance: "forward" is the forward pass that the paper describes; "embedding" is the method of the released code,
            with which all published numbers were made.
        smoothing: Whether importance is smoothed across layers, as in the paper.
        summary: Whether long-term layers merge their evicted tokens into a summary token, as in the paper.
        tiers: Which tier's rule each layer follows.
        alpha_sensory: This field and the others that start with alpha, k or gamma override a published constant; None keeps
            it. The working tier's α and k vary with depth: "top" is its shallow end, "bottom" its deep end.
        prompt_local: Overrides the model's local guidance prompt; empty keeps it.
        prompt_global: Overrides the model's global guidance prompt; empty keeps it.
        wording: Whose guidance prompts, and whose form after a question.
        chat: Whose chat format, see `AnswerSettings`; applies when a stream starts.
        answer_prefix: Text with which answers to multiple-choice questions start.
        repetition_penalty: Penalty of tokens that the answer contains, 1 (off) to 2.
        constants: Overrides the family's published constants, before single overrides; None keeps them.
    """

    name: ClassVar[str] = "hermes"
    title: ClassVar[str] = "HERMES"
    badge: ClassVar[str] = "original method, no training"
    about: ClassVar[str] = (
        "Shallow layers keep the newest tokens, deep layers the tokens that a generic prompt attends to, and middle layers "
        "a blend; every layer stays within the same budget."
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
    wording: Wording = "the model’s"
    chat: Wording = "the model’s"
    answer_prefix: str = ""
    repetition_penalty: float = 1.0
    constants: FamilyConstants | None = field(default=None)

    @classmethod
    def settings_for(cls, constants: FamilyConstants) -> tuple[Setting, ...]:
        """Return the settings with a family's published constants as defaults."""
        return settings_with(constants)

    def guidance_prompts(self, published: Mapping[str, str]) -> dict[str, str]:
        """Return the prompts in use: those of the settings or, where they are empty, of the chosen wording."""
        if self.wording == "released":
            published = {"local": RELEASED_LOCAL, "global": RELEASED_GLOBAL}
        typed = {"local": self.prompt_local, "global": self.prompt_global}
        return {name: typed.get(name) or text for name, text in published.items()}

    def tier_prompts(self, published: Mapping[str, str], conversation: tuple[str, str] | None) -> dict[int, str]:
        """See `Policy.tier_prompts`."""
        prompts = self.guidance_prompts(published)
        return prompts_of_tiers(prompts["local"], prompts["global"], conversation, self.wording)

    def answer_settings(self) -> AnswerSettings:
        """See `Policy.answer_settings`."""
        return AnswerSettings(self.chat == "released", self.answer_prefix, self.repetition_penalty)

    def layer_constants(self, published: FamilyConstants, num_layers: int) -> tuple[LayerConstants, ...]:
        """Return the constants of every layer with these settings applied to the `published` ones."""
        values = {name: getattr(self, name) for name in CONSTANT_NAMES}
        changed = {name: value for name, value in values.items() if value is not None}
        return layer_constants(with_changes(self.constants or published, changed), num_layers, self.tiers)

    def check(self, backbone: Backbone) -> None:
        """See `Policy.check`; also checks the guidance mode and the length of the guidance prompts."""
        super().check(backbone)
        if self.guidance not in ("forward", "embedding"):
            raise HermesError(
                f"Guidance must be forward (the paper) or embedding (the released code), not “{self.guidance}”."
            )
        if self.prompt_local or self.prompt_global or self.wording == "released":
            prompts = self.guidance_prompts(backbone.card.guidance)
            tokens, room = len(backbone.tokenize("; ".join(prompts.values()))), reserve(backbone) // 2
            if tokens > room:
                raise HermesError(f"The guidance prompts have {tokens} tokens together; at most {room} fit.")

    def ranked(self, step: Step, scores: list[Tensor]) -> list[Tensor]:  # noqa: ARG002 - for variants
        """Return the retention ranking of each layer [tokens of that layer]: the scores, unless a subclass changes them."""
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
        merges = [self.summary and c.tier == LONG_TERM for c in constants]
        kept = [
            retain(rank, self.budget - merge) if n > self.budget else None  # a summary token takes one slot
            for rank, n, merge in zip(self.ranked(step, scores), counts, merges, strict=True)
        ]
        return self.retain(step, kept, merges)


def score_layers(
    attention: list[Tensor | None],
    recencies: list[Tensor],
    constants: tuple[LayerConstants, ...],
    *,
    smoothing: bool = True,
) -> list[Tensor]:
    """Return the importance of every layer's video tokens, smoothed across layers (paper sections 3.3 and 3.4).

    Args:
        attention: Guidance attention of each layer [tokens of that layer]; None where alpha is 1.
        recencies: Recency of each layer's tokens [tokens of that layer].
        constants: Constants of each layer.
        smoothing: Whether scores are smoothed from the deepest layer up.

    Returns:
        For each layer float32 [tokens of that layer], 0 to 1.
    """
    scores = [importance(a, r, c.alpha) for a, r, c in zip(attention, recencies, constants, strict=True)]
    return smooth(scores, [c.gamma for c in constants]) if smoothing else scores
