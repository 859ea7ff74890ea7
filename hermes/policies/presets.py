"""Named variants of the policies: the settings of the released code, ablations of HERMES, and a random control.

A preset is a policy with settings. The page, the lab and the command line accept its name.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from hermes.errors import HermesError
from hermes.importing import IMPORTING
from hermes.policies.settings import Value

if TYPE_CHECKING:
    from hermes.policies.base import Policy


@dataclass(frozen=True)
class Preset:
    """A policy with settings, under one name.

    Attributes:
        name: Identifier in the page, on the command line and in the lab.
        title: Display name.
        about: One sentence: what differs from the policy.
        policy: Name of the policy.
        guidance: "forward" or "embedding"; None is the policy's default.
        changed: Settings that differ from their defaults, as (name, value).
    """

    name: str
    title: str
    about: str
    policy: str
    guidance: str | None = None
    changed: tuple[tuple[str, Value], ...] = ()

    def make(self, budget: int | None = None) -> Policy:
        """Create the policy with these settings; `budget` None is the default."""
        with IMPORTING:
            from hermes.policies import make_policy  # noqa: PLC0415 - loads torch

        return make_policy(self.policy, budget=budget, guidance=self.guidance, **dict(self.changed))


def _without(name: str, title: str, about: str, **changed: Value) -> Preset:
    return Preset(f"hermes-{name}", f"HERMES, {title}", about, "hermes", changed=tuple(changed.items()))


ABLATIONS: Final = (
    _without(
        "no-smoothing",
        "without smoothing",
        "Each layer uses only its own scores, so layers may keep different frames.",
        smoothing=False,
    ),
    _without(
        "no-summary", "without summary", "Long-term layers drop evicted tokens instead of merging them.", summary=False
    ),
    Preset(
        "hermes-embedding",
        "HERMES, embedding guidance",
        "Guidance as in the released code, which produced all published numbers: queries are computed from the word "
        "embeddings, without a forward pass.",
        "hermes",
        guidance="embedding",
    ),
    _without("all-sensory", "all sensory", "No tiers: every layer keeps the newest tokens.", tiers="all sensory"),
    _without("all-working", "all working", "No tiers: every layer blends recency and attention.", tiers="all working"),
    _without(
        "all-long-term",
        "all long-term",
        "No tiers: every layer keeps the tokens that guidance attends to.",
        tiers="all long-term",
    ),
    Preset(
        "random-keep",
        "Random keep",
        "Random tokens within the same budget: a control for every other policy.",
        "random-keep",
    ),
)
"""Ablations of HERMES, one component at a time, and the random control."""

RELEASED: Final = Preset(
    "released",
    "HERMES, released settings",
    "The settings behind the published numbers: embedding guidance, the released prompts and system prompt, a repetition "
    "penalty of 1.1, and “Best option: (” before answers to multiple-choice questions.",
    "hermes",
    guidance="embedding",
    changed=(
        ("wording", "released"),
        ("chat", "released"),
        ("answer_prefix", "Best option: ("),
        ("repetition_penalty", 1.1),
    ),
)
"""HERMES as its released code runs it, except for what docs/fidelity.md lists."""

PRESETS: Final = MappingProxyType({preset.name: preset for preset in (RELEASED, *ABLATIONS)})


def changes_of(policy: str) -> tuple[Preset, ...]:
    """Return the presets of a policy that change its settings."""
    return tuple(preset for preset in PRESETS.values() if preset.policy == policy and preset.changed)


def preset_of(name: str) -> Preset:
    """Return a preset by name, or a policy with its defaults as a preset.

    Raises:
        HermesError: There is no preset or policy with that name.
    """
    if name in PRESETS:
        return PRESETS[name]
    with IMPORTING:
        from hermes.policies import POLICIES  # noqa: PLC0415 - loads torch

    if name not in POLICIES:
        raise HermesError(f"There is no policy or preset “{name}”. Available: {', '.join((*POLICIES, *PRESETS))}.")
    policy = POLICIES[name]
    return Preset(name, policy.title, policy.about, name)
