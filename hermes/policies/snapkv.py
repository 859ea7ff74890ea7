"""SnapKV: per head, keeps the tokens that the last queries attend to, pooled over neighbours (arXiv 2404.14469).

The publication observes the attention of the question at the end of the prompt. A stream has no question yet, so here the
observation window is the last tokens of each chunk.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from hermes.memory.chunk import Chunk
from hermes.policies.base import BASELINE, Outcome, Policy, Step
from hermes.policies.by_head import chunk_attention, note
from hermes.policies.ops.attention_scores import heavy_and_recent, pooled
from hermes.policies.settings import OUR_REINDEXING, Setting


@dataclass
class SnapKV(Policy):
    """Each head keeps the newest tokens and the tokens that they attend to.

    Attributes:
        window: Number of newest tokens that are observed and always kept.
        pooling: Width of the max pooling over neighbouring tokens.
    """

    name: ClassVar[str] = "snapkv"
    title: ClassVar[str] = "SnapKV"
    badge: ClassVar[str] = BASELINE
    about: ClassVar[str] = (
        "Each head keeps the last tokens of each chunk and the tokens that they attend to, pooled over neighbours."
    )
    citation: ClassVar[str] = "SnapKV, arXiv 2404.14469; here the chunk is observed, not the question"
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
        Setting(
            "pooling",
            "Pooling width",
            "Number of neighbouring tokens that share their largest attention score.",
            "number",
            5,
            low=1,
            high=15,
            step=2,
            source="released code",
        ),
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
            votes = pooled(chunk_attention(step, index)[:, start:], self.pooling | 1)
            note(layer, start, votes)
            kept.append(heavy_and_recent(votes, self.budget, self._observed()))
        return self.retain_by_head(step, kept) if any(keep is not None for keep in kept) else None
