"""The zip file of a recorded run: written atomically, and read after checking its declared sizes."""

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
    """A recorded run cannot be written, for example because the disk is full."""


LARGEST_DIRECTORY = 1_000_000
"""Upper bound of a zip file's directory in bytes."""
_END = struct.Struct("<4s4H2LH")
_LOCATOR = 20
"""Bytes of the record before the end record in zip files with 64-bit extensions."""


class Parts:
    """The parts of an open file by name; `below` selects a folder.

    Attributes:
        budget: Memory budget of the file; every part is charged when it is read.
    """

    def __init__(self, file: zipfile.ZipFile, budget: MemoryBudget, folder: str = "") -> None:
        """Check the directory of an open file.

        Raises:
            DamagedError: It has too many parts, a duplicate part, or a part with an unknown compression.
            FileTooLargeError: Its parts exceed the budget.
        """
        self.budget = budget
        self._file = file
        self._folder = folder
        members = file.infolist()
        self._listed = {part.filename: part for part in members}
        if len(members) > RUN_LIMITS.parts or len(self._listed) != len(members):
            raise DamagedError("It has too many parts, or a duplicate part.")
        if any(part.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for part in members):
            raise DamagedError("A part uses an unknown compression.")
        MemoryBudget(budget.limit).require(sum(part.file_size for part in members))

    def __contains__(self, name: str) -> bool:
        """Whether there is such a part."""
        return self._folder + name in self._listed

    def __getitem__(self, name: str) -> bytes:
        """Return a part's bytes, never more than the directory declares.

        Raises:
            DamagedError: The part is missing or cannot be decompressed.
            FileTooLargeError: The part exceeds the budget.
        """
        part = self._listed.get(self._folder + name)
        if part is None:
            raise DamagedError(f"The part {name[:60]} is missing.")
        self.budget.charge(part.file_size)
        try:
            with self._file.open(part) as content:
                data = content.read(part.file_size)  # the size limits how much zipfile decompresses
        except (zlib.error, zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
            raise DamagedError(f"The part {name[:60]} cannot be decompressed.") from error
        if len(data) != part.file_size:
            raise DamagedError(f"The part {name[:60]} is incomplete.")
        return data

    def below(self, folder: str) -> Parts:
        """Return the parts in a folder, by their names relative to it."""
        return Parts(self._file, self.budget, f"{self._folder}{folder}/")


@contextmanager
def opened(path: Path) -> Iterator[Parts]:
    """Open a file for reading. Errors inside the `with` block become messages that name the file.

    Raises:
        TraceError: The file is not a recorded run, is damaged or too large, or cannot be read.
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
    """Whether a file starts like a zip file whose first part has this name; False if it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            start = file.read(30 + len(part))
    except OSError:
        return False
    return start.startswith(b"PK\x03\x04") and start.endswith(part.encode())


def read_head(data: bytes, kind: str) -> dict[str, Any]:
    """Parse the first part of a file, a JSON object.

    Args:
        data: The part.
        kind: The expected format.

    Raises:
        InvalidValueError: The part is not a JSON object, or has another format.
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
    """Write parts in order to a file, which is replaced atomically. Equal parts produce equal files.

    Returns:
        Size of the file in bytes.

    Raises:
        TraceWriteError: The file cannot be written.
        OutputError: `path` is a folder, a device, a pipe or a socket.
    """
    try:
        with replacing(path) as part:
            with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as file:
                for name, data in parts.items():
                    info = zipfile.ZipInfo(
                        name, (1980, 1, 1, 0, 0, 0)
                    )  # constant, so that equal runs produce equal files
                    info.compress_type = zipfile.ZIP_DEFLATED if name.endswith(".json") else zipfile.ZIP_STORED
                    file.writestr(info, data)
            size = part.stat().st_size
    except OSError as error:
        raise TraceWriteError(f"The run could not be written to {path}: {os.strerror(error.errno or 0)}.") from error
    return size
