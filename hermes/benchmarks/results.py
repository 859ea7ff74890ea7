"""The results file of a benchmark run: JSON lines, one record per question, which survive a killed process.

The first line holds the settings of the run and the environment (machine and versions). Every further line is the record of
a question, a verdict of a judge, or the environment of a run that continued the file on another machine or version.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

from hermes.benchmarks.annotations import MAX_CHOICES
from hermes.benchmarks.catalogue import BENCHMARKS, BenchmarkError
from hermes.files import checks
from hermes.files.checks import InvalidValueError
from hermes.files.limits import LATEST

FORMAT: Final = 1
"""Version of the file format."""
MAX_BYTES: Final = 1_000_000_000
MAX_LINE: Final = 4_000_000
"""Largest results file, and largest line in it, in bytes."""
MAX_INDEX: Final = 10_000_000
TEXT: Final = 100_000  # characters of a text

_HEAD: Final = b'{"settings":'
"""Beginning of every results file."""

Key = tuple[int, int]
"""A question: the position of its video in the annotation file, and its position in the video, both from 0."""
Json = dict[str, Any]


@dataclass
class Results:
    """Content of a results file.

    Attributes:
        settings: What all records share: `benchmark`, `annotations` (`file`, `sha256`, `questions`), `model`, `fingerprint`,
            `revision`, `policy`, `changed`, `budget`, `guidance`, `reindexing`, `rate`, `max_pixels`, `chunk`, `format`.
        environments: Machines and versions that produced the records, in order.
        records: Record of each question (see `hermes.benchmarks.run.run_benchmark`).
        verdicts: Judge -> question -> `correct`, `score`; or `error` if no reply could be read.
    """

    settings: Json
    environments: list[Json]
    records: dict[Key, Json] = field(default_factory=dict)
    verdicts: dict[str, dict[Key, Json]] = field(default_factory=dict)

    @property
    def rows(self) -> list[Json]:
        """The records in the order of the annotation file, in whatever order videos were finished."""
        return [self.records[key] for key in sorted(self.records)]


class ResultsFile:
    """A results file that is open for appending, and locked against other processes.

    Attributes:
        results: Its content.
    """

    def __init__(self, path: Path, settings: Json | None = None, environment: Json | None = None) -> None:
        """Open a file.

        Args:
            path: The file. An incomplete last line, left by a killed process, is removed.
            settings: Settings of the run; the file is created if it does not exist or is empty. None: the file must exist,
                and any settings are accepted.
            environment: Machine and versions; appended if they differ from those of the last run. None: unchanged.

        Raises:
            BenchmarkError: The file has other settings, is damaged, is in use, or cannot be written.
        """
        self._path = path
        try:
            self._file: BinaryIO = path.open("r+b" if settings is None else "a+b")
        except OSError as error:
            raise BenchmarkError(f"The results file {path} cannot be opened: {error.strerror}.") from error
        try:
            self._lock()
            self.results = self._opened(settings, environment)
        except BaseException:
            self._file.close()
            raise

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise BenchmarkError(f"{self._path} is being written by another process.") from error

    def _opened(self, settings: Json | None, environment: Json | None) -> Results:
        size = whole_size(self._file)
        if size:
            results = _parse(self._path, self._file)  # before anything is written: it may be another kind of file
            if settings is not None:
                _compare(self._path, results.settings, settings)
            self._file.truncate(size)
            if environment is not None and environment != results.environments[-1]:
                self._append({"environment": environment})
                results.environments.append(environment)
            return results
        self._file.seek(0)
        begun = self._file.read(len(_HEAD))
        if settings is None or not _HEAD.startswith(begun):
            raise BenchmarkError(f"{self._path} contains no results.")
        self._file.truncate(0)
        self._append({"settings": settings, "environment": environment or {}})
        return Results(settings, [environment or {}])

    def add(self, record: Json) -> None:
        """Append the record of a question."""
        self._append(record)
        self.results.records[record["video"], record["question"]] = record

    def add_verdict(self, judge: str, key: Key, verdict: Json) -> None:
        """Append a verdict on the answer to a question."""
        self._append({"verdict": {"judge": judge, "video": key[0], "question": key[1], **verdict}})
        self.results.verdicts.setdefault(judge, {})[key] = verdict

    def _append(self, line: Json) -> None:
        """Write a line and wait until the disk has it.

        Raises:
            OSError: The disk is full, for example.
        """
        self._file.seek(0, os.SEEK_END)
        self._file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close and unlock the file."""
        self._file.close()

    def __enter__(self) -> ResultsFile:
        """Return this object."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()


def whole_size(file: BinaryIO) -> int:
    """Return the size of the complete lines of a file in bytes: everything up to the last line break."""
    end = file.seek(0, os.SEEK_END)
    while end:
        begin = max(end - 65536, 0)
        file.seek(begin)
        at = file.read(end - begin).rfind(b"\n")
        if at >= 0:
            return begin + at + 1
        end = begin
    return 0


def read_results(path: Path) -> Results:
    """Read a results file; an incomplete last line is ignored.

    Raises:
        BenchmarkError: The file cannot be read or is not a results file.
    """
    try:
        if not path.is_file():
            raise BenchmarkError(f"There is no results file {path}.")
        with path.open("rb") as file:
            return _parse(path, file)
    except OSError as error:
        raise BenchmarkError(f"The results file {path} cannot be read: {error.strerror}.") from error


def _compare(path: Path, stored: Json, wanted: Json) -> None:
    different = [name for name in wanted if stored.get(name) != wanted[name]]
    if different:
        name = different[0]
        raise BenchmarkError(
            f"{path} holds results with other settings ({name}: {_shown(stored.get(name))} instead of "
            f"{_shown(wanted[name])}). Choose another file, or the same settings."
        )


def _shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)


def _parse(path: Path, file: BinaryIO) -> Results:
    file.seek(0, os.SEEK_END)
    if file.tell() > MAX_BYTES:
        raise BenchmarkError(f"{path} is larger than {MAX_BYTES // 1_000_000:,} MB.")
    results: Results | None = None
    number = 0
    try:
        for line in _lines(file):
            number += 1
            value = checks.mapping(checks.parse_json(line, MAX_LINE, "line"), "line")
            if results is None:
                results = _head(value)
            elif "environment" in value:
                results.environments.append(checks.mapping(value["environment"], "environment"))
            elif "verdict" in value:
                judge, key, verdict = _verdict(checks.mapping(value["verdict"], "verdict"))
                results.verdicts.setdefault(judge, {})[key] = verdict
            else:
                record = _record(value)
                results.records[record["video"], record["question"]] = record
    except InvalidValueError as error:
        raise BenchmarkError(f"{path} is not a valid results file (line {number}): {error}") from error
    if results is None:
        raise BenchmarkError(f"{path} contains no results.")
    return results


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Complete lines of a file, from its beginning."""
    file.seek(0)
    while line := file.readline(MAX_LINE + 1):
        if not line.endswith(b"\n"):
            if len(line) > MAX_LINE:
                raise InvalidValueError(f"The line is longer than {MAX_LINE:,} bytes.")
            return
        yield line


