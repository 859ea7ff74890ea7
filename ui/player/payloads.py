"""What the browser is told of a visitor's stream, as plain dicts. Pure functions."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ui.player.clips import Clip
from ui.settings.model_loader import Loading
from ui.settings.policy_settings import Changed, badge_of

if TYPE_CHECKING:
    from hermes.serving.engine import LiveView, ModelInfo


def meters(view: LiveView) -> dict[str, Any]:
    """Figures above the board that the snapshot does not hold."""
    first = view.first_token_ms
    return {
        "fps": round(view.ingest_fps, 1),
        "first": None if first is None else round(first),
        "dropped": view.dropped,
        "skipped": view.skipped,
    }


def stream_state(view: LiveView | None, shown: int) -> dict[str, Any]:
    """The stream for the player; the picture only if it is another than `shown`, the number of the one it shows."""
    if view is None:
        return {"state": "empty", "clock": None, "duration": None, "behind": 0.0, "frames": 0, "answering": False}
    state: dict[str, Any] = {
        "state": view.state,
        "clock": None if math.isnan(view.clock) else round(view.clock, 2),
        "duration": view.duration,
        "behind": round(view.behind, 1),
        "frames": view.frame_index + 1,
        "answering": view.answering,
    }
    if view.frame_jpeg and view.frame_index != shown:
        state["frame"] = {"index": view.frame_index, "jpeg": base64.b64encode(view.frame_jpeg).decode("ascii")}
    return state


def about(model: Loading | None, policy: Any, changed: Changed = ()) -> dict[str, Any]:
    """Which model answers and what it knows, or how far it is; and the policy with its badge, and its changed settings."""
    info = model.info if model else None
    return {
        "model": info
        and {"name": info.title, "about": info.about, "parameters": info.parameters, "device": info.device},
        "progress": model.text if model else "",
        "error": model.error if model else None,
        "policy": {**policy_facts(policy), "badge": badge_of(policy, changed)},
    }


def model_facts(name: str, info: ModelInfo | None) -> dict[str, Any]:
    """What a recorded run says of its model."""
    if info is None:
        return {"name": name, "title": name, "about": "", "parameters": None, "device": ""}
    return {
        "name": name,
        "title": info.title,
        "about": info.about,
        "parameters": info.parameters,
        "device": info.device,
    }


def policy_facts(policy: Any) -> dict[str, str]:
    """What the page and a recorded run say of a policy."""
    return {name: str(getattr(policy, name)) for name in ("name", "title", "badge", "about")}


def waiting(model: Loading | None) -> dict[str, Any] | None:
    """What the player shows while somebody waits for a model; None once it is there or has failed."""
    if model is None:
        return {"text": "Loading …", "share": 0.0}
    return None if model.info or model.error else {"text": model.text, "share": model.share}


def chips(clip: Clip | None, model: Loading | None) -> list[dict[str, Any]]:
    """Suggested questions with the second from which each makes sense: a clip's own, else the model's."""
    if clip is not None and clip.questions:
        earliest: Mapping[str, float] = dict(sorted(clip.questions, key=lambda question: -question[1]))
        return [{"text": text, "at": at} for text, at in sorted(earliest.items(), key=lambda question: question[1])]
    return [{"text": text, "at": 0.0} for text in model.info.suggested] if model and model.info else []
