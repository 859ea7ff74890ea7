"""Metadata of a recording: source, settings, model, and the ground truth of its clip."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hermes.ground_truth import GroundTruth
from hermes.trace import Head
from ui.player import payloads
from ui.player.clips import Clip
from ui.player.source import Source
from ui.runs.stream_recorder import Truth
from ui.settings.model_loader import Loading

if TYPE_CHECKING:
    from hermes.view import StreamSettings


def head_of(source: Source, clip: Clip | None, settings: StreamSettings, model: Loading | None, policy: Any) -> Head:
    """Return the metadata of a recording. `clip` is the bundled clip that plays; None for other sources."""
    return Head(
        title=source.title or "Stream",
        clip_id=clip.id if clip else "",
        source=source.title,
        settings=settings,
        model=payloads.model_facts(settings.model, model.info if model else None),
        policy=payloads.policy_facts(policy),
        events=clip.events if clip else (),
    )


def truth_of_clip(clip: Clip | None) -> Truth:
    """Return a function that gives the correct answer to a question at a stream time, or None if it is unknown."""

    def truth(question: str, seconds: float) -> str | None:
        known = GroundTruth(clip.events, clip.fps).answer(question, seconds) if clip else None
        return known.answer if known else None

    return truth
