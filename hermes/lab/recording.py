"""Records lab runs: the same video and questions for two to four memories, one after the other."""

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
        settings: Settings of its stream.
        turns: All questions with their answers; state "error" if there is no answer.
        error: Why it stopped before the end of the video; None if it did not.
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
    """Stream a video into every memory, ask the same questions, and record a moment after every chunk.

    Args:
        model: A loaded model.
        clip: The video.
        settings: Settings of the streams; the policy is ignored.
        policies: Names of two to four different policies or presets, or policies with settings.
        questions: Questions and the times at which they are asked.
        recorder: Receives the moments; has one lane per policy.
        progress: Returns the progress function of a memory; the memories run one after the other.

    Returns:
        The memories in the order of `policies`. A memory that fails has an error; the others continue.

    Raises:
        HermesError: The video cannot be played, or a name or setting is invalid.
    """
    cells = cells_of(policies, settings.budget)
    results = [_stream(model, clip, _settings(settings, cell), questions, lane, progress(cell) if progress else None)
            for cell, lane in zip(cells, recorder.lanes, strict=True)]  # fmt: skip
    at = {index: one.at for answers, _ in results for index, one in answers.items()}
    order = sorted(at, key=lambda index: (at[index], index))  # without questions that no memory was asked
    lanes = []
    for cell, (answers, error) in zip(cells, results, strict=True):
        turns = tuple(_turn(questions[i].text, answers.get(i), at[i], clip, cell, error) for i in order)
        lanes.append(RecordedLane(cell, _settings(settings, cell), turns, error))
    return tuple(lanes)


def write_lab(
    recorder: LabRecorder, path: Path, model: Backbone, clip: SourceClip, lanes: Sequence[RecordedLane], **texts: str
) -> int:
    """Write the recording of `record_lab` to a file.

    Args:
        recorder: The recorder with the moments.
        path: The output file.
        model: The model.
        clip: The video.
        lanes: The memories.
        texts: `id`, `title`, `about` and `look` of the run, if they differ from the clip's.

    Returns:
        Size of the file in bytes.

    Raises:
        TraceError: A memory has seen no frame, or the file cannot be written.
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
    """Stream the video into one memory; returns its answers by number of the question, and its error, if any."""
    answers: dict[int, AnswerProgress] = {}
    request = ClipRequest(
        str(clip.path), clip.title, settings, tuple(questions), clip.open(settings.fps, settings.max_side)
    )
    for item in run_clip(model, request, 0.0, scores=True):
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
