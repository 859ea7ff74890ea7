"""SnapKV: what the last queries attend to, pooled over neighbours, head by head (arXiv 2404.14469).

Published for a prompt whose last tokens are the question. A stream has no question yet: here the last patches of each chunk
are the observation window, which is ours.
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
    """Each head keeps what the newest tokens attend to, and those newest tokens.

    Attributes:
        window: Newest tokens that vote and always stay.
        pooling: Neighbouring tokens that share the largest vote among them.
    """

    name: ClassVar[str] = "snapkv"
    title: ClassVar[str] = "SnapKV"
    badge: ClassVar[str] = BASELINE
    about: ClassVar[str] = (
        "Each head keeps what the last tokens of each chunk attend to, votes pooled over neighbours; those last tokens stay."
    )
    citation: ClassVar[str] = "SnapKV, arXiv 2404.14469; here the chunk votes, not the question"
    spreads: ClassVar[bool] = True
    settings: ClassVar[tuple[Setting, ...]] = (
        Setting(
            "window",
            "Observation window",
            "Last tokens of a chunk that vote and always stay, at most half the budget; published are the last 32 of the "
            "question.",
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
            "Neighbouring tokens that share their largest vote.",
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
        """Over budget, keep what the observation window votes for, and the window."""
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
