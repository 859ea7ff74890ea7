"""What a recording says of the stream that it holds: its source, its settings, its model, and what is true of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hermes.cards.truth import answer_at
from hermes.trace import Head
from ui import telling
from ui.clips import Clip
from ui.models import Loading
from ui.source import Source
from ui.stream_recording import Truth

if TYPE_CHECKING:
    from hermes.live_view import StreamSettings


def head_of(source: Source, clip: Clip | None, settings: StreamSettings, model: Loading | None, policy: Any) -> Head:
    """The head of a recording; `clip` is the bundled clip that plays, None where it is another source."""
    return Head(
        title=source.title or "Stream",
        clip_id=clip.id if clip else "",
        source=source.title,
        settings=settings,
        model=telling.model_facts(settings.model, model.info if model else None),
        policy=telling.policy_facts(policy),
        events=clip.events if clip else (),
    )


def truth_of_clip(clip: Clip | None) -> Truth:
    """Gives the true answer to a question at a stream time; None where it is not known."""

    def truth(question: str, seconds: float) -> str | None:
        known = answer_at(question, clip.events, clip.fps, seconds) if clip else None
        return known.answer if known else None

    return truth
