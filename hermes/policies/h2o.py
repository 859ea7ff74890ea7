"""H2O: per head, the heavy hitters by accumulated attention and the newest tokens (arXiv 2306.14048)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from hermes.memory.chunk import Chunk
from hermes.memory.layer import GUIDANCE
from hermes.policies.base import Policy
from hermes.policies.by_head import chunk_attention, note, split
from hermes.policies.fidelity import BASELINE
from hermes.policies.ops.attention_scores import heavy_and_recent
from hermes.policies.settings import OUR_REINDEXING, Setting
from hermes.policies.step import Outcome, Step


@dataclass
class H2O(Policy):
    """Each head keeps the tokens with the most accumulated attention, and the newest ones.

    Attributes:
        recent: Share of the budget for the newest tokens.
    """

    name: ClassVar[str] = "h2o"
    title: ClassVar[str] = "H2O"
    badge: ClassVar[str] = BASELINE
    about: ClassVar[str] = (
        "Each head keeps the tokens that have received the most attention so far, and the newest ones."
    )
    citation: ClassVar[str] = "H2O, arXiv 2306.14048"
    spreads: ClassVar[bool] = True
    settings: ClassVar[tuple[Setting, ...]] = (
        Setting(
            "recent",
            "Newest tokens",
            "Share of the budget for the newest tokens; the rest is for heavy hitters.",
            "number",
            0.5,
            low=0.05,
            high=0.95,
            step=0.05,
        ),
        OUR_REINDEXING,
    )

    recent: float = 0.5

    def watched_rows(self, step: Step, chunk: Chunk) -> slice | Tensor | None:  # noqa: ARG002
        """Every token of the chunk."""
        return slice(None)

    def after_encode(self, step: Step) -> Outcome | None:
        """Accumulate attention per head; if over budget, keep the heavy hitters and the newest tokens."""
        if step.attention is None:
            return self.retain_newest(step)
        start, kept = step.prompt_len, []
        for index, layer in enumerate(step.cache.layers):
            # The sums are stored in the head's table, so that an eviction also selects them.
            sums = split(layer).figures[:, GUIDANCE, start : layer.length]
            total = torch.nan_to_num(sums) + chunk_attention(step, index)[:, start:]
            sums.copy_(total)
            over = layer.length - start > self.budget
            if over:
                note(layer, start, total)
            kept.append(heavy_and_recent(total, self.budget, round(self.budget * self.recent)) if over else None)
        return self.retain_by_head(step, kept) if any(keep is not None for keep in kept) else None
