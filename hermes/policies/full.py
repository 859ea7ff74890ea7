"""Full cache without eviction: an upper bound in quality that eventually runs out of positions on a stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hermes.policies.base import Policy
from hermes.policies.step import Outcome, Step


@dataclass
class Full(Policy):
    """Keeps every token until the model runs out of positions."""

    name: ClassVar[str] = "full"
    title: ClassVar[str] = "Full cache"
    badge: ClassVar[str] = "baseline"
    about: ClassVar[str] = (
        "Keeps every token of every frame; memory and latency grow until the model runs out of positions."
    )
    citation: ClassVar[str] = "the standard KV cache"
    spreads: ClassVar[bool] = True
    has_budget: ClassVar[bool] = False

    budget: int = -1

    def after_encode(self, step: Step) -> Outcome | None:  # noqa: ARG002
        """Evict nothing."""
        return None
