"""The queue of visitors who wait for a live slot. Each has one place, and starts by itself when its turn has come.

A stream that is paused gives up its slot when others wait: at once if its page is away, otherwise after `PAUSED_SECONDS`.
A webcam that plays gives it up after a time limit, see `ui.visitors.webcam_limit`.
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
from hermes.serving.slots import BUSY, BusyError
from ui.visitors.webcam_limit import WEBCAM_MINUTES, WebcamLimit

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

    @property
    def webcam_since(self) -> float | None:
        """Time at which a webcam stream got the slot that it holds; None if there is none."""

    def end_webcam(self, seconds: float) -> None:
        """End the webcam stream, because others wait and it has reached the limit of this many seconds."""


@dataclass(eq=False)
class _QueuePlace:
    """A place in the queue, or the reservation of a slot by a visitor who starts without waiting.

    Attributes:
        start: Starts the stream; raises BusyError if there is no slot.
        starting: Whether it is being called.
        waits: Whether the visitor waits in the queue.
    """

    start: Callable[[], None]
    starting: bool = field(default=False)
    waits: bool = field(default=True)


class WaitingLine:
    """The queue of one server. Thread-safe."""

    def __init__(
        self,
        engine: SlotProvider,
        clock: Callable[[], float] = time.monotonic,
        webcam_seconds: float = 60.0 * WEBCAM_MINUTES,
    ) -> None:
        """Create an empty queue.

        Args:
            engine: Provides the slots.
            clock: Returns the time in seconds.
            webcam_seconds: Time for which a webcam keeps its slot while others wait; 0: no limit.
        """
        self.clock = clock
        self._engine = engine
        self._places: dict[Waiter, _QueuePlace] = {}
        self._away: set[Waiter] = set()
        self._known: set[Waiter] = set()  # visitors whose streams may hold slots
        self._webcams: WebcamLimit[Waiter] = WebcamLimit(webcam_seconds, clock)
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
        place = self._reserve(visitor, start)
        if place is None:
            self._news.set()
            return False
        return self._call(visitor, place)

    def _reserve(self, visitor: Waiter, start: Callable[[], None]) -> _QueuePlace | None:
        """Reserve a slot for a visitor who need not wait; otherwise add it to the queue and return None.

        A start in progress is superseded: the new one takes over its reservation.
        """
        with self._lock:
            self._known.add(visitor)
            before = self._places.get(visitor)
            holds = self._engine.is_live(visitor.stream)
            if before is not None and not before.starting and not holds:
                before.start = start
                return None
            others = any(self._places[other].waits for other in self._present())
            direct = holds or before is not None or (not others and self._has_room())
            waits = not direct or (before is not None and before.waits and not holds)
            place = self._places[visitor] = _QueuePlace(start, starting=direct, waits=waits)
        return place if direct else None

    def _call(self, visitor: Waiter, place: _QueuePlace) -> bool:
        """Start a stream for which a slot is reserved, and return whether it was started. Otherwise the visitor waits.

        Raises:
            Exception: What the start raises, except BusyError. The visitor loses its place.
        """
        busy = False
        try:
            place.start()
        except BusyError:
            busy = True
        finally:
            with self._lock:
                place.starting, place.waits = False, True
                if not busy and self._places.get(visitor) is place:
                    del self._places[visitor]
            self._news.set()
        return not busy

    def require_room(self, visitor: Waiter) -> None:
        """Check that a slot is free for what does not wait, and that no visitor waits for it.

        Raises:
            BusyError: All slots are taken, or visitors wait.
        """
        with self._lock:
            self._known.add(visitor)
            others = any(self._places[other].waits for other in self._present() if other is not visitor)
            if others or not self._has_room():
                raise BusyError(BUSY)

    def holds_slot(self, visitor: Waiter) -> bool:
        """Return whether a visitor's stream holds a live slot."""
        return self._engine.is_live(visitor.stream)

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
            waiting = [other for other, place in self._places.items() if place.waits]
        return (waiting.index(visitor) + 1, len(waiting)) if visitor in waiting else None

    def serve(self) -> list[threading.Thread]:
        """Start the streams of the first visitors for whom a slot is free, and end overdue webcams for the others.

        Returns:
            The threads that do so.
        """
        threads = []
        while (chosen := self._next()) is not None:
            thread = threading.Thread(target=self._start, args=chosen, name="start a waiting stream", daemon=True)
            threads.append(thread)
            thread.start()
        for visitor in self._overdue_webcams():
            end = (self._webcams.seconds,)
            thread = threading.Thread(target=visitor.end_webcam, args=end, name="end a webcam", daemon=True)
            threads.append(thread)
            thread.start()
        return threads

    def _overdue_webcams(self) -> list[Waiter]:
        """Return the visitors whose webcam streams end now."""
        with self._lock:
            known = list(self._known)
        webcams = {visitor: since for visitor in known if (since := visitor.webcam_since) is not None}
        with self._lock:
            waiting = sum(
                self._places[visitor].waits and not self._places[visitor].starting for visitor in self._present()
            )
            return self._webcams.overdue(waiting, webcams)

    def webcam_seconds_left(self, visitor: Waiter) -> float | None:
        """Return the seconds until a visitor's webcam stream ends because others wait; None if it does not end soon."""
        with self._lock:
            return self._webcams.seconds_left(visitor)

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
            try:
                visitor.yield_slot(math.inf if away else self.clock())
            except Exception:
                logger.exception("A paused stream could not give up its slot")
        with self._lock:
            room = self._has_room()
            for visitor in self._present():
                place = self._places[visitor]
                if not place.starting and (room or self._engine.is_live(visitor.stream)):
                    place.starting = True
                    return visitor, place
        return None

    def _has_room(self) -> bool:
        """Whether there are more free slots than visitors who are starting."""
        with self._lock:
            starting = [visitor for visitor, place in self._places.items() if place.starting]
            return self._engine.free_slots > sum(not self._engine.is_live(visitor.stream) for visitor in starting)

    def _start(self, visitor: Waiter, place: _QueuePlace) -> None:
        """Start the stream of a visitor whose turn has come. Its page shows an error."""
        try:
            self._call(visitor, place)
        except HermesError as error:
            visitor.notify("error", str(error))
        except Exception:
            logger.exception("A waiting stream could not be started")
            visitor.notify("error", "The stream could not be started because of an internal error. Try again.")

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
