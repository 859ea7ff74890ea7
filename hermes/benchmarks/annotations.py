"""Reads the annotation file of a published benchmark: a JSON list of videos with their questions.

A defect of a single video or question does not prevent the others from being measured: it is stored as `fault`, and the
question is recorded as skipped with this reason.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from hermes.benchmarks.catalogue import MVBENCH_BLOCK, MVBENCH_TASKS, Benchmark, BenchmarkError
from hermes.files import checks
from hermes.files.checks import InvalidValueError
from hermes.files.limits import LATEST

MAX_BYTES: Final = 256_000_000
"""Largest annotation file, in bytes."""
MAX_TEXT: Final = 8000
"""Most characters of a question, an answer or an option."""
MAX_CHOICES: Final = 8
"""Most options of a question: the letters A to H."""
MAX_ENTRIES: Final = 1_000_000
MAX_RATE: Final = 1000.0
"""Most images per second of an image folder."""


@dataclass(frozen=True)
class AnnotatedQuestion:
    """A question about a video.

    Attributes:
        index: Position among the questions of the video in the file, from 0.
        text: The question.
        answer: The reference answer; None if it is not public.
        choices: The options; empty for an open-ended question.
        end: Stream time at which it is asked, in seconds; None: at the end of the video.
        task: Task by which results are broken down; empty if none is stated.
        fault: Why it cannot be asked; empty if it can.
    """

    index: int
    text: str
    answer: str | None
    choices: tuple[str, ...]
    end: float | None
    task: str
    fault: str = ""

    @property
    def letter(self) -> str | None:
        """The letter of the reference answer; None if there is none."""
        return chr(ord("A") + self.choices.index(self.answer)) if self.answer in self.choices else None


@dataclass(frozen=True)
class AnnotatedVideo:
    """A video and its questions.

    Attributes:
        index: Position in the file, from 0.
        name: Identifier in the file; not always unique.
        path: Path of the video within the folder of videos.
        fps: Images per second, if the video is a folder of images; else None.
        clip: Start and end of the part to show, in seconds; None: all of it.
        duration: Category of its length; empty if none is stated.
        questions: Its questions, in the order in which they are asked.
        fault: Why it cannot be shown; empty if it can.
    """

    index: int
    name: str
    path: str
    fps: float | None
    clip: tuple[float, float] | None
    duration: str
    questions: tuple[AnnotatedQuestion, ...]
    fault: str = ""


@dataclass(frozen=True)
class Annotations:
    """An annotation file.

    Attributes:
        file: Name of the file.
        digest: SHA-256 of the file, hexadecimal.
        videos: The videos in the order of the file.
    """

    file: str
    digest: str
    videos: tuple[AnnotatedVideo, ...]

    @property
    def questions(self) -> int:
        """Number of questions."""
        return sum(len(video.questions) for video in self.videos)


def read_annotations(path: Path, benchmark: Benchmark) -> Annotations:
    """Read and validate an annotation file.

    Raises:
        BenchmarkError: The file cannot be read, is not JSON, or is not a list of videos with questions.
    """
    try:
        if not path.is_file():
            raise BenchmarkError(f"There is no annotation file {path}.")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        entries = checks.sequence(checks.parse_json(data, MAX_BYTES, "file"), "file", MAX_ENTRIES)
        videos = tuple(_video(entry, index, len(entries), benchmark) for index, entry in enumerate(entries))
    except OSError as error:
        raise BenchmarkError(f"The annotation file {path} cannot be read: {error.strerror}.") from error
    except InvalidValueError as error:
        raise BenchmarkError(f"The annotation file {path} is invalid: {_lower(error)}") from error
    if not any(video.questions for video in videos):
        raise BenchmarkError(f"The annotation file {path} contains no question.")
    return Annotations(path.name, hashlib.sha256(data).hexdigest(), videos)


def _lower(error: Exception) -> str:
    text = str(error)
    return text[:1].lower() + text[1:]


def _video(value: Any, index: int, count: int, benchmark: Benchmark) -> AnnotatedVideo:
    """Read an entry of the file.

    Raises:
        InvalidValueError: It is not an object with a list of questions, so it is unknown what it asks.
    """
    name = f"entry {index + 1}"
    entry = checks.mapping(value, name)
    asked = checks.sequence(checks.member(entry, "conversations", name), f"conversations of {name}", MAX_ENTRIES)
    faults: list[str] = []
    path = _field(faults, "", lambda: _relative(checks.member(entry, "video_path", "entry")))
    fps = _field(faults, None, lambda: _optional(entry, "fps", lambda v: checks.number(v, "fps", 0.01, MAX_RATE)))
    clip = _field(faults, None, lambda: _optional(entry, "clip", _clip))
    task = _field(faults, "", lambda: _task_of_video(entry, index, count, benchmark))
    questions = [_question(item, number, name, task, benchmark) for number, item in enumerate(asked)]
    if benchmark.streaming:
        questions.sort(key=lambda question: float("inf") if question.end is None else question.end)
    video_id = entry.get("q_uid", entry.get("video_id", index))
    return AnnotatedVideo(
        index=index,
        name=str(video_id)[:MAX_TEXT] if isinstance(video_id, str | int) else str(index),
        path=path,
        fps=fps,
        clip=clip,
        duration=_field(faults, "", lambda: _text_or_empty(entry, "duration_category")),
        questions=tuple(questions),
        fault=faults[0] if faults else "",
    )


def _question(value: Any, index: int, entry: str, task: str, benchmark: Benchmark) -> AnnotatedQuestion:
    item = checks.mapping(value, f"question {index + 1} of {entry}")
    faults: list[str] = []
    text = _field(faults, "", lambda: _text(checks.member(item, "question", "annotation"), "question"))
    if not text and not faults:
        faults.append("The question is empty.")
    choices: tuple[str, ...] = ()
    if benchmark.choices:
        choices = _field(faults, (), lambda: _choices(checks.member(item, "choices", "annotation")))
    answer = _field(faults, None, lambda: _answer(item, choices, benchmark))
    end = None
    if benchmark.streaming:
        end = _field(
            faults, None, lambda: checks.number(checks.member(item, "end_time", "annotation"), "end_time", 0.0, LATEST)
        )
    if benchmark.tasks == "conversation":
        task = _field(faults, "", lambda: _text_or_empty(item, benchmark.task_field))
    return AnnotatedQuestion(index, text, answer, choices, end, task, faults[0] if faults else "")


def _field(faults: list[str], default: Any, read: Callable[[], Any]) -> Any:
    """Read a value; if it is invalid, add the reason to `faults` and return the default."""
    try:
        return read()
    except InvalidValueError as error:
        faults.append(str(error))
        return default


def _optional(entry: dict[str, Any], key: str, read: Callable[[Any], Any]) -> Any:
    value = entry.get(key)
    return None if value is None else read(value)


def _text(value: Any, name: str) -> str:
    """A text with its white space reduced to single spaces, so that an option stays on its line."""
    return " ".join(checks.text(value, name, MAX_TEXT).split())


def _text_or_empty(entry: dict[str, Any], key: str) -> str:
    return _optional(entry, key, lambda value: _text(value, key)) or ""


def _relative(value: Any) -> str:
    """Return the path below the folder of videos: what follows “/data/”, if the path contains it."""
    text = checks.text(value, "video_path", MAX_TEXT).replace("\\", "/")
    path = PurePosixPath((text.partition("/data/")[2] or text).lstrip("/"))
    if not path.parts or ".." in path.parts or "\0" in text:
        raise InvalidValueError("The video_path does not name a file below the folder of videos.")
    return str(path)


def _clip(value: Any) -> tuple[float, float]:
    pair = checks.sequence(value, "clip", 2)
    if len(pair) != 2:
        raise InvalidValueError("The clip is not a start and an end.")
    start, end = (checks.seconds(part, "clip") for part in pair)
    if not start < end:
        raise InvalidValueError("The clip ends before it starts.")
    return start, end


def _choices(value: Any) -> tuple[str, ...]:
    choices = tuple(_text(choice, "option") for choice in checks.sequence(value, "choices", MAX_CHOICES))
    if not choices or not all(choices):
        raise InvalidValueError("The question has no options, or an empty one.")
    return choices


def _answer(item: dict[str, Any], choices: tuple[str, ...], benchmark: Benchmark) -> str | None:
    value = item.get("answer") if benchmark.answers_hidden else checks.member(item, "answer", "annotation")
    if value is None and benchmark.answers_hidden:
        return None
    answer = _text(value, "answer")
    if choices and answer not in choices:
        raise InvalidValueError("The answer is not one of the options.")
    return answer


def _task_of_video(entry: dict[str, Any], index: int, count: int, benchmark: Benchmark) -> str:
    if benchmark.tasks == "video":
        return _text_or_empty(entry, benchmark.task_field)
    if benchmark.tasks != "file order":
        return ""
    whole = MVBENCH_BLOCK * len(MVBENCH_TASKS)
    # An excerpt keeps the positions of the complete file as identifiers.
    place = index if count == whole else entry.get("video_id")
    if isinstance(place, bool) or not isinstance(place, int) or not 0 <= place < whole:
        return ""
    return MVBENCH_TASKS[place // MVBENCH_BLOCK]
