"""Last-patches vote: per head, keeps the tokens that the last patches of each chunk attend to, in the style of SnapKV.

SnapKV (arXiv 2404.14469) observes the attention of the question. A stream has no question yet, so here the last patches of
each chunk vote. `hermes.policies.snapkv_question` runs SnapKV at the question.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from hermes.memory.chunk import Chunk
from hermes.policies.base import Policy
from hermes.policies.by_head import chunk_attention, note
from hermes.policies.fidelity import BASELINE
from hermes.policies.ops.attention_scores import heavy_and_recent, pooled
from hermes.policies.settings import OUR_REINDEXING, Setting
from hermes.policies.step import Outcome, Step

POOLING = Setting(
    "pooling",
    "Pooling width",
    "Number of neighbouring tokens over which attention scores are averaged.",
    "number",
    5,
    low=1,
    high=15,
    step=2,
    source="released code",
)


@dataclass
class SnapKV(Policy):
    """Each head keeps the newest tokens and the tokens that they attend to.

    Attributes:
        window: Number of newest tokens that are observed and always kept.
        pooling: Width of the average pooling over neighbouring tokens.
    """

    name: ClassVar[str] = "snapkv"
    title: ClassVar[str] = "Last-patches vote (SnapKV-style)"
    badge: ClassVar[str] = BASELINE
    about: ClassVar[str] = (
        "Each head keeps the last patches of each chunk and the tokens that they attend to, averaged over neighbours."
    )
    citation: ClassVar[str] = "after SnapKV, arXiv 2404.14469, where the question votes instead of the last patches"
    spreads: ClassVar[bool] = True
    settings: ClassVar[tuple[Setting, ...]] = (
        Setting(
            "window",
            "Observation window",
            "Number of last tokens of a chunk that are observed and always kept, at most half the budget. The publication "
            "uses the last 32 tokens of the question.",
            "number",
            32,
            low=1,
            high=512,
            step=1,
            source="ours",
        ),
        POOLING,
        OUR_REINDEXING,
    )

    window: int = 32
    pooling: int = 5

    def watched_rows(self, step: Step, chunk: Chunk) -> slice | Tensor | None:  # noqa: ARG002
        """The last tokens of the chunk."""
        return slice(-self._observed(), None)

    def _observed(self) -> int:
        return min(self.window, max(self.budget // 2, 1))

    def after_encode(self, step: Step) -> Outcome | None:
        """If over budget, keep the observation window and the tokens that it attends to."""
        if step.attention is None:
            return self.retain_newest(step)
        start = step.prompt_len
        kept: list[Tensor | None] = []
        for index, layer in enumerate(step.cache.layers):
            over = layer.length - start > self.budget
            if not over:
                kept.append(None)
                continue
            attention, observed = chunk_attention(step, index)[:, start:], self._observed()
            # As in the released code, the observed tokens themselves are not pooled: they are kept anyway.
            votes = torch.cat((pooled(attention[:, :-observed], self.pooling | 1), attention[:, -observed:]), dim=1)
            note(layer, start, votes)
            kept.append(heavy_and_recent(votes, self.budget, observed))
        return self.retain_by_head(step, kept) if any(keep is not None for keep in kept) else None
