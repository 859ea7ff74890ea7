"""Sliding window: keeps the prompt and the newest tokens in every layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hermes.policies.base import Policy
from hermes.policies.step import Outcome, Step


@dataclass
class SlidingWindow(Policy):
    """Keeps the prompt and the newest `budget` video tokens."""

    name: ClassVar[str] = "sliding-window"
    title: ClassVar[str] = "Sliding window"
    badge: ClassVar[str] = "baseline"
    about: ClassVar[str] = "Keeps the newest tokens in every layer and forgets everything older."
    citation: ClassVar[str] = "the standard baseline for streaming inference"
    spreads: ClassVar[bool] = True

    def after_encode(self, step: Step) -> Outcome | None:
        """Evict all but the newest tokens of each layer."""
        return self.retain_newest(step)
