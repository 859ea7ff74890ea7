"""Policies by name."""

from __future__ import annotations

from types import MappingProxyType

from hermes.errors import HermesError
from hermes.policies.attention_sink import AttentionSink
from hermes.policies.base import BudgetError, ContextFullError, Outcome, Policy, Step
from hermes.policies.full import Full
from hermes.policies.h2o import H2O
from hermes.policies.hermes import Hermes
from hermes.policies.hermes_plus import HermesPlus
from hermes.policies.infinipot_v import InfiniPotV
from hermes.policies.livevlm import LiveVLM
from hermes.policies.memstream import MemStream
from hermes.policies.quicksviewer import Quicksviewer
from hermes.policies.random_keep import RandomKeep
from hermes.policies.recurrent_state import RecurrentState
from hermes.policies.rekv import ReKV
from hermes.policies.settings import Setting, SettingError, setting_of
from hermes.policies.sliding_window import SlidingWindow
from hermes.policies.snapkv import SnapKV
from hermes.policies.storm import Storm
from hermes.policies.streamkv import StreamKV
from hermes.policies.streammem import StreamMem
from hermes.policies.token_drop import TokenDrop
from hermes.policies.uniform_frames import UniformFrames
from hermes.policies.videollamb import VideoLLaMB
from hermes.policies.videoscan import VideoScan

_ALL: tuple[type[Policy], ...] = (
    Hermes,
    HermesPlus,
    Full,
    SlidingWindow,
    AttentionSink,
    UniformFrames,
    TokenDrop,
    H2O,
    SnapKV,
    InfiniPotV,
    RandomKeep,
    ReKV,
    LiveVLM,
    StreamMem,
    StreamKV,
    MemStream,
    VideoScan,
    Quicksviewer,
    Storm,
    VideoLLaMB,
    RecurrentState,
)
POLICIES: MappingProxyType[str, type[Policy]] = MappingProxyType({policy.name: policy for policy in _ALL})


SHARED = ("budget", "guidance", "reindexing")
"""What a stream hands to every policy, whether it has it or not."""


def make_policy(name: str, **settings: object) -> Policy:
    """A policy by name, with some of its fields set; None means the default.

    Budget, guidance and re-indexing are left out where the policy has none, since a stream hands them to every policy.

    Raises:
        HermesError: There is no policy of that name.
        SettingError: It has no such setting, or the setting cannot take the value.
    """
    policy = policy_of(name)
    known, values = policy.__dataclass_fields__, {}
    changeable = {setting.name: setting for setting in policy.settings}
    for key, value in settings.items():
        if value is None or (key in SHARED and key not in known) or (key == "budget" and not policy.has_budget):
            continue
        if key not in known:
            setting_of(policy.settings, key, name)  # raises, and says which there are
        values[key] = changeable[key].checked(value) if key in changeable else value
    return policy(**values)  # type: ignore[arg-type]


def policy_of(name: str) -> type[Policy]:
    """The policy of a name.

    Raises:
        HermesError: There is none.
    """
    if name not in POLICIES:
        raise HermesError(f"There is no policy “{name}”. There are: {', '.join(POLICIES)}.")
    return POLICIES[name]


__all__ = [
    "POLICIES",
    "BudgetError",
    "ContextFullError",
    "Outcome",
    "Policy",
    "Setting",
    "SettingError",
    "Step",
    "make_policy",
    "policy_of",
]
