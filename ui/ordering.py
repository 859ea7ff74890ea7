"""Presses take effect in the order in which they were made: the page numbers them, and here they wait for each other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

PATIENCE: float = 2.0
"""Seconds for which a press waits for those before it; one may have been lost on its way."""
MOST_WAITING = 4
"""Presses of one page that wait at once; what comes beyond goes at once, so that no page can hold the server's threads."""


class Turns:
    """The turns of one page.

    Gradio runs the events of a page beside each other, so that two that are sent in one moment can change places: "pause"
    what was shown and "start" something else would then leave the new stream paused.
    """

    def __init__(self, patience: float = PATIENCE) -> None:
        """Begin before press 1."""
        self._patience = patience
        self._done = 0
        self._waiting = 0
        self._changed = threading.Condition()

    @contextmanager
    def take(self, number: Any) -> Iterator[None]:
        """Run the block as press `number` (counted from 1): after those before it, if they come within the patience.

        Anything but a number goes at once.
        """
        if not isinstance(number, int) or isinstance(number, bool):
            yield
            return
        with self._changed:
            if self._waiting < MOST_WAITING:
                self._waiting += 1
                self._changed.wait_for(lambda: self._done >= number - 1, self._patience)
                self._waiting -= 1
        try:
            yield
        finally:
            with self._changed:
                self._done = max(self._done, number)
                self._changed.notify_all()
