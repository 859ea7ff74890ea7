"""Streams a video through a model and records the run; the bundled runs are made and checked this way."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hermes
from hermes import video
from hermes.assets import bundled_clip
from hermes.bench.machine import machine_sentence
from hermes.cards.truth import answer_at
from hermes.errors import HermesError
from hermes.serving.clip_run import ClipRequest, PlannedQuestion, Said, run_clip
from hermes.trace import Head, Recorder, RunTurn
from hermes.view import StreamSettings

if TYPE_CHECKING:
    from hermes.backbones.base import Backbone

Progress = Callable[[float, float, int], None]
"""Told after each step: stream time, length of the video (nan: not known), moments recorded so far."""


@dataclass(frozen=True)
class SourceClip:
    """A video to record, with what is known of it.

    Attributes:
        path: The file.
        id: Name of the bundled clip; "" for another video.
        title: Its name for people.
        truth: The clip's truth file as it is; empty for another video.
    """

    path: Path
    id: str = ""
    title: str = ""
    truth: Mapping[str, Any] = field(default_factory=dict)

    def true_answer(self, question: str, seconds: float) -> str | None:
        """The true answer to a question asked at a stream time; None where it is not known or not well defined."""
        events = self.truth.get("events")
        known = answer_at(question, events, float(self.truth["fps"]), seconds) if events else None
        return known.answer if known else None


def find_clip(name: str) -> SourceClip:
    """A bundled clip by its name, or any other video by its path.

    Raises:
        HermesError: There is neither.
    """
    path, bundled = Path(name), bundled_clip(name)
    if bundled is not None and not path.is_file():
        truth = json.loads(bundled.with_suffix(".json").read_text("utf-8"))
        return SourceClip(bundled, name, str(truth.get("title", name)), truth)
    video.probe(path)
    return SourceClip(path, title=path.name)


def record(
    model: Backbone,
    clip: SourceClip,
    settings: StreamSettings,
    questions: Sequence[PlannedQuestion],
    recorder: Recorder,
    progress: Progress | None = None,
) -> tuple[RunTurn, ...]:
    """Stream a video, ask, and give everything to a recorder; a moment for every chunk.

    Args:
        model: A loaded model.
        clip: The video.
        settings: How to stream it.
        questions: What to ask, and when.
        recorder: Takes the moments.
        progress: Told how far it is.

    Returns:
        The questions with their answers, and the true ones where they are known.

    Raises:
        HermesError: The video cannot be played, a setting does not fit, or a question cannot be answered.
    """
    request = ClipRequest(str(clip.path), clip.title, settings, tuple(questions))
    said: list[Said] = []
    for item in run_clip(model, request, 0.0, scores=True):
        if item.said is not None and item.said.done:
            if item.said.error:
                raise HermesError(f"“{questions[item.said.index].text}” was not answered: {item.said.text}")
            said.append(item.said)
        view = item.view
        if view is None:
            continue
        if view.state == "failed":
            raise HermesError(view.error or "The video could not be played.")
        pictures = item.thumbnails
        recorder.add(view, partial(_those, pictures), item.scores)
        if progress:
            progress(view.clock, math.nan if view.duration is None else view.duration, recorder.moments)
    return tuple(
        _turn(questions[one.index].text, one, clip) for one in sorted(said, key=lambda one: (one.at, one.index))
    )


def _those(pictures: Mapping[int, bytes], frames: Sequence[int]) -> dict[int, bytes]:
    return {frame: pictures[frame] for frame in frames if frame in pictures}


def _turn(question: str, said: Said, clip: SourceClip) -> RunTurn:
    truth = clip.true_answer(question, said.at)
    return RunTurn(question, said.text.strip(), said.at, said.at, "done", said.first_ms, truth=truth)


def describe(
    model: Backbone, settings: StreamSettings, clip: SourceClip, chat: Iterable[RunTurn], **texts: str
) -> Head:
    """What a run says of itself: model, policy, machine and moment of recording as they are now."""
    policy = hermes.POLICIES[settings.policy]
    facts = {
        "name": settings.model,
        "title": model.card.name,
        "about": model.card.about,
        "parameters": sum(p.numel() for p in model.model.parameters()),
        "device": str(model.device),
    }
    said: dict[str, Any] = {"title": clip.title, "clip_id": clip.id, "source": clip.title, **texts}
    return Head(
        **said,
        created=dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        machine=machine_sentence(),
        program=hermes.__version__,
        settings=settings,
        model=facts,
        policy={name: str(getattr(policy, name)) for name in ("name", "title", "badge", "about")},
        chat=tuple(replace(turn, policy=policy.title) for turn in chat),
        events=tuple(clip.truth.get("events", ())),
    )
