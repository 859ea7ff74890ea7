"""Policies by name."""

from __future__ import annotations

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
from hermes.policies.registry import (
    POLICIES,
    SHARED_SETTINGS,
    PolicyError,
    load_plugin,
    loaded_plugins,
    make_policy,
    policy_of,
    register_policy,
    unregister_policy,
)
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
for _policy in _ALL:
    register_policy(_policy)

__all__ = [
    "POLICIES",
    "SHARED_SETTINGS",
    "BudgetError",
    "ContextFullError",
    "Outcome",
    "Policy",
    "PolicyError",
    "Setting",
    "SettingError",
    "Step",
    "load_plugin",
    "loaded_plugins",
    "make_policy",
    "policy_of",
    "register_policy",
    "setting_of",
    "unregister_policy",
]
