"""Imports and registers the built-in policies."""

from __future__ import annotations

from typing import Final

from hermes.policies.attention_sink import AttentionSink
from hermes.policies.base import Policy
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
from hermes.policies.registry import register_policy
from hermes.policies.rekv import ReKV
from hermes.policies.sliding_window import SlidingWindow
from hermes.policies.snapkv import SnapKV
from hermes.policies.snapkv_question import SnapKVQuestion
from hermes.policies.storm import Storm
from hermes.policies.streamingvlm import StreamingVLM
from hermes.policies.streamkv import StreamKV
from hermes.policies.streammem import StreamMem
from hermes.policies.token_drop import TokenDrop
from hermes.policies.uniform_frames import UniformFrames
from hermes.policies.videollamb import VideoLLaMB
from hermes.policies.videoscan import VideoScan

BUILTIN: Final[tuple[type[Policy], ...]] = (
    Hermes,
    HermesPlus,
    Full,
    SlidingWindow,
    AttentionSink,
    UniformFrames,
    TokenDrop,
    H2O,
    SnapKV,
    SnapKVQuestion,
    InfiniPotV,
    RandomKeep,
    ReKV,
    LiveVLM,
    StreamMem,
    StreamKV,
    MemStream,
    StreamingVLM,
    VideoScan,
    Quicksviewer,
    Storm,
    VideoLLaMB,
    RecurrentState,
)
for _policy in BUILTIN:
    register_policy(_policy)
