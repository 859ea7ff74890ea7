"""Holding a call back by an event, to test what happens meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from patience import PATIENCE


class Held:
    """Calls a function only after `go_on` is set, for arguments that match."""

    def __init__(self, function: Callable[..., Any], matches: Callable[..., bool] = lambda *_: True) -> None:
        self.function, self.matches = function, matches
        self.results: list[Any] = []
        self.entered, self.go_on = threading.Event(), threading.Event()

    def __call__(self, *given: Any, **more: Any) -> Any:
        if self.matches(*given):
            self.entered.set()
            assert self.go_on.wait(PATIENCE)
            self.results.append(self.function(*given, **more))
            return self.results[-1]
        return self.function(*given, **more)


@contextmanager
def underway(held: Held, action: Callable[[], object]) -> Iterator[threading.Thread]:
    """Run an action in a thread; the block runs while it is held. The action has ended after the block."""
    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    assert held.entered.wait(PATIENCE)
    try:
        yield thread
    finally:
        held.go_on.set()
        thread.join(PATIENCE)
        assert not thread.is_alive()
