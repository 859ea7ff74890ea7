"""Messages about a visitor's stream as JSON-ready dicts. Pure functions."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from hermes.backbones.card import Knowledge
from hermes.ground_truth import kind_of
from ui.player.clips import Clip
from ui.player.source import Source
from ui.settings.model_loader import Loading
from ui.settings.policy_settings import Changed, badge_of

GENERAL: Final = ("What is happening now?", "What was shown first?", "Describe the video so far.")
"""Questions about a video of unknown content."""

if TYPE_CHECKING:
    from hermes.serving.engine import LiveView
    from hermes.serving.model_info import ModelInfo


def meters(view: LiveView) -> dict[str, Any]:
    """Return the metrics above the board that are not part of the snapshot."""
    first = view.first_token_ms
    return {
        "fps": round(view.ingest_fps, 1),
        "first": None if first is None else round(first),
        "dropped": view.dropped,
        "skipped": view.skipped,
    }


def stream_state(view: LiveView | None, shown: int) -> dict[str, Any]:
    """Return the state of the stream for the player.

    Args:
        view: Current state of the stream, or None if there is no stream.
        shown: Number of the frame that the browser shows; its image is not sent again.
    """
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
    if view.recognised is not None and view.frame_index >= 0:
        state["recognised"] = {"name": view.recognised.named, "confidence": round(view.recognised.confidence, 2)}
    if view.frame_jpeg and view.frame_index != shown:
        state["frame"] = {"index": view.frame_index, "jpeg": base64.b64encode(view.frame_jpeg).decode("ascii")}
    return state


def about(model: Loading | None, policy: Any, changed: Changed = ()) -> dict[str, Any]:
    """Return the model (or its loading progress) and the policy with its badge."""
    info = model.info if model else None
    return {
        "model": info
        and {
            "name": info.title,
            "about": info.about,
            "parameters": info.parameters,
            "device": info.device,
        },
        "progress": model.text if model else "",
        "error": model.error if model else None,
        "policy": {**policy_facts(policy), "badge": badge_of(policy, changed)},
    }


def model_facts(name: str, info: ModelInfo | None) -> dict[str, Any]:
    """Return the description of a model that is stored in a recorded run."""
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
    """Return the description of a policy for the page and for recorded runs."""
    return {name: str(getattr(policy, name)) for name in ("name", "title", "badge", "about")}


def loading_progress(model: Loading | None) -> dict[str, Any] | None:
    """Return the loading progress of a model, or None if it is ready or failed to load."""
    if model is None:
        return {"text": "Loading …", "share": 0.0}
    return None if model.info or model.error else {"text": model.text, "share": model.share}


def opening_progress(kind: str, view: LiveView | None, *, opening: bool) -> dict[str, Any] | None:
    """Return that a source is being opened or has not delivered its first frame, without a share; None otherwise.

    Args:
        kind: Kind of the source.
        view: State of the stream, or None if there is no stream.
        opening: Whether the source is being opened.
    """
    if kind == "camera":
        return {"text": "Starting …", "share": None} if opening else None
    awaited = view is not None and view.state == "playing" and view.frame_index < 0 and kind != "run"
    return {"text": "Opening the video …", "share": None} if opening or awaited else None


def chips(source: Source, clip: Clip | None, model: Loading | None) -> list[dict[str, Any]]:
    """Return suggested questions, each with the earliest time (seconds) at which it makes sense.

    Questions of the clip are preferred over those of the model. A model that knows one world gets none about videos of
    others, and none of a kind that it does not answer well enough.
    """
    info = model.info if model else None
    if info is not None and not _fits(source, clip, info):
        return []
    if clip is not None and clip.questions:
        offered = [question for question in clip.questions if info is None or is_offered(question[0], info.knowledge)]
        earliest: Mapping[str, float] = dict(sorted(offered, key=lambda question: -question[1]))
        return [{"text": text, "at": at} for text, at in sorted(earliest.items(), key=lambda question: question[1])]
    if info is None:
        return []
    suggested = tuple(text for text in info.suggested if is_offered(text, info.knowledge))
    texts = suggested or (GENERAL if source.kind in ("upload", "camera") and not info.knowledge.world else ())
    return [{"text": text, "at": 0.0} for text in texts]


def is_offered(question: str, knowledge: Knowledge) -> bool:
    """Whether a question may be suggested: the model answers its kind well enough, or does not limit the kinds."""
    return knowledge.kinds is None or kind_of(question, knowledge.world) in knowledge.kinds


def advice(source: Source, clip: Clip | None, model: Loading | None) -> dict[str, str] | None:
    """Return a note on what the model knows if it knows only one world and the source may show something else, or None.

    Returns:
        `text`, for the chat, `answer`, for each answer ("" if the model suits the source), and `model`, the model's title.
    """
    info = model.info if model else None
    if info is None:
        return None
    knows = info.knowledge.subject or info.knowledge.world
    if _fits(source, clip, info):
        has_unknown_content = source.kind in ("upload", "camera") or (clip is not None and not clip.world)
        if not info.knowledge.world or not has_unknown_content:
            return None
        text = f"{info.title} knows {knows}, one at a time. What it recognises is shown in the picture, with its confidence."
        return {"text": text, "answer": "", "model": info.title}
    return {
        "model": info.title,
        "text": f"{info.title} only knows {knows}. It cannot understand other videos: watch its memory, not its answers.",
        "answer": f"The model only knows {knows}: watch the memory, not this answer.",
    }


def advice_before_start(shown: Source, advice: Mapping[str, str] | None) -> dict[str, str]:
    """Return the note while another source is selected than the one that chat and memory show.

    Args:
        shown: The stream or recorded run that chat and memory show.
        advice: The note on the selected source, see `advice`; None if there is none.

    Returns:
        See `advice`. `answer` is "" if a stream is shown, because another model would replace its own.
    """
    if shown.kind == "run":
        text = f"Chat and memory show the recording “{shown.title}” until you start the selected source."
    else:
        name = "the webcam" if shown.kind == "camera" else f"“{shown.title}”"
        text = f"Questions go to {name} until you start the selected source."
    if advice is None:
        return {"text": text, "answer": "", "model": ""}
    answer = advice["answer"] if shown.kind == "run" else ""
    return {"text": f"{text} After that: {advice['text']}", "answer": answer, "model": advice["model"]}


def answer_note(question: str, source: Source, clip: Clip | None, model: Loading | None) -> str:
    """Return the note to show with an answer: that the model does not know the source or the kind of question; or ""."""
    info = model.info if model else None
    note = advice(source, clip, model)
    if info is None or (note is not None and note["answer"]):
        return note["answer"] if note is not None else ""
    kind = kind_of(question, info.knowledge.world)
    if kind is None or is_offered(question, info.knowledge):
        return ""
    return "In its evaluation, the model often answered this kind of question wrongly."


def _fits(source: Source, clip: Clip | None, info: ModelInfo) -> bool:
    """Whether a model can know what a source shows. A model of one world knows its clips, and pictures if it says so."""
    knowledge = info.knowledge
    if not knowledge.world or not source.kind:
        return True
    return clip.world == knowledge.world if clip is not None and clip.world else knowledge.pictures
