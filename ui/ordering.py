"""Ordering of user actions: the page numbers its actions, and the server applies them in that order."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hermes.errors import HermesError

PATIENCE: float = 2.0
"""Maximum time that an action waits for the actions before it, in seconds. One of them may be lost."""
MAX_WAITING = 4
"""Maximum number of waiting actions per page. Others do not wait, so that no page can block the server's threads."""


MAX_AT_ONCE = 12
"""Maximum number of actions of one page in progress. Each occupies one of the threads that all visitors share."""


class Turns:
    """The order of the actions of one page.

    Gradio runs the events of a page concurrently, so that two events sent at the same time can be swapped: "pause" followed
    by "start" could leave the new stream paused.
    """

    def __init__(self, patience: float = PATIENCE) -> None:
        """Start before action 1."""
        self._patience = patience
        self._done = 0
        self._waiting = 0
        self._inside = 0
        self._changed = threading.Condition()

    @contextmanager
    def take(self, number: Any) -> Iterator[None]:
        """Run the block as action `number`, counted from 1, after the previous actions if they arrive in time.

        Anything but an integer does not wait.

        Raises:
            HermesError: The page has too many actions in progress.
        """
        with self._changed:
            if self._inside >= MAX_AT_ONCE:
                raise HermesError("Too many actions at once. Wait until one of them is done.")
            self._inside += 1
        try:
            with self._in_order(number):
                yield
        finally:
            with self._changed:
                self._inside -= 1

    @contextmanager
    def _in_order(self, number: Any) -> Iterator[None]:
        if not isinstance(number, int) or isinstance(number, bool):
            yield
            return
        with self._changed:
            if self._waiting < MAX_WAITING:
                self._waiting += 1
                self._changed.wait_for(lambda: self._done >= number - 1, self._patience)
                self._waiting -= 1
        try:
            yield
        finally:
            with self._changed:
                self._done = max(self._done, number)
                self._changed.notify_all()
