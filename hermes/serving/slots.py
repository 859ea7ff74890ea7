"""The live slots of an engine: which streams may read frames, and which finished ones keep their memory for questions.

A stream holds a slot from its start until its source has ended. Its memory then stays while there is room.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

from hermes.errors import HermesError

S = TypeVar("S")
"""A stream; hashable."""
FINISHED_BYTES: Final = 1_000_000_000
"""Total size of the finished memories that are kept in addition to one memory per slot. The oldest are freed first."""

BUSY: Final = "All live slots are busy; recordings still work. Please try again in a moment."


class BusyError(HermesError):
    """All live slots are taken."""


class Slots(Generic[S]):
    """The slots. Not thread-safe: callers must hold a lock."""

    def __init__(self, most: int) -> None:
        """Create `most` free slots."""
        self._most = most
        self._live: dict[S, None] = {}
        self._finished: dict[S, None] = {}

    @property
    def free(self) -> int:
        """Number of free slots."""
        return self._most - len(self._live)

    def holds(self, stream: S) -> bool:
        """Return whether a stream holds a slot."""
        return stream in self._live

    def require_room(self) -> None:
        """Check that a slot is free.

        Raises:
            BusyError: All slots are taken.
        """
        if self.free <= 0:
            raise BusyError(BUSY)

    def take(self, stream: S, replacing: S | None = None) -> None:
        """Give a stream a slot. Does nothing if it holds one.

        Args:
            stream: The stream.
            replacing: A stream whose slot it takes over, if that one holds a slot.

        Raises:
            BusyError: All slots are taken.
        """
        if stream in self._live:
            return
        if replacing is not None and replacing in self._live:
            self.finish(replacing)
        self.require_room()
        self._finished.pop(stream, None)
        self._live[stream] = None

    def finish(self, stream: S) -> bool:
        """Free the slot of a stream and keep its memory. Return whether it held a slot."""
        if stream not in self._live:
            return False
        del self._live[stream]
        self._finished[stream] = None
        return True

    def keep(self, stream: S) -> None:
        """Add a stream that has ended, unless it holds a slot."""
        if stream not in self._live:
            self._finished.setdefault(stream)

    def remove(self, stream: S) -> bool:
        """Remove a stream, whose memory is freed. Return whether it held a slot."""
        held = stream in self._live
        self._live.pop(stream, None)
        self._finished.pop(stream, None)
        return held

    def surplus(self, size_of: Callable[[S], int]) -> list[S]:
        """Return the finished streams whose memory should be freed, oldest first.

        As many memories as there are slots are always kept, and more while the finished ones fit into `FINISHED_BYTES`.

        Args:
            size_of: Returns the size of a memory in bytes.
        """
        total = sum(map(size_of, self._finished))
        count = len(self._live) + len(self._finished)
        chosen: list[S] = []
        for stream in self._finished:
            if total <= FINISHED_BYTES or count <= self._most:
                break
            chosen.append(stream)
            total, count = total - size_of(stream), count - 1
        return chosen
