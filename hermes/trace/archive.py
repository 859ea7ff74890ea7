"""The zip file of a recorded run: written whole or not at all, and read only after its sizes were checked."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from hermes.errors import FailedError
from hermes.output import replacing
from hermes.trace.block import DamagedError, TraceError


class TraceWriteError(TraceError, FailedError):
    """A recorded run that cannot be written, such as on a full disk."""


LARGEST_FILE = 64_000_000
"""Bytes of a file that is read, and of each of its parts when unpacked."""
MOST_PARTS = 4000


class Parts:
    """The parts of an open file by name; of a folder inside it, see `below`."""

    def __init__(self, file: zipfile.ZipFile, folder: str = "") -> None:
        """Take an open file.

        Raises:
            DamagedError: It has more or larger parts than a recorded run can have.
        """
        self._file = file
        self._folder = folder
        self._listed = {part.filename: part for part in file.infolist()}
        whole = sum(part.file_size for part in self._listed.values())
        if len(self._listed) > MOST_PARTS or whole > 2 * LARGEST_FILE:
            raise DamagedError("It has more parts than a recorded run can have.")

    def __contains__(self, name: str) -> bool:
        """Whether there is such a part."""
        return self._folder + name in self._listed

    def __getitem__(self, name: str) -> bytes:
        """A part's bytes.

        Raises:
            DamagedError: It is missing, or too large.
        """
        part = self._listed.get(self._folder + name)
        if part is None or part.file_size > LARGEST_FILE:
            raise DamagedError(f"Its part {name} is missing or too large.")
        return self._file.read(part)

    def below(self, folder: str) -> Parts:
        """The parts in a folder, by their names there."""
        return Parts(self._file, f"{self._folder}{folder}/")


@contextmanager
def opened(path: Path) -> Iterator[Parts]:
    """Open a file for reading. What goes wrong inside the `with` block is told as a sentence that names the file.

    Raises:
        TraceError: It is no such file, is damaged, or cannot be read.
    """
    if not path.is_file():
        raise TraceError(f"There is no file at {path}.")
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise TraceError(f"{path.name} is larger than a recorded run can be ({LARGEST_FILE // 1_000_000} MB).")
        with zipfile.ZipFile(path) as file:
            yield Parts(file)
    except DamagedError as error:
        raise TraceError(f"{path.name} is damaged. {error}") from error
    except zipfile.BadZipFile as error:
        raise TraceError(f"{path.name} is not a recorded run, or is damaged.") from error
    except (OSError, EOFError, RuntimeError, NotImplementedError, ValueError) as error:
        raise TraceError(f"{path.name} cannot be read.") from error


def begins_with(path: str | Path, part: str) -> bool:
    """Whether a file begins like a zip file whose first part has this name; nothing else of it is looked at."""
    with Path(path).open("rb") as file:
        start = file.read(30 + len(part))
    return start.startswith(b"PK\x03\x04") and start.endswith(part.encode())


def check_version(name: str, data: bytes, kind: str, newest: int) -> None:
    """Check what the head of a file says of its form.

    Args:
        name: The file's, for the message.
        data: The head, as JSON.
        kind: The format that is read.
        newest: Its newest version, the only one that there is so far.

    Raises:
        TraceError: It is another format, or a newer version.
        DamagedError: It cannot be read.
    """
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DamagedError("Its head cannot be read.") from error
    if not isinstance(content, dict) or content.get("format") != kind:
        raise TraceError(f"{name} is not a recorded run.")
    version = content.get("version")
    if isinstance(version, int) and version > newest:
        raise TraceError(
            f"{name} was recorded by a newer version of this program: it has format {version}, and this one reads up "
            f"to {newest}."
        )
    if version != newest:
        raise DamagedError("Its version is not known.")


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
