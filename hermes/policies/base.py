"""The base class of policies: a policy decides which cached tokens of a stream are retained.

A policy is a dataclass of settings with a few methods. It holds no tokens; each method receives the memory.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from hermes.backbones.base import Backbone
from hermes.errors import HermesError
from hermes.memory.chunk import Chunk
from hermes.memory.encoded import Layout
from hermes.memory.eviction import evict, reindex
from hermes.memory.guidance_prompts import prompts_of_tiers
from hermes.memory.layer import LayerMemory
from hermes.memory.positions import Reindexing, must_compact
from hermes.memory.scores import read_scores
from hermes.memory.stream_state import StateField
from hermes.memory.tiers import FamilyConstants
from hermes.policies.fidelity import CUSTOM, KINDS, Fidelity, fidelity_of_kind
from hermes.policies.limits import DEFAULT_BUDGET, ContextFullError, check_budget, check_frame, few_frames_note, reserve
from hermes.policies.settings import Setting, Value
from hermes.policies.step import AnswerSettings, Outcome, Recall, Step


@dataclass
class Policy(ABC):
    """A rule that decides which tokens of a stream are retained. Subclasses must implement only `after_encode`.

    The hooks run in this order: `on_frames` reduces a chunk before the decoder reads it; `encode_view` masks the memory for
    the chunk; `watched_rows` selects the tokens whose attention is recorded; `after_encode` evicts, merges or archives
    tokens; `make_room` ensures that enough positions are free; `before_answer` selects the memory for a question.

    A subclass that does not set `name`, `title`, `badge` or `about` itself gets them from its class name and the first line
    of its docstring; none of the four is inherited, so that a variant is never presented as the policy it derives from.
    `hermes.register_policy` makes a policy available by name.

    Attributes:
        name: Identifier on the command line, in the page and in the library.
        title: Display name.
        badge: Relation to the publication, in a few words.
        about: One sentence: what the policy keeps.
        citation: Publication; empty if there is none.
        needs: Requirements besides the model and the memory within the budget; empty if there are none.
        has_budget: Whether layers have a token budget.
        has_guidance: Whether the policy measures the attention of guidance prompts.
        spreads: Whether the policy supports models whose layers are on several devices.
        has_tiers: Whether layers have different roles: sensory, working and long-term memory.
        state_fields: Allowed tensors of the policy's state by name; a session file with others is rejected. None disables
            the check.
        settings: User settings besides the budget; each names a field of the policy.
        budget: Maximum number of video tokens per layer.
        reindexing: When positions are compacted.
    """

    name: ClassVar[str] = ""
    title: ClassVar[str] = ""
    badge: ClassVar[str] = CUSTOM
    about: ClassVar[str] = ""
    citation: ClassVar[str] = ""
    needs: ClassVar[str] = ""
    has_budget: ClassVar[bool] = True
    has_guidance: ClassVar[bool] = False
    spreads: ClassVar[bool] = False
    has_tiers: ClassVar[bool] = False
    settings: ClassVar[tuple[Setting, ...]] = ()
    state_fields: ClassVar[Mapping[str, StateField] | None] = None

    budget: int = DEFAULT_BUDGET
    reindexing: Reindexing = "lazy"

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        own = cls.__dict__
        spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", cls.__name__)
        cls.name = own.get("name") or spaced.lower().replace(" ", "-")
        cls.title = own.get("title") or spaced.capitalize()
        cls.badge = own.get("badge") or CUSTOM
        cls.about = own.get("about") or (own.get("__doc__") or "").strip().partition("\n")[0]

    @classmethod
    def kind_of(cls) -> str:
        """Return the short form of the badge for menus; empty if there is none."""
        return KINDS.get(cls.badge, "")

    @classmethod
    def fidelity_of(cls) -> Fidelity:
        """Return the group in which results of this policy are listed."""
        return fidelity_of_kind(cls.kind_of())

    @property
    def held_limit(self) -> int | None:
        """Maximum number of video tokens that a layer holds after a chunk: the budget; None if there is no limit."""
        return self.budget if self.has_budget else None

    @classmethod
    def settings_for(cls, constants: FamilyConstants) -> tuple[Setting, ...]:  # noqa: ARG003 - some policies need it
        """Return the settings with their defaults for a model family."""
        return cls.settings

    def changed(self) -> dict[str, Value]:
        """Return the settings that differ from their defaults, by name."""
        defaults = {item.name: item.default for item in fields(self)}
        now = {setting.name: getattr(self, setting.name) for setting in self.settings}
        return {name: value for name, value in now.items() if value != defaults[name]}

    def guidance_prompts(self, published: Mapping[str, str]) -> dict[str, str]:
        """Return the guidance prompts in use by name ("local", "global"); `published` are the model's own."""
        return dict(published) if self.has_guidance else {}

    def tier_prompts(self, published: Mapping[str, str], conversation: tuple[str, str] | None) -> dict[int, str]:
        """Return the guidance prompt of each tier after a conversation; `published` are the model's own prompts."""
        prompts = self.guidance_prompts(published) or published
        return prompts_of_tiers(prompts["local"], prompts["global"], conversation)

    def answer_settings(self) -> AnswerSettings:
        """Return how questions are put to the model and how answers are decoded."""
        return AnswerSettings()

    def check(self, backbone: Backbone) -> None:
        """Check the settings against the model.

        Raises:
            BudgetError: The budget is smaller than one frame, or exceeds the positions of the model.
            SettingError: A setting has an invalid value.
            HermesError: `reindexing` is neither "lazy" nor "eager", or the policy does not support a model on several
                devices.
        """
        for setting in self.settings:
            value = getattr(self, setting.name)
            if value is not None:  # None means the published value
                setting.checked(value)
        if backbone.is_spread and not self.spreads:
            raise HermesError(
                f"{self.title} needs a model on one device, and this model is spread over several. Choose another policy or "
                "a smaller model."
            )
        if self.reindexing not in ("lazy", "eager"):
            raise HermesError(f"Re-indexing must be lazy or eager, not “{self.reindexing}”.")
        if self.has_budget:
            check_budget(self.budget, backbone)

    def check_layout(self, layout: Layout) -> None:
        """Check the budget against the frames of a stream, once their size is known.

        Raises:
            BudgetError: The budget is smaller than one frame.
        """
        if self.has_budget:
            check_frame(self.budget, layout)

    def note_on(self, layout: Layout) -> str:
        """Return a warning if the budget holds fewer than `FEW_FRAMES` frames of a stream, as a sentence; else ""."""
        return few_frames_note(self.budget, layout) if self.has_budget else ""

    def on_frames(self, step: Step, chunk: Chunk) -> Chunk:  # noqa: ARG002 - for policies that reduce
        """Reduce a chunk before the decoder reads it: drop or merge tokens, insert pseudo-tokens."""
        return chunk

    def encode_view(self, step: Step, chunk: Chunk) -> Sequence[Tensor | None] | None:  # noqa: ARG002 - as above
        """Return the keys that each token of the chunk may see in each layer, bool [tokens, past + tokens].

        None, for one or all layers, means the whole memory and a causal mask within the chunk.
        """
        return None

    def watched_rows(self, step: Step, chunk: Chunk) -> slice | Tensor | None:  # noqa: ARG002 - as above
        """Return the tokens of the chunk whose attention is recorded in `Step.attention`; None records nothing."""
        return None

    def before_answer(self, step: Step, ids: Tensor) -> Recall | None:  # noqa: ARG002 - as above
        """Return the memory from which the question `ids` [tokens] is answered; None uses the current memory."""
        return None

    @abstractmethod
    def after_encode(self, step: Step) -> Outcome | None:
        """Evict tokens after a chunk was encoded; return None if no layer was over budget."""

    def make_room(self, step: Step, tokens: int) -> Outcome | None:
        """Ensure that `tokens` more positions fit into the model's range: evict tokens over budget, compact positions.

        Returns:
            What was evicted; None if there was enough room.

        Raises:
            ContextFullError: The policy keeps too many tokens.
        """
        most = step.backbone.max_positions - reserve(step.backbone) // 2
        if _last_position(step) + tokens <= most:
            return None
        if self.held_limit is None:
            raise ContextFullError(
                f"The memory is full: this policy keeps every token, and the model was trained on "
                f"{step.backbone.max_positions} positions. Choose a policy with a budget to continue."
            )
        nothing = (0,) * len(step.cache.layers)
        outcome = self.after_encode(step) or Outcome(nothing, nothing, ())
        for layer in step.cache.layers:
            reindex(layer, step.prompt_len, step.backbone.rotary)
        if _last_position(step) + tokens > most:
            raise ContextFullError(
                f"A chunk of {tokens} tokens and a budget of {self.budget} exceed this model's range. Push fewer frames at "
                "once, or choose a smaller budget."
            )
        return replace(outcome, reindexed=(True,) * len(step.cache.layers))

    def retain(self, step: Step, kept: Sequence[Tensor | None], summary: Sequence[bool] | None = None) -> Outcome:
        """Retain the chosen video tokens of each layer and evict the rest; the prompt always stays.

        Args:
            step: The current step.
            kept: For each layer the indices of the video tokens to retain, ascending, int64 [tokens]; 0 is the oldest video
                token of the layer. None retains all.
            summary: Whether each layer merges its evicted tokens into a summary token; None means no layer does.

        Returns:
            What was evicted, for `after_encode` to return.
        """
        summary = [False] * len(kept) if summary is None else summary
        evicted, merged, compacted = [], [], []
        prompt_len, backbone = step.prompt_len, step.backbone
        scores = read_scores(step.cache, kept, summary)
        prompt = torch.arange(prompt_len, device=backbone.device)
        compact = self._must_compact(step)
        for layer, keep, merges in zip(step.cache.layers, kept, summary, strict=True):
            if keep is None:
                evicted.append(0)
                merged.append(0)
                compacted.append(self._compact_complete(layer, step, compact=compact))
                continue
            whole = torch.cat((prompt.to(keep.device), keep + prompt_len)).to(layer.keys.device)
            count = evict(layer, whole, prompt_len, backbone.rotary, summary=merges, compacted=compact)
            evicted.append(count)
            merged.append(count if merges else 0)
            compacted.append(compact)
        return Outcome(tuple(evicted), tuple(merged), tuple(compacted), scores)

    def retain_by_head(self, step: Step, kept: Sequence[Tensor | None]) -> Outcome:
        """Retain the chosen video tokens of each head and evict the rest; the prompt always stays.

        Args:
            step: The current step.
            kept: For each layer the indices of the video tokens that each head retains, ascending in each row, int64
                [kv_heads, tokens]; None retains all.

        Returns:
            What was evicted, for `after_encode` to return.
        """
        evicted, compacted = [], []
        compact = self._must_compact(step)
        for layer, keep in zip(step.cache.layers, kept, strict=True):
            if keep is None:
                evicted.append(0)
                compacted.append(self._compact_complete(layer, step, compact=compact))
                continue
            before = layer.length
            prompt = torch.arange(step.prompt_len, device=keep.device).expand(keep.shape[0], -1)
            layer.retain(torch.cat((prompt, keep + step.prompt_len), dim=1))
            if compact:
                reindex(layer, step.prompt_len, step.backbone.rotary)
            evicted.append(before - layer.length)
            compacted.append(compact)
        return Outcome(tuple(evicted), (0,) * len(evicted), tuple(compacted))

    def _must_compact(self, step: Step) -> bool:
        """Return whether this eviction compacts positions: in all layers at once, as in the released code.

        Lazily, that is when the newest position of any layer, before the eviction, exceeds the limit.
        """
        return must_compact(step.cache.next_positions() - 1, self.reindexing, step.backbone.max_positions)

    def _compact_complete(self, layer: LayerMemory, step: Step, *, compact: bool) -> bool:
        """Compact a layer that evicts nothing, if the others do so lazily; returns whether it was compacted."""
        compact = compact and self.reindexing == "lazy"
        if compact:
            reindex(layer, step.prompt_len, step.backbone.rotary)
        return compact

    def retain_newest(self, step: Step, first: int = 0) -> Outcome | None:
        """Retain `held_limit` video tokens of each layer: the `first` oldest ones and the newest.

        Returns:
            What was evicted; None if no layer was over the limit.
        """
        counts, limit = step.video_tokens(), self.held_limit
        if limit is None or max(counts) <= limit:
            return None
        device = step.backbone.device
        kept = [
            torch.cat((torch.arange(first, device=device), torch.arange(n - limit + first, n, device=device)))
            if n > limit
            else None
            for n in counts
        ]
        return self.retain(step, kept)


def _last_position(step: Step) -> int:
    return int(step.cache.next_positions().max())
