"""Where measurements are kept as they come in: a file of JSON lines that a killed run leaves usable."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from hermes.lab.plan import Cell, LabError

MEASUREMENTS: Final = "measurements.jsonl"


class Store:
    """The measurements of a folder. The first line says what they belong to, each further line is one record.

    Attributes:
        tasks: Stream number -> what was asked (see `hermes.lab.measure.describe_task`).
        found: Stream number and cell -> what was measured (see `hermes.lab.measure.measure`); its `times` name the run of
            the command that took them, as each has a load of its own.
    """

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        """Open the folder, or make it.

        Args:
            folder: Where the file lies or will lie.
            identity: What must agree for measurements to belong together.

        Raises:
            LabError: The folder holds measurements of something else, or a damaged file, or cannot be written.
        """
        self.tasks: dict[int, dict[str, Any]] = {}
        self.found: dict[tuple[int, Cell], dict[str, Any]] = {}
        self._path = folder / MEASUREMENTS
        self._run = secrets.token_hex(4)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            whole = self._read(identity) if self._path.exists() else 0
            self._file = self._path.open("r+b" if whole else "wb")
            self._file.truncate(whole)  # what a killed run left of its last line
            self._file.seek(whole)
        except OSError as error:
            raise LabError(f"The folder {folder} cannot be used: {error.strerror}.") from error
        if not whole:
            self._write({"identity": identity})

    def _read(self, identity: dict[str, Any]) -> int:
        """Take in the lines that are whole; returns how many bytes they take."""
        whole = 0
        for number, (line, size) in enumerate(_lines(self._path)):
            try:
                record = json.loads(line)
            except ValueError:
                raise LabError(f"{self._path} is damaged in line {number + 1}: move it away to begin anew.") from None
            if number == 0:
                self._compare(record.get("identity") or {}, identity)
            else:
                self._take(record)
            whole += size
        return whole

    def _compare(self, there: dict[str, Any], here: dict[str, Any]) -> None:
        other = [name for name in here if there.get(name) != here[name]]
        if other:
            name = other[0]
            raise LabError(
                f"{self._path} holds measurements of something else ({name}: {there.get(name)} there, {here[name]} here). "
                "Choose another folder."
            )

    def _take(self, record: dict[str, Any]) -> None:
        if "questions" in record:
            self.tasks[record["stream"]] = record
        else:
            self.found[record["stream"], Cell(record["policy"], record["budget"])] = record

    def add(self, record: dict[str, Any]) -> None:
        """Keep a record: on disk before this returns."""
        if "questions" in record and record["stream"] in self.tasks:
            return
        if "times" in record:
            record = record | {"times": record["times"] | {"run": self._run}}
        self._take(record)
        self._write(record)

    def _write(self, record: dict[str, Any]) -> None:
        self._file.write(json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _lines(path: Path) -> Iterator[tuple[str, int]]:
    """Lines that end as lines do, each with its size in bytes; what is behind the last end was never written whole."""
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield line.decode("utf-8", "replace"), len(line)
