"""One clip and its questions from start to end, as picklable items: for places that lend a machine for one call."""

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
"""Wall time between two items that only show how far the stream is."""


@dataclass(frozen=True)
class PlannedQuestion:
    """A question and the stream time at which it is asked, in seconds; None: when the clip is over."""

    text: str
    at: float | None = None


@dataclass(frozen=True)
class ClipRequest:
    """What to do in one run.

    Attributes:
        path: The video file.
        title: Its name for people.
        settings: The stream's settings; its speed has no bearing.
        questions: What to ask.
    """

    path: str
    title: str
    settings: StreamSettings
    questions: tuple[PlannedQuestion, ...] = ()


@dataclass(frozen=True)
class Said:
    """How far the answer to one question is.

    Attributes:
        index: Which of the request's questions.
        at: Stream time when it was asked, in seconds.
        text: What was answered so far; with `error`, why there is no answer.
        done: Whether the answer is over.
        error: Whether the question could not be answered.
        first_ms: Time to first token; None before it.
    """

    index: int
    at: float
    text: str
    done: bool = False
    error: bool = False
    first_ms: float | None = None


@dataclass(frozen=True)
class ClipItem:
    """What one step of a run tells; plain numpy and text, so that it can cross to another process.

    Attributes:
        view: The stream as of this step; None where only an answer grew.
        thumbnails: Pictures of the frames that are new since the last item, by number.
        said: News of an answer; None where there is none.
        scores: All score records so far, where they were asked for.
    """

    view: LiveView | None
    thumbnails: dict[int, bytes]
    said: Said | None = None
    scores: tuple[ScoreRecord, ...] = ()


def run_clip(
    model: Backbone, request: ClipRequest, every: float = ITEM_SECONDS, *, scores: bool = False
) -> Iterator[ClipItem]:
    """Stream a clip through a model as fast as it can, asking each question when its time has come.

    Never raises because of a bad clip, setting or question: the last item then tells what went wrong.

    Args:
        model: A loaded model.
        request: What to do.
        every: Wall time between two items that only show how far the stream is, in seconds; 0: one after each chunk.
        scores: Whether items carry the score records of evictions.
    """
    try:
        run = _Run(model, request, every, scores=scores)
    except HermesError as error:
        yield ClipItem(_failed(request, str(error)), {})
        return
    try:
        yield from run.items()
    except Exception as error:  # noqa: BLE001 - told, and logged there
        yield run.item("failed", error=sentence_of(error))
    finally:
        run.memory.close()


class _Run:
    def __init__(self, model: Backbone, request: ClipRequest, every: float, *, scores: bool) -> None:
        settings = request.settings
        settings.check()
        self.request = request
        self.session = open_session(model, settings)
        self.memory = LiveMemory(self.session)
        self.frames = video.sample(request.path, settings.fps)
        self._every = every
        self._scores = scores
        self._told_frames = -1
        self._told_at = -math.inf

    def items(self) -> Iterator[ClipItem]:
        planned = sorted(
            enumerate(self.request.questions), key=lambda pair: math.inf if pair[1].at is None else pair[1].at
        )
        times = [question.at for _, question in planned if question.at is not None]
        with self.frames as frames:
            for batch in stretches(frames, times, self.session.chunk):
                while planned and _due(planned[0][1], batch[0][1]) and self.session.stats.frames_seen:
                    yield from self._ask(*planned.pop(0))
                self.memory.push(batch)
                if time.monotonic() - self._told_at > self._every:
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
                yield ClipItem(None, {}, Said(index, at, text, first_ms=self.memory.first_token_ms))
        except HermesError as error:
            yield self.item("playing", Said(index, at, str(error), done=True, error=True))
            return
        yield self.item("playing", Said(index, at, text, done=True, first_ms=self.memory.first_token_ms))

    def item(self, state: str, said: Said | None = None, error: str | None = None) -> ClipItem:
        memory = self.memory
        memory.publish(force=True)
        self._told_at = time.monotonic()
        new = range(self._told_frames + 1, memory.frame_index + 1)
        self._told_frames = memory.frame_index
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
            notes=self.frames.notes,
        )
        return ClipItem(
            view, memory.thumbnails.get(new), said, self.session.token_history.records if self._scores else ()
        )


def _due(question: PlannedQuestion, seconds: float) -> bool:
    return question.at is not None and seconds > question.at


def _failed(request: ClipRequest, sentence: str) -> LiveView:
    return LiveView(
        "failed", request.title, math.nan, None, 0.0, None, -1, None, 0, 0, 0.0, None, answering=False, error=sentence
    )


def stretches(
    frames: Iterable[tuple[Frames, float]], times: list[float], most: int
) -> Iterator[list[tuple[Frames, float]]]:
    """Frames with their times in stretches of at most `most`, none of which reaches across one of `times`."""
    batch: list[tuple[Frames, float]] = []
    for frame, at in frames:
        if len(batch) == most or (batch and any(batch[-1][1] <= limit < at for limit in times)):
            yield batch
            batch = []
        batch.append((frame, at))
    if batch:
        yield batch
