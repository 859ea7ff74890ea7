"""The full cache: nothing is ever evicted. The upper bound in quality, and what does not last on a stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hermes.policies.base import Outcome, Policy, Step


@dataclass
class Full(Policy):
    """Keeps every token, until the model has no positions left."""

    name: ClassVar[str] = "full"
    title: ClassVar[str] = "Full cache"
    badge: ClassVar[str] = "baseline"
    about: ClassVar[str] = (
        "Keeps every token of every frame; memory and waiting grow until the model has no positions left."
    )
    citation: ClassVar[str] = "the usual KV cache"
    spreads: ClassVar[bool] = True
    has_budget: ClassVar[bool] = False

    budget: int = -1

    def after_encode(self, step: Step) -> Outcome | None:  # noqa: ARG002
        """Nothing is evicted."""
        return None
