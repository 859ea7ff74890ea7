"""Private folders for the uploads and recordings of visitors, deleted when the visitor leaves."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from hermes.errors import HermesError

logger = logging.getLogger(__name__)

SERVERS: Final = "hermes-live"
"""Folder below Gradio's upload folder that contains one folder per server."""
_LOCK: Final = "lock"


class VisitorFiles:
    """The folder of one visitor. Its name cannot be guessed, so that only the visitor can refer to its files."""

    def __init__(self, root: Path) -> None:
        """Use a new folder below `root`. It is created when it is first needed."""
        self.path = root / f"visitor-{secrets.token_hex(16)}"
        self._lock = threading.Lock()
        self._closed = False

    @property
    def folder(self) -> Path:
        """The folder, readable only by the user who runs the server.

        Raises:
            HermesError: The visitor has left, or the folder cannot be created.
        """
        with self._lock:
            if self._closed:
                raise HermesError("This page was closed.")
            try:
                self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise HermesError(f"No file can be stored here: {os.strerror(error.errno or 0)}.") from error
            return self.path

    def take(self, path: Path) -> Path:
        """Move a file into a new folder below the visitor's, and return its new path.

        Raises:
            HermesError: The visitor has left, or the file cannot be moved.
        """
        own = self.folder / secrets.token_hex(16)
        try:
            with self._lock:  # `close` deletes what is complete
                if self._closed:
                    raise HermesError("This page was closed.")
                own.mkdir(mode=0o700)
                return Path(shutil.move(path, own / path.name))
        except OSError as error:
            raise HermesError(f"The file could not be stored: {os.strerror(error.errno or 0)}.") from error

    def owns(self, path: Path) -> bool:
        """Return whether a file is in the visitor's folder after resolving symbolic links."""
        return path.resolve().is_relative_to(self.path.resolve()) and path.is_file()

    def remove(self, path: Path) -> None:
        """Delete a file returned by `take`, with its folder."""
        folder = path.parent
        if folder != self.path and folder.parent == self.path:
            shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Delete the folder."""
        with self._lock:
            self._closed = True
        shutil.rmtree(self.path, ignore_errors=True)


class ServerFolder:
    """The folder of a running server: Gradio's uploads and copies, visitors' files and temporary files."""

    def __init__(self, path: Path, lock: IO[bytes]) -> None:
        """Use a folder whose `lock` this process holds; see `open_server_folder`."""
        self.path = path
        self._lock = lock

    def close(self) -> None:
        """Delete the folder and release the lock."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


@contextlib.contextmanager
def server_folder(root: Path) -> Iterator[Path]:
    """Provide a folder for this server below `root`, also for temporary files. It is deleted at the end.

    Folders of servers that no longer run are deleted first.
    """
    folder = open_server_folder(root)
    before = {name: os.environ.get(name) for name in ("GRADIO_TEMP_DIR", "TMPDIR")}
    temporary = folder.path / "tmp"
    temporary.mkdir(mode=0o700)
    os.environ |= {"GRADIO_TEMP_DIR": str(folder.path), "TMPDIR": str(temporary)}
    tempfile.tempdir = None  # read TMPDIR again
    try:
        yield folder.path
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        tempfile.tempdir = None
        folder.close()


def open_server_folder(root: Path) -> ServerFolder:
    """Create the folder of this server below `root`, and delete the folders of servers that were killed."""
    servers = root / SERVERS
    servers.mkdir(mode=0o700, parents=True, exist_ok=True)
    for orphan in servers.iterdir():
        _remove_orphan(orphan)
    path = servers / secrets.token_hex(8)
    path.mkdir(mode=0o700)
    lock = (path / _LOCK).open("wb")
    _try_lock(lock)
    return ServerFolder(path, lock)


def _remove_orphan(path: Path) -> None:
    """Delete the folder of a server unless the server is running, that is, holds the lock."""
    try:
        with (path / _LOCK).open("rb") as lock:
            if not _try_lock(lock):
                return
    except OSError:
        return  # another server is creating or deleting it
    logger.info("Deleting the files of a server that no longer runs")
    shutil.rmtree(path, ignore_errors=True)


def _try_lock(file: IO[bytes]) -> bool:
    """Lock a file while it is open. Return False if another process holds the lock, or locks are not supported."""
    if sys.platform == "win32":
        return False
    import fcntl  # noqa: PLC0415 - not on Windows

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
