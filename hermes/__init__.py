"""HERMES Live: stream a video through a video LLM whose KV cache is hierarchical memory, ask it, and see what it holds.

The names below are the public API. Each is imported on first use, so that records can be read without torch and figures
need plotly only where they are drawn.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hermes.backbones.load import load
    from hermes.errors import HermesError
    from hermes.policies import POLICIES, Outcome, Policy, Setting, Step, register_policy
    from hermes.session.stream_session import StreamSession
    from hermes.snapshot import AnswerTrace, Snapshot

__version__ = "0.1.0"

_HOME = {
    "load": "hermes.backbones.load",
    "HermesError": "hermes.errors",
    "POLICIES": "hermes.policies",
    "Outcome": "hermes.policies",
    "Policy": "hermes.policies",
    "Setting": "hermes.policies",
    "Step": "hermes.policies",
    "register_policy": "hermes.policies",
    "StreamSession": "hermes.session.stream_session",
    "AnswerTrace": "hermes.snapshot",
    "Snapshot": "hermes.snapshot",
}

__all__ = [
    "POLICIES",
    "AnswerTrace",
    "HermesError",
    "Outcome",
    "Policy",
    "Setting",
    "Snapshot",
    "Step",
    "StreamSession",
    "load",
    "register_policy",
]


def __getattr__(name: str) -> Any:
    if name == "plots":
        return importlib.import_module("hermes.plots")
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'hermes' has no attribute '{name}'")
