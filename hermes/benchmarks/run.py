"""Runs a published benchmark: streams each video once, asks its questions and yields one record per question."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, Final

from hermes.benchmarks.annotations import AnnotatedQuestion, AnnotatedVideo, Annotations
from hermes.benchmarks.catalogue import Benchmark, BenchmarkError
from hermes.benchmarks.frames import open_frames
from hermes.benchmarks.prompts import letter_of, prompt_of, remembered
from hermes.benchmarks.responder import Responder
from hermes.benchmarks.results import Json, Key, ResultsFile
from hermes.errors import HermesError
from hermes.memory.encoded import Frames
from hermes.policies.limits import PUBLISHED_CHUNK
from hermes.video.limits import MIN_RATE

MAX_RATE: Final = 60.0
"""Highest sampling rate, in frames per second."""


Job = tuple[AnnotatedVideo, Mapping[Key, Json]]
"""A video, and the records of those of its questions that are known."""


class VideoStream:
    """The frames of one video on their way into a responder.

    Attributes:
        frames_pushed: Sampled frames that the responder has seen.
        seconds: Wall time for decoding and pushing, in seconds.
    """

    def __init__(self, frames: Iterator[Frames], responder: Responder, rate: float) -> None:
        """Start before the first frame.

        Args:
            frames: The sampled frames.
            responder: Sees the frames.
            rate: Frames per second; frame k is at k / rate seconds.
        """
        self.frames_pushed = 0
        self.seconds = 0.0
        self._frames, self._responder, self._rate = frames, responder, rate

    def advance(self, end: int | None) -> int:
        """Push the frames before number `end` (None: all) in chunks, the last of which may be short.

        Returns:
            Number of frames that the video lacks.
        """
        began = time.perf_counter()
        while end is None or self.frames_pushed < end:
            size = PUBLISHED_CHUNK if end is None else min(PUBLISHED_CHUNK, end - self.frames_pushed)
            chunk = list(islice(self._frames, size))
            if not chunk:
                break
            times = [(self.frames_pushed + i) / self._rate for i in range(len(chunk))]
            self._responder.push(chunk, times)
            self.frames_pushed += len(chunk)
        self.seconds += time.perf_counter() - began
        return 0 if end is None else max(end - self.frames_pushed, 0)


def check_rate(rate: float) -> float:
    """Check a sampling rate in frames per second.

    Raises:
        BenchmarkError: It is not `MIN_RATE` to `MAX_RATE`.
    """
    if not MIN_RATE <= rate <= MAX_RATE:
        raise BenchmarkError(f"The sampling rate must be {MIN_RATE:g} to {MAX_RATE:g} frames per second, not {rate:g}.")
    return rate


def check_videos(annotations: Annotations, folder: Path) -> None:
    """Check that the folder contains at least one of the videos; missing ones are skipped later.

    Raises:
        BenchmarkError: There is no folder, or it contains none of the videos.
    """
    if not folder.is_dir():
        raise BenchmarkError(f"There is no folder of videos {folder}.")
    known = [video for video in annotations.videos if not video.fault]
    if known and not any((folder / video.path).exists() for video in known):
        raise BenchmarkError(
            f"{folder} contains none of the {len(known):,} videos of the annotation file. The first one should be "
            f"{folder / known[0].path}."
        )


def run_benchmark(
    annotations: Annotations,
    file: ResultsFile,
    answer: Callable[[Iterable[Job]], Iterator[Json]],
    limit: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Ask every question that the results file does not contain yet, and store each record immediately.

    Args:
        annotations: The annotation file of the benchmark.
        file: Stores the records.
        answer: Does jobs and yields their records, such as `answer_here` or a Ray cluster with `BenchmarkWorker`.
        limit: Number of videos, from the beginning of the file; None: all.
        progress: Called with the number of questions that have a record, and the total.
    """
    videos = annotations.videos[:limit]
    total = sum(len(video.questions) for video in videos)
    by_video: dict[int, dict[Key, Json]] = {}
    for key, record in file.results.records.items():
        by_video.setdefault(key[0], {})[key] = record
    jobs = [(video, by_video.get(video.index, {})) for video in videos]
    done = sum((v.index, q.index) in known for v, known in jobs for q in v.questions)
    if progress:
        progress(done, total)
    for record in answer([(v, known) for v, known in jobs if len(known) < len(v.questions)]):
        file.add(record)
        done += 1
        if progress:
            progress(done, total)


