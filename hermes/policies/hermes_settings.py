"""Settings of HERMES, and their conversion to a family's constants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, get_args

from hermes.memory.guidance_prompts import Wording
from hermes.memory.tiers import LLAVA_ONEVISION, LONG_TERM, SENSORY, WORKING, FamilyConstants, Ramp, TierRule
from hermes.policies.settings import REINDEXING, Setting

_SMOOTHING = Setting(
    "smoothing",
    "Smoothing across layers",
    "Mixes part of the next deeper layer’s score into each layer’s, so that layers keep the same frames.",
    "switch",
    default=True,
)
_SUMMARY = Setting(
    "summary",
    "Summary token",
    "Long-term layers merge evicted tokens into one summary token.",
    "switch",
    default=True,
)
_TIERS = Setting(
    "tiers",
    "Tiers",
    "Which rule the layers follow: that of their own tier, one tier’s rule everywhere, or a neighbour’s rule if a tier is "
    "switched off.",
    "choice",
    "as published",
    choices=get_args(TierRule),
)
_PROMPT_LOCAL = Setting(
    "prompt_local",
    "Local guidance prompt",
    "Generic question about the current scene. Leave empty for the chosen wording.",
    "text",
    "",
    source="ours",
)
_PROMPT_GLOBAL = Setting(
    "prompt_global",
    "Global guidance prompt",
    "Generic question about the whole story. Leave empty for the chosen wording.",
    "text",
    "",
    source="ours",
)

WORDING = Setting(
    "wording",
    "Guidance wording",
    "Whose guidance prompts, and whose form after a question: the model’s own, or those of the paper and its released code.",
    "choice",
    "the model’s",
    choices=get_args(Wording),
    source="ours",
)
CHAT = Setting(
    "chat",
    "Chat format",
    "How the stream starts and questions are put: the model’s chat template, or the released code’s system prompt (for "
    "LLaVA-OneVision and Qwen2.5-VL). Applies when a stream starts.",
    "choice",
    "the model’s",
    choices=get_args(Wording),
    source="ours",
)
PREFIX = Setting(
    "answer_prefix",
    "Answer prefix",
    "Text with which answers to multiple-choice questions start, such as “Best option: (”. Options are written (A), (B), ….",
    "text",
    "",
    high=80,
    source="ours",
    empty="none",
)
PENALTY = Setting(
    "repetition_penalty",
    "Repetition penalty",
    "Makes tokens that the answer already contains less likely; 1 is off, the released code uses 1.1.",
    "number",
    1.0,
    low=1.0,
    high=2.0,
    step=0.05,
    source="ours",
)

_TIER_NAMES: Final = {"sensory": SENSORY, "working": WORKING, "long_term": LONG_TERM}
_ENDS: Final = {"": "", "_top": ", shallow end", "_bottom": ", deep end"}
_ALPHA_ABOUT = "Weight of recency versus attention: 1 uses only recency, 0 only attention."
_K_ABOUT = "How fast recency decays with age; 0 makes all tokens equally recent."
_GAMMA_ABOUT = "Weight of the next deeper layer’s score in smoothing."


def _number(symbol: str, key: str, tier: str, end: str, default: float) -> Setting:
    about, high, step = {
        "alpha": (_ALPHA_ABOUT, 1.0, 0.05),
        "k": (_K_ABOUT, 40.0, 0.5),
        "gamma": (_GAMMA_ABOUT, 1.0, 0.05),
    }[key]
    name = tier.replace("_", "-")
    return Setting(
        f"{key}_{tier}{end}", f"{symbol} {name}{_ENDS[end]}", about, "number", default, low=0.0, high=high, step=step
    )


def _constants(family: FamilyConstants) -> tuple[Setting, ...]:
    """Return a family's constants as settings: α, k and γ of each tier, with both ends of α and k for the working tier."""
    made = []
    for symbol, key, ramps in (("α", "alpha", family.alpha), ("k", "k", family.k)):
        for tier, index in _TIER_NAMES.items():
            ends = {"_top": 0.0, "_bottom": 1.0} if index == WORKING else {"": 0.0}
            made += [_number(symbol, key, tier, end, round(ramps[index].at(p), 6)) for end, p in ends.items()]
    made += [_number("γ", "gamma", tier, "", family.gamma[index]) for tier, index in _TIER_NAMES.items()]
    return tuple(made)


def settings_with(family: FamilyConstants) -> tuple[Setting, ...]:
    """Return all settings, with a family's published constants as defaults."""
    prompts = (_PROMPT_LOCAL, _PROMPT_GLOBAL, WORDING)
    return (_SMOOTHING, _SUMMARY, _TIERS, *_constants(family), *prompts, REINDEXING, CHAT, PREFIX, PENALTY)


SETTINGS: Final = settings_with(LLAVA_ONEVISION)
CONSTANT_NAMES: Final = tuple(setting.name for setting in _constants(LLAVA_ONEVISION))


def with_changes(family: FamilyConstants, changed: Mapping[str, float]) -> FamilyConstants:
    """Return a family's constants with some values replaced.

    Args:
        family: The constants.
        changed: New values by name, see `CONSTANT_NAMES`.
    """
    if not changed:
        return family

    def ramps(key: str, old: tuple[Ramp, Ramp, Ramp]) -> tuple[Ramp, Ramp, Ramp]:
        sensory, working, long_term = old
        top = changed.get(f"{key}_working_top", working.at(0.0))
        bottom = changed.get(f"{key}_working_bottom", working.at(1.0))
        return (
            Ramp(changed.get(f"{key}_sensory", sensory.start), sensory.change),
            working if (top, bottom) == (working.at(0.0), working.at(1.0)) else Ramp(top, bottom - top),
            Ramp(changed.get(f"{key}_long_term", long_term.start), long_term.change),
        )

    sensory, working, long_term = (
        changed.get(f"gamma_{tier}", family.gamma[index]) for tier, index in _TIER_NAMES.items()
    )
    return replace(
        family, alpha=ramps("alpha", family.alpha), k=ramps("k", family.k), gamma=(sensory, working, long_term)
    )
