"""Reading of uploaded recordings. Each may take seconds and 500 MB, so few are read at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from hermes import trace
from hermes.errors import HermesError
from hermes.trace import LabRun, Run

MOST_READ: Final = 2
"""Uploaded recordings that are read at the same time, for all visitors."""


class RunReader:
    """Reads uploaded recordings, one at a time for each visitor. Thread-safe."""

    def __init__(self) -> None:
        """Start without a recording."""
        self._readers: set[str | None] = set()
        self._lock = threading.Lock()
        self._free = threading.BoundedSemaphore(MOST_READ)

    def read(self, key: str | None, path: Path) -> Run:
        """Read a run for the visitor `key`, after those that are being read.

        Raises:
            HermesError: The file cannot be read, or the visitor already opens a recording.
        """
        with self._turn(key):
            return trace.read(path)

    def read_lab(self, key: str | None, path: Path) -> LabRun:
        """Read a lab run; see `read`."""
        with self._turn(key):
            return trace.read_lab(path)

    @contextmanager
    def _turn(self, key: str | None) -> Iterator[None]:
        with self._lock:
            if key in self._readers:
                raise HermesError("A recording is being opened already. Wait until it is shown.")
            self._readers.add(key)
        try:
            with self._free:
                yield
        finally:
            with self._lock:
                self._readers.discard(key)
