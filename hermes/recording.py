"""Stream a video through a model and record the run, as for the bundled runs."""

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
from hermes.errors import HermesError
from hermes.ground_truth import GroundTruth
from hermes.serving.clip_run import AnswerProgress, ClipRequest, PlannedQuestion, run_clip
from hermes.trace import Head, Recorder, RunTurn
from hermes.video.errors import printable_name
from hermes.view import StreamSettings

if TYPE_CHECKING:
    from hermes.backbones.base import Backbone

Progress = Callable[[float, float, int], None]
"""Called after each step with the stream time, the length of the video (nan: unknown) and the number of moments so far."""


@dataclass
class SourceClip:
    """A video to record.

    Attributes:
        path: The video file.
        id: Name of the bundled clip; "" for another video.
        title: Title to display.
        truth: Content of the clip's truth file; empty for another video.
        opened: The file as `find_clip` opened it, until `open` returns it.
    """

    path: Path
    id: str = ""
    title: str = ""
    truth: Mapping[str, Any] = field(default_factory=dict)
    opened: video.VideoSampler | None = field(default=None, repr=False)

    def open(self, fps: float, max_side: int) -> video.VideoSampler:
        """Return the frames at a sampling rate and size. A file that `find_clip` opened in this way is not opened again.

        Raises:
            VideoError: The file cannot be decoded.
        """
        opened, self.opened = self.opened, None
        if opened is not None and (opened.fps, opened.max_side) == (fps, max_side):
            return opened
        if opened is not None:
            opened.close()
        return video.sample(self.path, fps, max_side=max_side)

    def true_answer(self, question: str, seconds: float) -> str | None:
        """Return the true answer to a question asked at a stream time; None if it is unknown or not well defined."""
        events = self.truth.get("events")
        known = GroundTruth(events, float(self.truth["fps"])).answer(question, seconds) if events else None
        return known.answer if known else None


def find_clip(name: str, fps: float = StreamSettings.fps, max_side: int = StreamSettings.max_side) -> SourceClip:
    """Find a bundled clip by name, or open another video by path.

    Args:
        name: Name of a bundled clip, or path of a video file.
        fps: The rate in frames per second at which it will be sampled. With another rate, `record` opens the file again.
        max_side: The largest width or height of its frames in pixels; likewise.

    Raises:
        HermesError: There is no such clip, and the path is not a video.
    """
    path, bundled = Path(name), bundled_clip(name)
    if bundled is not None and not path.is_file():
        truth = json.loads(bundled.with_suffix(".json").read_text("utf-8"))
        return SourceClip(bundled, name, str(truth.get("title", name)), truth)
    return SourceClip(path, title=printable_name(path), opened=video.sample(path, fps, max_side=max_side))


def record(
    model: Backbone,
    clip: SourceClip,
    settings: StreamSettings,
    questions: Sequence[PlannedQuestion],
    recorder: Recorder,
    progress: Progress | None = None,
) -> tuple[RunTurn, ...]:
    """Stream a video, ask the questions, and record a moment after every chunk.

    Args:
        model: A loaded model.
        clip: The video.
        settings: Settings of the stream.
        questions: Questions and the times at which they are asked.
        recorder: Receives the moments.
        progress: Called after each step.

    Returns:
        The questions with their answers, and the true answers if known.

    Raises:
        HermesError: The video cannot be played, a setting is invalid, or a question cannot be answered.
    """
    request = ClipRequest(
        str(clip.path), clip.title, settings, tuple(questions), clip.open(settings.fps, settings.max_side)
    )
    answers: list[AnswerProgress] = []
    for item in run_clip(model, request, 0.0, scores=True):
        if item.answer is not None and item.answer.done:
            if item.answer.error:
                raise HermesError(f"“{questions[item.answer.index].text}” was not answered: {item.answer.text}")
            answers.append(item.answer)
        view = item.view
        if view is None:
            continue
        if view.state == "failed":
            raise HermesError(view.error or "The video could not be played.")
        pictures = item.thumbnails
        if not recorder.add(view, partial(_available, pictures), item.scores) and recorder.full:
            raise HermesError(f"The video or its answers are too long for a recording, from {view.clock:.0f} s on.")
        if progress:
            progress(view.clock, math.nan if view.duration is None else view.duration, recorder.moments)
    return tuple(
        _turn(questions[one.index].text, one, clip) for one in sorted(answers, key=lambda one: (one.at, one.index))
    )


def _available(pictures: Mapping[int, bytes], frames: Sequence[int]) -> dict[int, bytes]:
    return {frame: pictures[frame] for frame in frames if frame in pictures}


def _turn(question: str, answer: AnswerProgress, clip: SourceClip) -> RunTurn:
    truth = clip.true_answer(question, answer.at)
    return RunTurn(question, answer.text.strip(), answer.at, answer.at, "done", answer.first_ms, truth=truth)


def describe(
    model: Backbone, settings: StreamSettings, clip: SourceClip, chat: Iterable[RunTurn], **texts: str
) -> Head:
    """Return the metadata of a run: model, policy, machine and the current time."""
    policy = hermes.POLICIES[settings.policy]
    facts = {
        "name": settings.model,
        "title": model.card.name,
        "about": model.card.about,
        "parameters": sum(p.numel() for p in model.model.parameters()),
        "device": str(model.device),
    }
    labels: dict[str, Any] = {"title": clip.title, "clip_id": clip.id, "source": clip.title, **texts}
    return Head(
        **labels,
        created=dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        machine=machine_sentence(),
        program=hermes.__version__,
        settings=settings,
        model=facts,
        policy={name: str(getattr(policy, name)) for name in ("name", "title", "badge", "about")},
        chat=tuple(replace(turn, policy=policy.title) for turn in chat),
        events=tuple(clip.truth.get("events", ())),
    )
