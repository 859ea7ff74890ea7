"""Policies by name."""

from __future__ import annotations

from types import MappingProxyType

from hermes.errors import HermesError
from hermes.policies.base import BudgetError, ContextFullError, Outcome, Policy, Step
from hermes.policies.full import Full
from hermes.policies.hermes import Hermes
from hermes.policies.sliding_window import SlidingWindow

POLICIES: MappingProxyType[str, type[Policy]] = MappingProxyType({p.name: p for p in (Hermes, Full, SlidingWindow)})


def make_policy(name: str, **settings: object) -> Policy:
    """A policy by name; settings that it does not have are left out, None means its default.

    Raises:
        HermesError: There is no policy of that name.
    """
    if name not in POLICIES:
        raise HermesError(f"There is no policy “{name}”. There are: {', '.join(POLICIES)}.")
    policy = POLICIES[name]
    known = policy.__dataclass_fields__
    if not policy.has_budget:
        settings.pop("budget", None)
    return policy(**{k: v for k, v in settings.items() if k in known and v is not None})  # type: ignore[arg-type]


__all__ = ["POLICIES", "BudgetError", "ContextFullError", "Outcome", "Policy", "Step", "make_policy"]
