"""The zip file of a recorded run: written whole or not at all, and read only after its sizes were checked."""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hermes.errors import FailedError
from hermes.files.checks import InvalidValueError, mapping, parse_json
from hermes.files.limits import RUN_LIMITS, FileTooLargeError, MemoryBudget
from hermes.files.output import replacing
from hermes.trace.block import DamagedError, TraceError


class TraceWriteError(TraceError, FailedError):
    """A recorded run that cannot be written, such as on a full disk."""


LARGEST_DIRECTORY = 1_000_000
"""Bytes of a zip file's directory."""
_END = struct.Struct("<4s4H2LH")
_LOCATOR = 20
"""Bytes of the record in front of the end record where a zip file uses the 64-bit extensions."""


class Parts:
    """The parts of an open file by name; for a folder inside it, see `below`.

    Attributes:
        budget: What the file expands to; every part is charged when it is read.
    """

    def __init__(self, file: zipfile.ZipFile, budget: MemoryBudget, folder: str = "") -> None:
        """Take an open file.

        Raises:
            DamagedError: It has too many parts, one twice, or one in a form that a recorded run does not use.
            FileTooLargeError: Its parts are larger than the budget allows.
        """
        self.budget = budget
        self._file = file
        self._folder = folder
        members = file.infolist()
        self._listed = {part.filename: part for part in members}
        if len(members) > RUN_LIMITS.parts or len(self._listed) != len(members):
            raise DamagedError("It has too many parts, or one of them twice.")
        if any(part.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for part in members):
            raise DamagedError("A part is compressed in an unknown way.")
        MemoryBudget(budget.limit).require(sum(part.file_size for part in members))

    def __contains__(self, name: str) -> bool:
        """Whether there is such a part."""
        return self._folder + name in self._listed

    def __getitem__(self, name: str) -> bytes:
        """A part's bytes; never more than the directory declares.

        Raises:
            DamagedError: It is missing or cannot be decompressed.
            FileTooLargeError: It exceeds the budget.
        """
        part = self._listed.get(self._folder + name)
        if part is None:
            raise DamagedError(f"The part {name[:60]} is missing.")
        self.budget.charge(part.file_size)
        try:
            with self._file.open(part) as content:
                data = content.read(part.file_size)  # a size keeps zipfile from decompressing past it
        except (zlib.error, zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
            raise DamagedError(f"The part {name[:60]} cannot be decompressed.") from error
        if len(data) != part.file_size:
            raise DamagedError(f"The part {name[:60]} is incomplete.")
        return data

    def below(self, folder: str) -> Parts:
        """The parts in a folder, by their names there."""
        return Parts(self._file, self.budget, f"{self._folder}{folder}/")


@contextmanager
def opened(path: Path) -> Iterator[Parts]:
    """Open a file for reading. Whatever fails inside the `with` block becomes a sentence that names the file.

    Raises:
        TraceError: It is not such a file, is damaged or too large, or cannot be read.
    """
    if not path.is_file():
        raise TraceError(f"There is no file at {path}.")
    with described(path):
        try:
            _check_directory(path)
            with zipfile.ZipFile(path) as file:
                yield Parts(file, MemoryBudget(RUN_LIMITS.memory_bytes))
        except zipfile.BadZipFile as error:
            raise TraceError(f"{path.name} is not a recorded run, or is damaged.") from error
        except (OSError, UnicodeError, NotImplementedError) as error:
            raise TraceError(f"{path.name} cannot be read.") from error


@contextmanager
def described(path: Path) -> Iterator[None]:
    """Turn errors about the content of a file into a `TraceError` that names the file.

    Raises:
        TraceError: The content is damaged, inconsistent or too large.
    """
    try:
        yield
    except FileTooLargeError as error:
        raise TraceError(f"{path.name} is too large. {error}") from error
    except (DamagedError, InvalidValueError) as error:
        raise TraceError(f"{path.name} is damaged. {error}") from error


def _check_directory(path: Path) -> None:
    """Check the size of a zip file and of its directory, which zipfile reads as a whole."""
    size = path.stat().st_size
    if size > RUN_LIMITS.file_bytes:
        raise FileTooLargeError(f"A recorded run has at most {RUN_LIMITS.file_bytes // 1_000_000} MB.")
    with path.open("rb") as file:
        file.seek(max(0, size - _END.size - _LOCATOR))
        tail = file.read()
    if len(tail) < _END.size:
        raise zipfile.BadZipFile
    locator, end = tail[: -_END.size], tail[-_END.size :]
    magic, *_, directory, _, comment = _END.unpack(end)
    if magic != b"PK\x05\x06" or comment or locator.startswith(b"PK\x06\x07"):
        raise zipfile.BadZipFile
    if directory > LARGEST_DIRECTORY:
        raise DamagedError("It has too many parts.")


def begins_with(path: str | Path, part: str) -> bool:
    """Whether a file begins like a zip file whose first part has this name; nothing else of it is looked at."""
    with Path(path).open("rb") as file:
        start = file.read(30 + len(part))
    return start.startswith(b"PK\x03\x04") and start.endswith(part.encode())


def read_head(data: bytes, kind: str) -> dict[str, Any]:
    """The JSON object that a file begins with.

    Args:
        data: The part.
        kind: The format that it must name.

    Raises:
        InvalidValueError: It is not JSON, or names another format.
    """
    content = mapping(parse_json(data, RUN_LIMITS.json_bytes, "header"), "header")
    if content.get("format") != kind:
        raise InvalidValueError("The header names another format.")
    return content


def check_version(name: str, content: Mapping[str, Any], version: int) -> None:
    """Check the format version of a file.

    Args:
        name: Name of the file.
        content: What `read_head` returned.
        version: The version that this program reads.

    Raises:
        TraceError: The file has another version.
        InvalidValueError: Its version is not a positive integer.
    """
    found = content.get("version")
    if isinstance(found, bool) or not isinstance(found, int) or found < 1:
        raise InvalidValueError("The header has no format version.")
    if found > version:
        raise TraceError(
            f"{name} was recorded by a newer version of this program (format {min(found, 999_999)}). This version reads "
            f"format {version}."
        )
    if found < version:
        raise TraceError(
            f"{name} was recorded by an older version of this program (format {found}). This version reads format "
            f"{version}; record the stream again."
        )


def write(path: Path, parts: Mapping[str, bytes]) -> int:
    """Write parts as one file, in their order; it appears whole or not at all. Equal parts make equal files.

    Returns:
        Bytes of the file.

    Raises:
        TraceWriteError: It cannot be written.
        OutputError: `path` is a folder, a device, a pipe or a socket.
    """
    try:
        with replacing(path) as part:
            with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as file:
                for name, data in parts.items():
                    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))  # so that equal runs are equal files
                    info.compress_type = zipfile.ZIP_DEFLATED if name.endswith(".json") else zipfile.ZIP_STORED
                    file.writestr(info, data)
            size = part.stat().st_size
    except OSError as error:
        raise TraceWriteError(f"The run could not be written to {path}: {os.strerror(error.errno or 0)}.") from error
    return size
