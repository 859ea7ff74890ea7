"""SnapKV at the question: an upper bound that holds the full cache and reads what the question attends to.

arXiv 2404.14469. The publication compresses the prompt once, after the question has been read. Here the question is read
again from the selected tokens, so that every token of the answer depends on them; in the publication the first token comes
from the full cache.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from hermes.memory.layer import LayerMemory
from hermes.policies.base import Policy
from hermes.policies.fidelity import UPPER_BOUND
from hermes.policies.ops.attention_scores import by_kv_head, pooled
from hermes.policies.ops.probe import probe_heads
from hermes.policies.settings import Setting
from hermes.policies.snapkv import POOLING
from hermes.policies.step import Outcome, Recall, Step


@dataclass
class SnapKVQuestion(Policy):
    """Holds every token; for a question, each head reads the `budget` tokens that the question attends to.

    Attributes:
        window: Number of last tokens of the question's prompt that are observed.
        pooling: Width of the average pooling over neighbouring tokens.
    """

    name: ClassVar[str] = "snapkv-question"
    title: ClassVar[str] = "SnapKV at the question (upper bound)"
    badge: ClassVar[str] = UPPER_BOUND
    about: ClassVar[str] = (
        "Holds the full cache; for a question, each head reads only the tokens that the question attends to. A bound for "
        "policies that evict before they know the question."
    )
    citation: ClassVar[str] = "SnapKV, arXiv 2404.14469"
    needs: ClassVar[str] = "a full cache, which grows until the model runs out of positions"
    settings: ClassVar[tuple[Setting, ...]] = (
        Setting(
            "window",
            "Observation window",
            "Number of last tokens of the question, with the chat template after it, whose attention selects the tokens.",
            "number",
            32,
            low=1,
            high=512,
            step=1,
            source="released code",
        ),
        POOLING,
    )

    window: int = 32
    pooling: int = 5

    @property
    def held_limit(self) -> int | None:
        """No limit: the budget applies to what a question reads."""
        return None

    def after_encode(self, step: Step) -> Outcome | None:  # noqa: ARG002
        """Evict nothing."""
        return None

    def before_answer(self, step: Step, ids: Tensor) -> Recall | None:
        """Select each head's tokens by the attention of the last tokens of `ids`; None if everything fits the budget."""
        if max(step.video_tokens()) <= self.budget:
            return None
        attention = probe_heads(step.backbone, step.cache, ids, slice(-self.window, None))
        layers = [
            self._read(layer, by_kv_head(votes.to(layer.keys.device), step.backbone.kv_heads), step.prompt_len)
            for layer, votes in zip(step.cache.layers, attention, strict=True)
        ]
        return Recall(step.cache.with_layers(layers))

    def _read(self, layer: LayerMemory, votes: Tensor, start: int) -> LayerMemory:
        """Return a new layer with the prompt and the tokens that each head reads; `votes` are [kv_heads, tokens]."""
        scores = pooled(votes, self.pooling | 1)[:, start:]
        if scores.shape[1] <= self.budget:
            return layer.copy_of(torch.arange(layer.length))
        chosen = scores.topk(self.budget, dim=1).indices.sort(dim=1).values + start
        prompt = torch.arange(start, device=chosen.device).expand(len(chosen), -1)
        read = replace(layer, shared=True)
        read.retain(torch.cat((prompt, chosen), dim=1))
        return read
