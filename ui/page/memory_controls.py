"""Policy and budget of the stream: an HTML component next to the player, see `static/js/page/memory_controls.js`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final

from hermes.errors import HermesError
from hermes.policies.fidelity import GROUPS
from hermes.view import StreamSettings
from ui.component import part

LOWEST_BUDGET: Final = 32
"""Smallest budget of the slider, in tokens per layer. The number field accepts smaller ones."""
HIGHEST_BUDGET: Final = 16_384
"""Largest budget of the slider, in tokens per layer."""


class MemoryControls:
    """The component and its messages.

    Attributes:
        part: The HTML component; its event `setting` carries `name` ("policy" or "budget") and `value`.
    """

    def __init__(self, policies: Mapping[str, Any], settings: StreamSettings) -> None:
        """Build the component inside the current Gradio block.

        Args:
            policies: The policies by name.
            settings: Settings of a new visitor.
        """
        self._policies = policies
        self.part = part(
            "quick",
            ("setting",),
            value=self.message(settings),
            policies=[
                {"name": name, "title": policy.title, "group": GROUPS[policy.fidelity_of()]}
                for name, policy in policies.items()
            ],
            low=LOWEST_BUDGET,
            high=max(HIGHEST_BUDGET, 2 * settings.budget),
        )

    def message(self, settings: StreamSettings, message: str = "", *, is_error: bool = False) -> str:
        """Return the component's value, which shows `settings` and a message."""
        value = {
            "policy": settings.policy,
            "budget": settings.budget,
            "has_budget": self._policies[settings.policy].has_budget,
            "message": message,
            "error": is_error,
        }
        return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")

    def read(self, data: Mapping[str, Any]) -> tuple[str, Any]:
        """Return name and value of a setting that the browser sent.

        Raises:
            HermesError: The policy does not exist, or the budget is not a whole number.
        """
        name, value = data.get("name"), data.get("value")
        if name == "policy":
            if not isinstance(value, str) or value not in self._policies:
                raise HermesError("This policy is not available. Choose another one.")
            return name, value
        if name != "budget":
            raise HermesError("There is no such setting.")
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not math.isfinite(value)
            or value != int(value)
        ):
            raise HermesError("The budget is a whole number of tokens per layer.")
        return name, int(value)