def answer_here(
    jobs: Iterable[Job], benchmark: Benchmark, folder: Path, rate: float, new_responder: Callable[[], Responder]
) -> Iterator[Json]:
    """Do jobs in this process, one after the other; see `run_video` for the arguments and records."""
    for video, known in jobs:
        yield from run_video(benchmark, video, folder, rate, new_responder, known)


def run_video(
    benchmark: Benchmark,
    video: AnnotatedVideo,
    folder: Path,
    rate: float,
    new_responder: Callable[[], Responder],
    known: Mapping[Key, Json],
) -> Iterator[Json]:
    """Stream a video and yield the records of the questions that are not `known`, in the order in which they are asked.

    A video that was interrupted is streamed again from its start. Known questions are not asked again; their recorded
    answers take the place in the conversation that they had.

    Args:
        benchmark: The benchmark.
        video: The video.
        folder: The folder of videos.
        rate: Sampling rate in frames per second.
        new_responder: Starts an empty stream.
        known: Records of questions of this video.

    Returns:
        Records for JSON. All have `video`, `question`, `id`, `path`, `text`, `end`, `task`, `duration` and `reference`;
        multiple choice also `choices` and `truth`. A question that could not be asked has `skipped`, the reason. The others
        have `answer`; `letter` and `correct` (None: not known, or open-ended); `tokens_read` (mean over layers),
        `tokens_read_most`, `cache_bytes`, `frames` (frames seen), `frames_missing` (frames by which the question lies
        behind the end of the video); and `times` in milliseconds, the only entries that differ between runs.
    """
    waiting = [question for question in video.questions if (video.index, question.index) not in known]
    if not waiting:
        return
    fault = video.fault
    if not fault:
        try:
            with open_frames(folder, video, rate) as frames, closing(new_responder()) as responder:
                stream = VideoStream(frames, responder, rate)
                for question in video.questions:
                    record = known.get((video.index, question.index))
                    missing = 0 if question.fault else stream.advance(_end_of(question, rate))
                    if record is not None:
                        if "answer" in record:
                            responder.remember(question.text, remembered(record["answer"], question.choices))
                        continue
                    yield _asked(benchmark, video, question, stream, responder, missing)
                    waiting.remove(question)
        except (HermesError, OSError) as error:
            fault = str(error)
    for question in waiting:
        yield _skipped(video, question, question.fault or fault)


def _end_of(question: AnnotatedQuestion, rate: float) -> int | None:
    """Return the number of the first frame that the question must not see; None: it may see all."""
    return None if question.end is None else math.ceil(question.end * rate)


def _asked(
    benchmark: Benchmark,
    video: AnnotatedVideo,
    question: AnnotatedQuestion,
    stream: VideoStream,
    responder: Responder,
    missing: int,
) -> Json:
    """Ask a question; returns its record."""
    if question.fault:
        return _skipped(video, question, question.fault)
    if not stream.frames_pushed:
        reason = "The video has no frames." if question.end else "It is asked before the first frame."
        return _skipped(video, question, reason)
    try:
        reply = responder.ask(prompt_of(question), choices=benchmark.choices)
    except HermesError as error:
        return _skipped(video, question, str(error))
    responder.remember(question.text, remembered(reply.text, question.choices))
    letter = letter_of(reply.text) if benchmark.choices else None
    pushed, stream.seconds = stream.seconds, 0.0
    return _described(video, question) | {
        "answer": reply.text,
        "letter": letter,
        "correct": None if question.letter is None else letter == question.letter,
        "tokens_read": reply.tokens_read,
        "tokens_read_most": reply.tokens_read_most,
        "cache_bytes": reply.cache_bytes,
        "frames": stream.frames_pushed,
        "frames_missing": missing,
        "times": {
            "first_token_ms": round(1000 * reply.first_token_seconds, 2),
            "answer_ms": round(1000 * reply.answer_seconds, 2),
            "push_ms": round(1000 * pushed, 2),
        },
    }


def _skipped(video: AnnotatedVideo, question: AnnotatedQuestion, reason: str) -> Json:
    return _described(video, question) | {"skipped": " ".join(reason.split())}


def _described(video: AnnotatedVideo, question: AnnotatedQuestion) -> dict[str, Any]:
    choices = {"choices": list(question.choices), "truth": question.letter} if question.choices else {}
    return {
        "video": video.index,
        "question": question.index,
        "id": video.name,
        "path": video.path,
        "text": question.text,
        "end": question.end,
        "task": question.task,
        "duration": video.duration,
        "reference": question.answer,
    } | choices
