"""Stores measurements as JSON lines; the file stays usable if the process is killed."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from hermes.lab.plan import Cell, LabError

MEASUREMENTS: Final = "measurements.jsonl"
RENAMED: Final = {"said": "answers", "fate": "outcomes"}
"""Fields of measurements by their former names, in files of earlier versions."""


class Store:
    """The measurements in a folder. The first line of the file is their identity, each further line one record.

    Attributes:
        tasks: Task by stream number (see `hermes.lab.measure.describe_task`).
        found: Measurement by stream number and cell (see `hermes.lab.measure.measure`); its `times` name the run of the
            command, because the load of the machine differs between runs.
    """

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        """Open or create the folder.

        Args:
            folder: The folder of the file.
            identity: Properties that all measurements in the file share (see `hermes.lab.plan.identity`).

        Raises:
            LabError: The folder contains other measurements or a damaged file, or cannot be written.
        """
        self.tasks: dict[int, dict[str, Any]] = {}
        self.found: dict[tuple[int, Cell], dict[str, Any]] = {}
        self._path = folder / MEASUREMENTS
        self._run = secrets.token_hex(4)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            whole = self._read(identity) if self._path.exists() else 0
            self._file = self._path.open("r+b" if whole else "wb")
            self._file.truncate(whole)  # remove an incomplete last line
            self._file.seek(whole)
        except OSError as error:
            raise LabError(f"The folder {folder} cannot be used: {error.strerror}.") from error
        if not whole:
            self._write({"identity": identity})

    def _read(self, identity: dict[str, Any]) -> int:
        """Read the complete lines; returns their size in bytes."""
        whole = 0
        for number, (line, size) in enumerate(_lines(self._path)):
            try:
                record = json.loads(line)
            except ValueError:
                raise LabError(f"{self._path} is damaged in line {number + 1}: move it away to start again.") from None
            if number == 0:
                self._compare(record.get("identity") or {}, identity)
            else:
                self._take(record)
            whole += size
        return whole

    def _compare(self, stored: dict[str, Any], current: dict[str, Any]) -> None:
        different = [name for name in current if stored.get(name) != current[name]]
        if different:
            name = different[0]
            raise LabError(
                f"{self._path} holds other measurements ({name}: {stored.get(name)} instead of {current[name]}). "
                "Choose another folder."
            )

    def _take(self, record: dict[str, Any]) -> None:
        if "questions" in record:
            self.tasks[record["stream"]] = record
        else:
            record = {RENAMED.get(name, name): value for name, value in record.items()}
            self.found[record["stream"], Cell(record["policy"], record["budget"])] = record

    def add(self, record: dict[str, Any]) -> None:
        """Add a record and write it to the file."""
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
    """Complete lines with their size in bytes; an incomplete last line is skipped."""
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield line.decode("utf-8", "replace"), len(line)
