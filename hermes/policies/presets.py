"""Named variants of the policies: HERMES with one part taken out, and a random control.

A preset is a policy's name with settings; page, lab and command line know each by its own name.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from hermes.errors import HermesError
from hermes.policies.settings import Value

if TYPE_CHECKING:
    from hermes.policies.base import Policy


@dataclass(frozen=True)
class Preset:
    """A policy with settings, by one name.

    Attributes:
        name: Its name in page, command line and lab.
        title: Its name for people.
        about: One sentence: what is different, and what that shows.
        policy: Name of the policy.
        guidance: "forward" or "embedding"; None: the policy's default.
        changed: Settings that differ from their defaults, as (name, value).
    """

    name: str
    title: str
    about: str
    policy: str
    guidance: str | None = None
    changed: tuple[tuple[str, Value], ...] = ()

    def make(self, budget: int | None = None) -> Policy:
        """The policy with these settings; `budget` None: the default."""
        from hermes.policies import make_policy  # noqa: PLC0415 - loads torch

        return make_policy(self.policy, budget=budget, guidance=self.guidance, **dict(self.changed))


def _without(name: str, title: str, about: str, **changed: Value) -> Preset:
    return Preset(f"hermes-{name}", f"HERMES, {title}", about, "hermes", changed=tuple(changed.items()))


ABLATIONS: Final = (
    _without(
        "no-smoothing",
        "without smoothing",
        "Layers score for themselves; they may keep different frames.",
        smoothing=False,
    ),
    _without(
        "no-summary", "without summary", "Long-term layers drop what they evict, nothing is merged.", summary=False
    ),
    Preset(
        "hermes-embedding",
        "HERMES, embedding guidance",
        "Guidance as in the released code: queries from the word embeddings, not from a forward pass.",
        "hermes",
        guidance="embedding",
    ),
    _without("all-sensory", "all sensory", "Every layer keeps what is newest: no tiers.", tiers="all sensory"),
    _without("all-working", "all working", "Every layer blends recency and attention: no tiers.", tiers="all working"),
    _without(
        "all-long-term", "all long-term", "Every layer keeps what guidance attends to: no tiers.", tiers="all long-term"
    ),
    Preset(
        "random-keep",
        "Random keep",
        "Randomly selected tokens under the same budget: the control that every policy must beat.",
        "random-keep",
    ),
)
"""HERMES with one part taken out at a time, and the control."""

PRESETS: Final = MappingProxyType({preset.name: preset for preset in ABLATIONS})


def changes_of(policy: str) -> tuple[Preset, ...]:
    """The presets that are a policy with some of its settings changed, and nothing else."""
    return tuple(
        preset for preset in ABLATIONS if preset.policy == policy and preset.changed and preset.guidance is None
    )


def preset_of(name: str) -> Preset:
    """A preset or a policy by name, the latter with its defaults.

    Raises:
        HermesError: There is neither.
    """
    if name in PRESETS:
        return PRESETS[name]
    from hermes.policies import POLICIES  # noqa: PLC0415 - loads torch

    if name not in POLICIES:
        raise HermesError(f"There is no policy or preset “{name}”. There are: {', '.join((*POLICIES, *PRESETS))}.")
    policy = POLICIES[name]
    return Preset(name, policy.title, policy.about, name)
