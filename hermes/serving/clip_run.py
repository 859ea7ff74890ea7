"""Streams one clip with its questions in one call and yields picklable items, for serverless GPUs such as ZeroGPU."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hermes import video
from hermes.analysis.token_history import ScoreRecord
from hermes.errors import HermesError
from hermes.out_of_memory import sentence_of
from hermes.serving.stream_memory import LiveMemory, open_session
from hermes.view import LiveView, StreamSettings

if TYPE_CHECKING:
    from hermes.backbones.base import Backbone
    from hermes.memory.encoded import Frames

ITEM_SECONDS = 0.25
"""Wall time in seconds between two items that only report progress."""


@dataclass(frozen=True)
class PlannedQuestion:
    """A question and the stream time at which it is asked, in seconds; None: at the end of the clip."""

    text: str
    at: float | None = None


@dataclass(frozen=True)
class ClipRequest:
    """The input of a run.

    Attributes:
        path: The video file.
        title: Title to display.
        settings: Settings of the stream; the speed is ignored.
        questions: The questions to ask.
        frames: The file, opened at the rate of the settings, from its first frame; None: the run opens it.
        info: Metadata of the file, if it was opened before.
    """

    path: str
    title: str
    settings: StreamSettings
    questions: tuple[PlannedQuestion, ...] = ()
    frames: video.VideoSampler | None = None
    info: video.VideoInfo | None = None


@dataclass(frozen=True)
class AnswerProgress:
    """Progress of the answer to one question.

    Attributes:
        index: Index of the question in the request.
        at: Stream time when it was asked, in seconds.
        text: The answer so far; the error message if `error` is set.
        done: Whether the answer is complete.
        error: Whether the question could not be answered.
        first_ms: Time to first token in milliseconds; None before it.
    """

    index: int
    at: float
    text: str
    done: bool = False
    error: bool = False
    first_ms: float | None = None


@dataclass(frozen=True)
class ClipItem:
    """The result of one step of a run; only numpy arrays and plain values, so that it can be pickled.

    Attributes:
        view: The stream after this step; None if only the answer changed.
        thumbnails: Pictures of the frames since the last item, by number.
        answer: Progress of an answer; None if no answer changed.
        scores: All score records so far, if requested.
    """

    view: LiveView | None
    thumbnails: dict[int, bytes]
    answer: AnswerProgress | None = None
    scores: tuple[ScoreRecord, ...] = ()


def run_clip(
    model: Backbone, request: ClipRequest, every: float = ITEM_SECONDS, *, scores: bool = False
) -> Iterator[ClipItem]:
    """Stream a clip through a model as fast as possible and ask each question at its stream time.

    Does not raise for an invalid clip, setting or question: the last item reports the error.

    Args:
        model: A loaded model.
        request: The clip, settings and questions.
        every: Wall time in seconds between two items that only report progress; 0: one item per chunk.
        scores: Whether items contain the score records of evictions.
    """
    try:
        run = _Run(model, request, every, scores=scores)
    except HermesError as error:
        yield ClipItem(_failed(request, str(error)), {})
        return
    try:
        yield from run.items()
    except Exception as error:  # noqa: BLE001 - reported to the caller and logged by `sentence_of`
        yield run.item("failed", error=sentence_of(error))
    finally:
        run.memory.close()


class _Run:
    def __init__(self, model: Backbone, request: ClipRequest, every: float, *, scores: bool) -> None:
        settings = request.settings
        settings.check()
        self.request = request
        self.frames = request.frames or video.sample(request.path, settings.fps, max_side=settings.max_side)
        self.session = open_session(model, settings)
        self.memory = LiveMemory(self.session)
        self._every = every
        self._scores = scores
        self._sent_frames = -1
        self._sent_at = -math.inf

    def items(self) -> Iterator[ClipItem]:
        planned = sorted(
            enumerate(self.request.questions), key=lambda pair: math.inf if pair[1].at is None else pair[1].at
        )
        times = [question.at for _, question in planned if question.at is not None]
        with self.frames as frames:
            for batch in batches(frames, times, self.session.chunk):
                while planned and _due(planned[0][1], batch[0][1]) and self.session.stats.frames_seen:
                    yield from self._ask(*planned.pop(0))
                self.memory.push(batch)
                if time.monotonic() - self._sent_at > self._every:
                    yield self.item("playing")
            for index, question in planned:
                yield from self._ask(index, question)
        yield self.item("ended")

    def _ask(self, index: int, question: PlannedQuestion) -> Iterator[ClipItem]:
        at = self.session.snapshot().seconds
        text = ""
        try:
            for piece in self.session.ask(question.text):
                text += piece
                yield ClipItem(None, {}, AnswerProgress(index, at, text, first_ms=self.memory.first_token_ms))
        except HermesError as error:
            yield self.item("playing", AnswerProgress(index, at, str(error), done=True, error=True))
            return
        progress = AnswerProgress(index, at, text, done=True, first_ms=self.memory.first_token_ms)
        yield self.item("playing", progress)

    def item(self, state: str, answer: AnswerProgress | None = None, error: str | None = None) -> ClipItem:
        memory = self.memory
        memory.publish(force=True)
        self._sent_at = time.monotonic()
        new = range(self._sent_frames + 1, memory.frame_index + 1)
        self._sent_frames = memory.frame_index
        view = LiveView(
            state=state,
            source=self.request.title,
            clock=memory.clock,
            duration=self.frames.info.duration,
            behind=0.0,
            frame_jpeg=memory.frame_jpeg(),
            frame_index=memory.frame_index,
            snapshot=memory.snapshot,
            dropped=0,
            skipped=self.frames.skipped,
            ingest_fps=memory.ingest_fps,
            first_token_ms=memory.first_token_ms,
            answering=False,
            error=error,
            notes=(*self.frames.notes, *self.session.notes),
            recognised=memory.recognised,
        )
        records = self.session.token_history.records if self._scores else ()
        return ClipItem(view, memory.thumbnails.get(new), answer, records)


def _due(question: PlannedQuestion, seconds: float) -> bool:
    return question.at is not None and seconds > question.at


def _failed(request: ClipRequest, sentence: str) -> LiveView:
    return LiveView(
        "failed", request.title, math.nan, None, 0.0, None, -1, None, 0, 0, 0.0, None, answering=False, error=sentence
    )


def batches(
    frames: Iterable[tuple[Frames, float]], times: list[float], most: int
) -> Iterator[list[tuple[Frames, float]]]:
    """Batch frames with their times: at most `most` per batch, and no batch spans one of the `times`."""
    batch: list[tuple[Frames, float]] = []
    for frame, at in frames:
        if len(batch) == most or (batch and any(batch[-1][1] <= limit < at for limit in times)):
            yield batch
            batch = []
        batch.append((frame, at))
    if batch:
        yield batch
