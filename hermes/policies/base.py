"""What a policy is: the rule that decides which cached tokens of a stream stay.

A policy is a dataclass of settings with a few methods. It holds no tokens: the memory is handed to it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import ClassVar

import torch
from torch import Tensor

from hermes.backbones.base import Backbone
from hermes.errors import HermesError
from hermes.memory.cache import MemoryCache, evict, reindex
from hermes.memory.positions import RESERVE, Reindexing, must_compact
from hermes.memory.scores import Scores, read_scores
from hermes.memory.tiers import FamilyConstants
from hermes.policies.settings import Setting, Value

DEFAULT_BUDGET = 4000
"""Video tokens a layer in the publication (also 6,000)."""
PUBLISHED_CHUNK = 16
"""Frames a chunk in the publication."""


class BudgetError(HermesError):
    """The budget is too small or too large for the model."""


class ContextFullError(HermesError):
    """The policy keeps more tokens than the model has positions for."""


@dataclass(frozen=True)
class Step:
    """What a policy sees after a chunk was encoded.

    Attributes:
        backbone: The model.
        cache: The memory, to be changed in place.
        measure_guidance: Attention of the guidance prompts on the video tokens of each layer that is wanted; takes which
            layers are, the guidance mode and, if not each layer's own, the tiers whose prompts they are given.
    """

    backbone: Backbone
    cache: MemoryCache
    measure_guidance: Callable[..., list[Tensor | None]]

    @property
    def prompt_len(self) -> int:
        """Prompt tokens at the head of every layer."""
        return self.cache.prompt_len

    def video_tokens(self) -> list[int]:
        """Video tokens that each layer holds, `N_l`."""
        return [layer.length - self.prompt_len for layer in self.cache.layers]


@dataclass(frozen=True)
class Outcome:
    """What an eviction did, layer by layer: tokens evicted, of those folded into a summary, positions compacted or not.

    `scores` is what every token scored before; None where nothing was evicted.
    """

    evicted: tuple[int, ...]
    folded: tuple[int, ...]
    reindexed: tuple[bool, ...]
    scores: Scores | None = None


@dataclass
class Policy(ABC):
    """A rule for the memory of a stream.

    Attributes:
        name: Its name in page, command line and library.
        title: Its name for people.
        badge: How close it is to its publication, in a few words.
        about: One sentence: what it keeps.
        citation: Where it was published.
        has_budget: Whether it keeps layers under a budget.
        has_guidance: Whether it measures attention of guidance prompts.
        has_tiers: Whether its layers play different parts: sensory, working and long-term memory.
        settings: What can be changed about it beside the budget; each is one of its fields.
        budget: Video tokens that a layer may hold.
        reindexing: When positions are compacted.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    badge: ClassVar[str]
    about: ClassVar[str]
    citation: ClassVar[str]
    has_budget: ClassVar[bool] = True
    has_guidance: ClassVar[bool] = False
    has_tiers: ClassVar[bool] = False
    settings: ClassVar[tuple[Setting, ...]] = ()

    budget: int = DEFAULT_BUDGET
    reindexing: Reindexing = "lazy"

    @classmethod
    def settings_for(cls, constants: FamilyConstants) -> tuple[Setting, ...]:  # noqa: ARG003 - some policies need it
        """The settings with their defaults for a family; the same for all where nothing published depends on it."""
        return cls.settings

    def changed(self) -> dict[str, Value]:
        """The settings that differ from their defaults, by name."""
        defaults = {item.name: item.default for item in fields(self)}
        now = {setting.name: getattr(self, setting.name) for setting in self.settings}
        return {name: value for name, value in now.items() if value != defaults[name]}

    def guidance_prompts(self, published: Mapping[str, str]) -> dict[str, str]:
        """The generic prompts in use, by name ("local", "global"), where the model brings `published`."""
        return dict(published) if self.has_guidance else {}

    def check(self, backbone: Backbone) -> None:
        """See that the settings fit the model.

        Raises:
            BudgetError: The budget is under one frame, or more than the model has positions for.
            SettingError: A setting has a value that it cannot take.
            HermesError: `reindexing` is neither "lazy" nor "eager".
        """
        for setting in self.settings:
            value = getattr(self, setting.name)
            if value is not None:  # None stands for what was published
                setting.checked(value)
        if self.reindexing not in ("lazy", "eager"):
            raise HermesError(f"Re-indexing is either lazy or eager, not “{self.reindexing}”.")
        if not self.has_budget:
            return
        least, most = backbone.tokens_per_frame, largest_budget(backbone)
        if self.budget < least:
            raise BudgetError(
                f"A budget of {self.budget} is too small: a layer must hold at least one frame, which is {least} tokens."
            )
        if self.budget > most:
            raise BudgetError(
                f"A budget of {self.budget} is too large: this model was trained on {backbone.max_positions} positions, "
                f"which leaves room for {most} video tokens, a chunk and a question."
            )

    @abstractmethod
    def after_encode(self, step: Step) -> Outcome | None:
        """Let go of what the rule does not keep, after a chunk was encoded; None if nothing was over budget."""

    def make_room(self, step: Step, tokens: int) -> Outcome | None:
        """See that `tokens` more positions fit into the model's range: let go of what is over budget, compact positions.

        Returns:
            What it took; None if there was room.

        Raises:
            ContextFullError: The policy keeps too much.
        """
        most = step.backbone.max_positions - reserve(step.backbone) // 2
        if _last_position(step) + tokens <= most:
            return None
        if not self.has_budget:
            raise ContextFullError(
                f"The memory is full: this policy keeps every token, and the model was trained on "
                f"{step.backbone.max_positions} positions. Choose a policy with a budget to go on."
            )
        nothing = (0,) * len(step.cache.layers)
        outcome = self.after_encode(step) or Outcome(nothing, nothing, ())
        for layer in step.cache.layers:
            reindex(layer, step.prompt_len, step.backbone.rotary)
        if _last_position(step) + tokens > most:
            raise ContextFullError(
                f"A chunk of {tokens} tokens does not fit into this model's range beside a budget of {self.budget}: "
                "push fewer frames at once or choose a smaller budget."
            )
        return replace(outcome, reindexed=(True,) * len(step.cache.layers))

    def _evict_layers(self, step: Step, kept: Sequence[Tensor | None], summary: Sequence[bool]) -> Outcome:
        """Keep `kept[l]` (video-token indices, ascending; None: all) in each layer; fold the rest where `summary[l]`."""
        evicted, folded, compacted = [], [], []
        prompt_len, backbone = step.prompt_len, step.backbone
        scores = read_scores(step.cache, kept, summary)
        prompt = torch.arange(prompt_len, device=backbone.device)
        for layer, keep, fold in zip(step.cache.layers, kept, summary, strict=True):
            if keep is None:
                evicted.append(0)
                folded.append(0)
                compacted.append(False)
                continue
            whole = torch.cat((prompt, keep + prompt_len))
            newest = layer.positions[:, whole] if layer.positions.shape[0] > 1 else layer.positions[:, whole[-1:]]
            compact = must_compact(newest, self.reindexing, backbone.max_positions)
            count = evict(layer, whole, prompt_len, backbone.rotary, summary=fold, compacted=compact)
            evicted.append(count)
            folded.append(count if fold else 0)
            compacted.append(compact)
        return Outcome(tuple(evicted), tuple(folded), tuple(compacted), scores)


def _last_position(step: Step) -> int:
    return int(step.cache.next_positions().max())


def largest_budget(backbone: Backbone) -> int:
    """Most video tokens a layer may hold so that a chunk and a question still fit into the model's range."""
    return backbone.max_positions - reserve(backbone) - PUBLISHED_CHUNK * backbone.tokens_per_frame


def reserve(backbone: Backbone) -> int:
    """Positions kept free for a question and its answer: 1,024, or a quarter of a very short range."""
    return min(RESERVE, backbone.max_positions // 4)
