"""Records a lab run: two to four memories see the same video, one after the other, and are asked the same questions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hermes.errors import HermesError
from hermes.lab.plan import Cell, cells_of
from hermes.recording import Progress, SourceClip, describe
from hermes.serving.clip_run import AnswerProgress, ClipRequest, PlannedQuestion, run_clip
from hermes.trace import LabRecorder, Recorder, RunTurn
from hermes.view import StreamSettings

if TYPE_CHECKING:
    from hermes.backbones.base import Backbone


@dataclass(frozen=True)
class RecordedLane:
    """One memory of a recorded lab run.

    Attributes:
        cell: The policy and its budget.
        settings: What it ran under.
        turns: Every question with its answer, in state "error" where there is none.
        error: Why it could not go on to the end of the video; None where it did.
    """

    cell: Cell
    settings: StreamSettings
    turns: tuple[RunTurn, ...]
    error: str | None = None


def record_lab(
    model: Backbone,
    clip: SourceClip,
    settings: StreamSettings,
    policies: Sequence[str],
    questions: Sequence[PlannedQuestion],
    recorder: LabRecorder,
    progress: Callable[[Cell], Progress] | None = None,
) -> tuple[RecordedLane, ...]:
    """Stream a video into every memory, ask each the same, and give everything to a recorder; a moment for every chunk.

    Args:
        model: A loaded model.
        clip: The video.
        settings: How to stream it, the same for all; its policy is not looked at.
        policies: Names of two to four different policies or presets, or policies with settings.
        questions: What to ask, and when.
        recorder: Takes the moments; it has as many lanes.
        progress: Gives, for each memory, what is told how far it is; they come one after the other.

    Returns:
        The memories, in the order of `policies`. One that cannot go on has its reason; the others go on.

    Raises:
        HermesError: The video cannot be played, or a name or setting does not fit.
    """
    cells = cells_of(policies, settings.budget)
    told = [_stream(model, clip, _settings(settings, cell), questions, lane, progress(cell) if progress else None)
            for cell, lane in zip(cells, recorder.lanes, strict=True)]  # fmt: skip
    at = {index: one.at for answers, _ in told for index, one in answers.items()}
    order = sorted(at, key=lambda index: (at[index], index))  # what nobody was asked is left out
    lanes = []
    for cell, (answers, error) in zip(cells, told, strict=True):
        turns = tuple(_turn(questions[i].text, answers.get(i), at[i], clip, cell, error) for i in order)
        lanes.append(RecordedLane(cell, _settings(settings, cell), turns, error))
    return tuple(lanes)


def write_lab(
    recorder: LabRecorder, path: Path, model: Backbone, clip: SourceClip, lanes: Sequence[RecordedLane], **texts: str
) -> int:
    """Write what `record_lab` recorded.

    Args:
        recorder: Took the moments.
        path: Where to.
        model: The model.
        clip: The video.
        lanes: The memories.
        texts: `id`, `title`, `about` and `look` of the run, where they are not the clip's.

    Returns:
        Bytes of the file.

    Raises:
        TraceError: A memory has seen nothing, or the file cannot be written.
    """
    head = describe(model, lanes[0].settings, clip, (), **texts)
    rate = clip.truth.get("fps")
    heads = [head.of_memory(lane.settings, lane.cell.facts, lane.turns) for lane in lanes]
    return recorder.write(path, replace(head, policy={}), heads, None if rate is None else float(rate))


def _settings(settings: StreamSettings, cell: Cell) -> StreamSettings:
    preset = cell.preset
    guidance = preset.guidance or settings.guidance
    return replace(settings, policy=preset.policy, guidance=guidance, changed=preset.changed)


def _stream(
    model: Backbone,
    clip: SourceClip,
    settings: StreamSettings,
    questions: Sequence[PlannedQuestion],
    recorder: Recorder,
    progress: Progress | None,
) -> tuple[dict[int, AnswerProgress], str | None]:
    """One memory along the video: its answers by number of the question, and why it could not go on."""
    answers: dict[int, AnswerProgress] = {}
    for item in run_clip(model, ClipRequest(str(clip.path), clip.title, settings, tuple(questions)), 0.0, scores=True):
        if item.answer is not None and item.answer.done:
            answers[item.answer.index] = item.answer
        view = item.view
        if view is None:
            continue
        if view.snapshot is None or not view.snapshot.frames_seen:
            raise HermesError(view.error or "The video could not be played.")
        recorder.add(view, scores=item.scores)
        if view.state == "failed":
            return answers, view.error
        if progress:
            progress(view.clock, math.nan if view.duration is None else view.duration, recorder.moments)
    return answers, None


def _turn(
    question: str, answer: AnswerProgress | None, at: float, clip: SourceClip, cell: Cell, error: str | None
) -> RunTurn:
    truth, title = clip.true_answer(question, at), cell.preset.title
    if answer is None or answer.error:
        why = answer.text if answer else error or "It was not asked."
        return RunTurn(question, why, at, at, "error", policy=title, truth=truth)
    return RunTurn(question, answer.text.strip(), at, at, "done", answer.first_ms, title, truth)
