"""HERMES+: HERMES with two changes of our own, chosen on tuning streams and better than HERMES on held-out ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Final

from torch import Tensor

from hermes.memory.importance import protect_newest
from hermes.memory.layer import FRAME
from hermes.memory.tiers import FamilyConstants
from hermes.policies.hermes import Hermes
from hermes.policies.hermes_settings import SETTINGS
from hermes.policies.settings import Setting
from hermes.policies.step import Step

DEEP_END: Final = 0.3
"""α at the deep end of the working tier; the paper uses 0.1 and 0.15."""
_NEWEST = Setting(
    "newest",
    "Newest frames",
    "Number of newest frames that every layer keeps completely, regardless of their scores.",
    "number",
    1,
    low=0,
    high=16,
    step=1,
    source="ours",
)


def _ours(settings: tuple[Setting, ...]) -> tuple[Setting, ...]:
    """Return HERMES's settings with our additions and defaults."""
    changed = {"alpha_working_bottom": DEEP_END}
    return (
        _NEWEST,
        *(replace(s, default=changed[s.name], source="ours") if s.name in changed else s for s in settings),
    )


@dataclass
class HermesPlus(Hermes):
    """HERMES, except that every layer keeps the whole newest frame, and deep working layers weight recency more.

    Attributes:
        newest: Number of newest frames that every layer keeps, regardless of their scores.
    """

    name: ClassVar[str] = "hermes+"
    title: ClassVar[str] = "HERMES+"
    badge: ClassVar[str] = "ours, based on HERMES"
    about: ClassVar[str] = (
        "Like HERMES, but every layer keeps the whole newest frame, and the deep working layers weight recency more."
    )
    citation: ClassVar[str] = "builds on HERMES, arXiv 2601.14724"
    settings: ClassVar[tuple[Setting, ...]] = _ours(SETTINGS)

    newest: int = 1
    alpha_working_bottom: float | None = DEEP_END

    @classmethod
    def settings_for(cls, constants: FamilyConstants) -> tuple[Setting, ...]:
        """Return the settings with a family's published constants as defaults, except for our own."""
        return _ours(super().settings_for(constants))

    def ranked(self, step: Step, scores: list[Tensor]) -> list[Tensor]:
        """Return the scores with the newest frames ranked above all others."""
        videos = (layer.labels[FRAME, step.prompt_len : layer.length] for layer in step.cache.layers)
        return [
            protect_newest(score, frame.to(score.device), self.newest)
            for score, frame in zip(scores, videos, strict=True)
        ]
