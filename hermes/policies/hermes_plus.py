"""HERMES+: HERMES with two changes of ours, which did better in the lab on streams that it was not chosen on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Final

from torch import Tensor

from hermes.memory.cache import FRAME
from hermes.memory.importance import protect_newest
from hermes.memory.tiers import FamilyConstants
from hermes.policies.base import Step
from hermes.policies.hermes import Hermes
from hermes.policies.hermes_settings import SETTINGS
from hermes.policies.settings import Setting

DEEP_END: Final = 0.3
"""α at the deep end of the working tier; the paper has 0.1 and 0.15."""
_NEWEST = Setting(
    "newest",
    "Newest frames",
    "How many of the newest frames every layer keeps whole, whatever they score.",
    "number",
    1,
    low=0,
    high=16,
    step=1,
    source="ours",
)


def _ours(settings: tuple[Setting, ...]) -> tuple[Setting, ...]:
    """HERMES's settings with ours among them."""
    changed = {"alpha_working_bottom": DEEP_END}
    return (
        _NEWEST,
        *(replace(s, default=changed[s.name], source="ours") if s.name in changed else s for s in settings),
    )


@dataclass
class HermesPlus(Hermes):
    """HERMES, but every layer keeps the newest frame whole, and deep working layers weigh recency more.

    Attributes:
        newest: How many of the newest frames every layer keeps, whatever they score.
    """

    name: ClassVar[str] = "hermes+"
    title: ClassVar[str] = "HERMES+"
    badge: ClassVar[str] = "ours, based on HERMES"
    about: ClassVar[str] = (
        "As HERMES, but every layer keeps the newest frame whole, and the deep working layers weigh recency more."
    )
    citation: ClassVar[str] = "builds on HERMES, arXiv 2601.14724"
    settings: ClassVar[tuple[Setting, ...]] = _ours(SETTINGS)

    newest: int = 1
    alpha_working_bottom: float | None = DEEP_END

    @classmethod
    def settings_for(cls, constants: FamilyConstants) -> tuple[Setting, ...]:
        """The settings with a family's published constants as their defaults, where they are not ours."""
        return _ours(super().settings_for(constants))

    def ranked(self, step: Step, scores: list[Tensor]) -> list[Tensor]:
        """The scores, with the newest frames above all others."""
        videos = (layer.labels[FRAME, step.prompt_len : layer.length] for layer in step.cache.layers)
        return [
            protect_newest(score, frame.to(score.device), self.newest)
            for score, frame in zip(scores, videos, strict=True)
        ]
