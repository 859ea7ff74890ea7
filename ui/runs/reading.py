"""Reading of uploaded recordings. Each may take seconds and 500 MB, so few are read at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from hermes import trace
from hermes.errors import HermesError
from hermes.files.limits import RUN_LIMITS
from hermes.trace import LabRun, Run

MAX_READ: Final = 2
"""Uploaded recordings that are read at the same time, for all visitors."""


MAX_BYTES: Final = RUN_LIMITS.memory_bytes
"""What the recordings that a visitor has open, in the stream view and under Compare, may expand to together."""


def check_room(run: Run | LabRun, other: Run | LabRun | None) -> None:
    """Check that a recording fits into the memory of its visitor beside another one that stays open.

    Args:
        run: The recording that is opened.
        other: The other one; None if there is none.

    Raises:
        HermesError: It does not.
    """
    if other is not None and run.memory_bytes + other.memory_bytes > MAX_BYTES:
        where = "under Compare" if isinstance(other, LabRun) else "in the stream view"
        raise HermesError(
            f"This recording and “{other.title}”, which is open {where}, together need more than "
            f"{MAX_BYTES // 1_000_000} MB. Close the other one first."
        )


class RunReader:
    """Reads uploaded recordings, one at a time for each visitor. Thread-safe."""

    def __init__(self) -> None:
        """Start without a recording."""
        self._readers: set[str | None] = set()
        self._lock = threading.Lock()
        self._free = threading.BoundedSemaphore(MAX_READ)

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