def _head(value: Json) -> Results:
    settings = checks.mapping(checks.member(value, "settings", "first line"), "settings")
    environment = checks.mapping(checks.member(value, "environment", "first line"), "environment")
    if checks.member(settings, "format", "settings") != FORMAT:
        raise InvalidValueError(f"The format is not {FORMAT}, the one that this version reads.")
    for name in ("benchmark", "model", "policy", "fingerprint"):
        checks.text(checks.member(settings, name, "settings"), name, TEXT)
    if settings["benchmark"] not in BENCHMARKS:
        raise InvalidValueError("The benchmark is unknown.")
    for name in ("revision", "guidance", "reindexing", "preset"):
        if settings.get(name) is not None:
            checks.text(settings[name], name, TEXT)
    for name in ("budget", "max_pixels"):
        if settings.get(name) is not None:
            checks.whole(settings[name], name)
    checks.number(checks.member(settings, "rate", "settings"), "rate", 0.0)
    checks.mapping(checks.member(settings, "changed", "settings"), "changed settings")
    annotations = checks.mapping(checks.member(settings, "annotations", "settings"), "annotations")
    checks.whole(checks.member(annotations, "questions", "annotations"), "number of questions")
    checks.text(checks.member(annotations, "sha256", "annotations"), "digest of the annotations", TEXT)
    return Results(settings, [environment])


def _key(value: Json) -> Key:
    video, question = (checks.whole(checks.member(value, n, "record"), n, 0, MAX_INDEX) for n in ("video", "question"))
    return video, question


def _verdict(value: Json) -> tuple[str, Key, Json]:
    judge = checks.text(checks.member(value, "judge", "verdict"), "judge", TEXT)
    if "error" in value:
        return judge, _key(value), {"error": checks.text(value["error"], "error", TEXT)}
    correct = checks.flag(checks.member(value, "correct", "verdict"), "verdict")
    score = checks.whole(checks.member(value, "score", "verdict"), "score", 0, 5)
    return judge, _key(value), {"correct": correct, "score": score}


def _record(value: Json) -> Json:
    """Check the record of a question."""
    _key(value)
    for name in ("id", "path", "text", "task", "duration"):
        checks.text(checks.member(value, name, "record"), name, TEXT)
    for name in ("reference", "truth", "letter"):
        if value.get(name) is not None:
            checks.text(value[name], name, TEXT)
    for choice in checks.sequence(value.get("choices", []), "choices", MAX_CHOICES):
        checks.text(choice, "option", TEXT)
    if value.get("end") is not None:
        checks.number(value["end"], "end", 0.0, LATEST)
    if "skipped" in value:
        checks.text(value["skipped"], "reason", TEXT)
        return value
    checks.text(checks.member(value, "answer", "record"), "answer", TEXT)
    if checks.member(value, "correct", "record") is not None:
        checks.flag(value["correct"], "value of correct")
    for name in ("tokens_read", "tokens_read_most", "cache_bytes", "frames", "frames_missing"):
        checks.number(checks.member(value, name, "record"), name, 0.0)
    times = checks.mapping(checks.member(value, "times", "record"), "times")
    checks.number(checks.member(times, "first_token_ms", "times"), "first_token_ms", 0.0)
    return value
