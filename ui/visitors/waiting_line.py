"""The queue of visitors who wait for a live slot. Each has one place, and starts by itself when its turn has come.

A stream that is paused gives up its slot when others wait: at once if its page is away, otherwise after `PAUSED_SECONDS`.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from hermes.errors import HermesError
from hermes.serving.slots import BusyError

logger = logging.getLogger(__name__)

PAUSED_SECONDS: Final = 60.0
"""A stream that its visitor paused keeps its slot for this long while others wait, in seconds."""
POLL_SECONDS: Final = 1.0
"""Interval in seconds at which paused streams are checked while visitors wait."""


class SlotProvider(Protocol):
    """The interface of the engine that the queue uses."""

    @property
    def free_slots(self) -> int:
        """Number of free live slots."""

    def is_live(self, stream: Any) -> bool:
        """Return whether a stream holds a live slot."""

    def on_free(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever a live slot becomes free."""


class Waiter(Protocol):
    """The interface of a visitor that the queue uses."""

    @property
    def stream(self) -> Any:
        """The visitor's stream, if any."""

    def notify(self, kind: str, text: str) -> None:
        """Show a notice next to the stream."""

    def yield_slot(self, now: float) -> None:
        """Give up the live slot if the stream has been paused for `PAUSED_SECONDS` at time `now`."""


@dataclass(eq=False)
class _QueuePlace:
    """A place in the queue.

    Attributes:
        start: Starts the stream; raises BusyError if there is no slot.
        starting: Whether it is being called.
    """

    start: Callable[[], None]
    starting: bool = field(default=False)


class WaitingLine:
    """The queue of one server. Thread-safe."""

    def __init__(self, engine: SlotProvider, clock: Callable[[], float] = time.monotonic) -> None:
        """Create an empty queue.

        Args:
            engine: Provides the slots.
            clock: Returns the time in seconds.
        """
        self.clock = clock
        self._engine = engine
        self._places: dict[Waiter, _QueuePlace] = {}
        self._away: set[Waiter] = set()
        self._known: set[Waiter] = set()  # visitors whose streams may hold slots
        self._lock = threading.RLock()
        self._news = threading.Event()
        engine.on_free(self._news.set)

    def run(self, visitor: Waiter, start: Callable[[], None]) -> bool:
        """Start a stream now if a slot is free and the queue is empty; otherwise add the visitor to the queue.

        Args:
            visitor: The visitor. It keeps its place if it has one, and then starts this stream instead.
            start: Starts the stream; raises BusyError if there is no slot.

        Returns:
            Whether it was started.

        Raises:
            HermesError: The stream cannot be started for another reason.
        """
        with self._lock:
            self._known.add(visitor)
            place = self._places.get(visitor)
            others = any(other is not visitor for other in self._present())
        if self._engine.is_live(visitor.stream) or (place is None and not others and self._has_room()):
            try:
                start()
            except BusyError:
                pass
            else:
                self.leave(visitor)
                return True
        with self._lock:
            if place is None:
                self._places.setdefault(visitor, _QueuePlace(start))
            else:
                place.start = start
        self._news.set()
        return False

    def leave(self, visitor: Waiter) -> None:
        """Give up a visitor's place in the queue. Does nothing if it has none."""
        with self._lock:
            self._places.pop(visitor, None)
        self._news.set()

    def forget(self, visitor: Waiter) -> None:
        """Forget a visitor who has left."""
        self.leave(visitor)
        with self._lock:
            self._known.discard(visitor)
            self._away.discard(visitor)

    def set_away(self, visitor: Waiter, *, away: bool) -> None:
        """Set whether the page of a visitor is away. Meanwhile it keeps its place in the queue, but others go first."""
        with self._lock:
            (self._away.add if away else self._away.discard)(visitor)
        self._news.set()

    def position(self, visitor: Waiter) -> tuple[int, int] | None:
        """Return the place of a visitor in the queue, from 1, and the length of the queue; None if it does not wait."""
        with self._lock:
            waiting = list(self._places)
        return (waiting.index(visitor) + 1, len(waiting)) if visitor in waiting else None

    def serve(self) -> list[threading.Thread]:
        """Start the streams of the first visitors for whom a slot is free. Returns the threads that start them."""
        threads = []
        while (chosen := self._next()) is not None:
            thread = threading.Thread(target=self._start, args=chosen, name="start a waiting stream", daemon=True)
            threads.append(thread)
            thread.start()
        return threads

    def _present(self) -> list[Waiter]:
        """The waiting visitors whose pages are there; the lock is held."""
        return [visitor for visitor in self._places if visitor not in self._away]

    def _next(self) -> tuple[Waiter, _QueuePlace] | None:
        """Return the first visitor that can start, or None. Paused streams give up their slots if needed."""
        with self._lock:
            waiting = any(not self._places[visitor].starting for visitor in self._present())
            known = {visitor: visitor in self._away for visitor in self._known}
        if not waiting:
            return None
        for visitor, away in known.items():
            if self._has_room():
                break
            visitor.yield_slot(math.inf if away else self.clock())
        with self._lock:
            if not self._has_room():
                return None
            for visitor in self._present():
                place = self._places[visitor]
                if not place.starting:
                    place.starting = True
                    return visitor, place
        return None

    def _has_room(self) -> bool:
        """Whether there are more free slots than visitors who are starting."""
        with self._lock:
            return self._engine.free_slots > sum(place.starting for place in self._places.values())

    def _start(self, visitor: Waiter, place: _QueuePlace) -> None:
        start = place.start
        try:
            start()
        except BusyError:
            with self._lock:
                place.starting = False
            return
        except HermesError as error:
            visitor.notify("error", str(error))
        except Exception:
            logger.exception("A waiting stream could not be started")
            visitor.notify("error", "The stream could not be started because of an internal error. Try again.")
        with self._lock:
            again = place.start is not start  # the visitor chose another source meanwhile
            place.starting = False
            if not again and self._places.get(visitor) is place:
                del self._places[visitor]
        self._news.set()

    def keep_serving(self, stop: threading.Event) -> None:
        """Serve in a background thread until `stop` is set."""

        def loop() -> None:
            while not stop.is_set():
                self._news.wait(POLL_SECONDS)
                self._news.clear()
                try:
                    self.serve()
                except Exception:
                    logger.exception("The queue could not be served")

        threading.Thread(target=loop, name="waiting line", daemon=True).start()
