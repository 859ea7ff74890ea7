"""Memory policies. Names are imported lazily, so that settings and listings can be read without torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hermes.policies.base import Policy
    from hermes.policies.limits import BudgetError, ContextFullError
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
    from hermes.policies.settings import Setting, SettingError, setting_of
    from hermes.policies.step import Outcome, Step

_HOME = {
    "BudgetError": "hermes.policies.limits",
    "ContextFullError": "hermes.policies.limits",
    "Outcome": "hermes.policies.step",
    "Policy": "hermes.policies.base",
    "Step": "hermes.policies.step",
    "POLICIES": "hermes.policies.registry",
    "PolicyError": "hermes.policies.registry",
    "SHARED_SETTINGS": "hermes.policies.registry",
    "load_plugin": "hermes.policies.registry",
    "loaded_plugins": "hermes.policies.registry",
    "make_policy": "hermes.policies.registry",
    "policy_of": "hermes.policies.registry",
    "register_policy": "hermes.policies.registry",
    "unregister_policy": "hermes.policies.registry",
    "Setting": "hermes.policies.settings",
    "SettingError": "hermes.policies.settings",
    "setting_of": "hermes.policies.settings",
}

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


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'hermes.policies' has no attribute '{name}'")
    importlib.import_module("hermes.policies.builtin")  # registers the built-in policies
    return getattr(importlib.import_module(_HOME[name]), name)
