"""Output files: checked before any work starts, never identical to an input, and replaced atomically."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from hermes.errors import FailedError, HermesError

DEVICE_FOLDERS: Final = (Path("/dev"), Path("/proc"), Path("/sys"))
"""No output is written below these. Symbolic links are checked too: /dev/stdout may point to a regular file."""
MEMORY_FOLDERS: Final = (Path("/dev/shm"),)  # noqa: S108 - not used for temporary files
"""Below a device folder, but contains regular files."""


class OutputError(HermesError):
    """An output path that cannot be used; the message says why. Nothing was written."""


def check_file(path: Path, inputs: Iterable[Path] = ()) -> Path:
    """Check that a file can be written, without changing it.

    Args:
        path: The file; it may exist.
        inputs: Files and folders that are read. The output must not be one of these files or a file in one of these
            folders, also not by a symbolic or hard link.

    Returns:
        The file to write: `path` with symbolic links followed.

    Raises:
        OutputError: It is a folder, a device, a pipe or a socket, an input, read-only, or its folder is missing or cannot
            be written to.
    """
    try:
        real = path.resolve()
        if path.is_symlink() and real.is_symlink():
            raise OutputError(f"{path} is a symbolic link that leads to itself.")
        _check_place(path)
        _check_place(real)
        if real.exists():
            _check_existing(path, real, inputs)
        _check_writable(path, real.parent)
    except (OSError, ValueError, RuntimeError) as error:  # too long, a null byte, a loop of links
        raise OutputError(f"{path} cannot be written: {_reason(error)}.") from error
    return real


def check_folder(path: Path, inputs: Iterable[Path] = (), names: Iterable[str] = ()) -> Path:
    """Check that files can be written into a folder that exists or can be made, without changing anything.

    Args:
        path: The folder.
        inputs: Folders that are read; the output may be none of them.
        names: Files that are written there; each must be missing or a regular file that is no input.

    Returns:
        The folder, with symbolic links followed.

    Raises:
        OutputError: It is something else, an input, or cannot be made or written to.
    """
    inputs = tuple(inputs)
    try:
        real = path.resolve()
        _check_place(real)
        if real.exists():
            if not real.is_dir():
                kind = "a file" if real.is_file() else "a device"
                raise OutputError(f"The folder {path} cannot be used: it is {kind}, not a folder.")
            if any(source.is_dir() and source.samefile(real) for source in inputs):
                raise OutputError(f"{path} is an input; choose another folder for the output.")
        there = next(folder for folder in (real, *real.parents) if folder.exists())
        _check_writable(path, there)
        for name in names if there == real else ():
            check_file(real / name, inputs)
    except (OSError, ValueError, RuntimeError) as error:
        raise OutputError(f"{path} cannot be written: {_reason(error)}.") from error
    return real


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Replace a file atomically: yield a temporary path in the same folder, and rename it to `path` at the end.

    If the block raises, the temporary file is deleted and `path` keeps its content. A symbolic link is followed and kept.
    The temporary path has the suffix of `path`.

    Raises:
        OutputError: `path` is no regular file.
        OSError: The file cannot be written.
    """
    real = path.resolve()
    _check_place(real)
    mode = None
    if real.exists():
        _check_regular(path, real)
        mode = stat.S_IMODE(real.stat().st_mode)
    part = real.with_name(f".{secrets.token_hex(8)}.part{real.suffix[:16]}")
    try:
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        yield part
        if mode is not None:
            part.chmod(mode)
        part.replace(real)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Replace a file with UTF-8 text, as `replacing` does.

    Raises:
        OutputError: `path` is no regular file.
        FailedError: The file cannot be written.
    """
    try:
        with replacing(path) as part:
            part.write_text(text, encoding="utf-8")
    except OSError as error:
        raise FailedError(f"{path} cannot be written: {_reason(error)}.") from error


def _check_place(path: Path) -> None:
    absolute = path.absolute()
    if any(absolute.is_relative_to(folder) for folder in MEMORY_FOLDERS):
        return
    if any(absolute.is_relative_to(folder) for folder in DEVICE_FOLDERS):
        raise OutputError(f"{path} is a device, or in a folder of devices; choose a regular file.")


def _check_existing(path: Path, real: Path, inputs: Iterable[Path]) -> None:
    _check_regular(path, real)
    if not os.access(real, os.W_OK):
        raise OutputError(f"{path} is read-only.")
    for source in inputs:
        members = source.rglob("*") if source.is_dir() else (source,)
        if any(member.exists() and member.samefile(real) for member in members):
            raise OutputError(f"{path} is an input ({source}); choose another file for the output.")


def _check_regular(path: Path, real: Path) -> None:
    if real.is_dir():
        raise OutputError(f"{path} is a folder; choose a file.")
    if not real.is_file():
        raise OutputError(f"{path} is a device, a pipe or a socket; choose a regular file.")


def _check_writable(path: Path, folder: Path) -> None:
    """Create and delete a file, because permissions do not reveal read-only file systems and quotas."""
    if not folder.exists():
        raise OutputError(f"There is no folder {folder} to write {path.name} to.")
    if not folder.is_dir():
        raise OutputError(f"{path} cannot be written: {folder} is not a folder.")
    probe = folder / f".{secrets.token_hex(8)}.part"
    try:
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {_reason(error)}.") from error
    probe.unlink()


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return str(error).rstrip(".")
