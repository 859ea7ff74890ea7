"""Files that a replica receives in parts: videos, stored once for all streams that use them, and sessions."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from hermes.errors import FailedError

PART_BYTES: Final = 4_000_000
"""Largest part of a file in one message."""


def parts_of(path: Path) -> Iterator[bytes]:
    """Yield the content of a file in parts of at most `PART_BYTES`."""
    with path.open("rb") as file:
        while part := file.read(PART_BYTES):
            yield part


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class FileStore:
    """Files by the digest of their content, each kept while a stream uses it. Thread-safe."""

    def __init__(self, folder: Path) -> None:
        """Store files in `folder`, which exists and is empty."""
        self._folder = folder
        self._lock = threading.Lock()
        self._used: dict[str, str] = {}  # digest by stream
        self._ready: set[str] = set()

    def hold(self, digest: str, stream: str) -> bool:
        """Record that a stream uses a file instead of another one, and return whether the file is stored."""
        with self._lock:
            self._used[stream] = digest
            self._delete_unused()
            return digest in self._ready

    def release(self, stream: str) -> None:
        """Record that a stream no longer uses a file."""
        with self._lock:
            self._used.pop(stream, None)
            self._delete_unused()

    def append(self, stream: str, part: bytes) -> None:
        """Append a part to the file that a stream sends. Parts of one file are sent one after another."""
        with self.incoming(stream).open("ab") as file:
            file.write(part)

    def finish(self, stream: str) -> None:
        """Check and store the file that a stream has sent.

        Raises:
            FailedError: It does not have the digest that was announced.
        """
        incoming, digest = self.incoming(stream), self._used[stream]
        incoming.touch()
        if digest_of(incoming) != digest:
            incoming.unlink()
            raise FailedError("The file was changed while it was sent. Start the stream again.")
        with self._lock:
            self._ready.add(digest)
            incoming.replace(self.path(digest))
            self._delete_unused()

    def discard(self, stream: str) -> None:
        """Delete the unfinished file of a stream, if there is one."""
        self.incoming(stream).unlink(missing_ok=True)

    def path(self, digest: str) -> Path:
        """Return the path of a stored file."""
        return self._folder / digest

    def incoming(self, stream: str) -> Path:
        """Return the path of the file that a stream sends."""
        return self._folder / f"{stream}.part"

    def _delete_unused(self) -> None:
        """Delete the files that no stream uses; the lock is held."""
        for digest in self._ready.difference(self._used.values()):
            self._ready.remove(digest)
            self.path(digest).unlink(missing_ok=True)
