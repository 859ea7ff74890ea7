"""StreamingLLM's attention sinks: the first and the newest tokens, with positions inside the cache (arXiv 2309.17453)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from hermes.memory.positions import Reindexing
from hermes.policies.base import Policy
from hermes.policies.fidelity import BASELINE
from hermes.policies.settings import REINDEXING, Setting
from hermes.policies.step import Outcome, Step


@dataclass
class AttentionSink(Policy):
    """Keeps the prompt, the first `sinks` tokens of the video and the newest tokens.

    Attributes:
        sinks: Number of first video tokens that are never evicted.
    """

    name: ClassVar[str] = "attention-sink"
    title: ClassVar[str] = "Attention sink"
    badge: ClassVar[str] = BASELINE
    about: ClassVar[str] = (
        "Keeps the prompt, the first video tokens and the newest ones; positions are counted inside the cache."
    )
    citation: ClassVar[str] = "StreamingLLM, arXiv 2309.17453"
    spreads: ClassVar[bool] = True
    settings: ClassVar[tuple[Setting, ...]] = (
        Setting(
            "sinks",
            "Sink tokens",
            "Number of first video tokens that are never evicted. The publication keeps the first 4 of all tokens; here "
            "those belong to the prompt.",
            "number",
            4,
            low=0,
            high=64,
            step=1,
        ),
        replace(REINDEXING, default="eager"),
    )

    sinks: int = 4
    reindexing: Reindexing = "eager"

    def after_encode(self, step: Step) -> Outcome | None:
        """Evict the tokens between the sinks and the newest tokens."""
        return self.retain_newest(step, first=min(self.sinks, self.budget - 1))
