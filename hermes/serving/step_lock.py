"""The lock of one stream: actions of the visitor wait for the worker's step; the worker never waits for an action."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class StepLock:
    """A re-entrant lock with two sides. Actions use `with lock:`; the worker uses `with lock.step() as acquired:`.

    A waiting action takes precedence over the worker's next step, so that a busy worker cannot starve it.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        """Start unlocked.

        Args:
            wake: Called after each action, so that the worker retries a step that it skipped.
        """
        self._wake = wake
        self._lock = threading.RLock()
        self._count = threading.Lock()
        self._actions = 0

    def __enter__(self) -> None:
        """Wait for the worker's step and for other actions, then exclude both."""
        with self._count:
            self._actions += 1
        try:
            self._lock.acquire()
        except BaseException:
            self._leave()
            raise

    def __exit__(self, *_: object) -> None:
        """End the action."""
        self._lock.release()
        self._leave()
        self._wake()

    def _leave(self) -> None:
        with self._count:
            self._actions -= 1

    @contextmanager
    def step(self) -> Iterator[bool]:
        """Acquire the lock for one step if no action holds it or waits for it; yields whether it was acquired."""
        acquired = not self._actions and self._lock.acquire(blocking=False)
        try:
            yield acquired
        finally:
            if acquired:
                self._lock.release()
