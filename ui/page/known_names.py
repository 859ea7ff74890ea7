"""What the shipped models with a list of names know, for the chat."""

from __future__ import annotations

from typing import Any

from hermes.backbones.shipped import shipped_models


def known_names() -> dict[str, dict[str, Any]]:
    """Return the names that models know, by title of the model: `text`, and `groups` of names by category."""
    return {
        model.title: {
            "text": f"It knows {model.knowledge.subject}, and refuses questions about anything else:",
            "groups": [{"group": group, "names": list(names)} for group, names in model.knowledge.names],
        }
        for model in shipped_models().values()
        if model.knowledge.names
    }
