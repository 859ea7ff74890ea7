"""The live slot of one visitor: runs what needs a slot now or when its turn in the queue has come."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ui.visitors.waiting_line import PAUSED_SECONDS, Waiter, WaitingLine

if TYPE_CHECKING:
    from hermes.serving.interface import StreamControl
    from ui.lab.lab import Lab

Start = Callable[[Callable[[], bool]], bool]
"""An action that needs a live slot. It receives a function that returns whether it is still wanted, and returns whether it
was done. It may prepare for long, then must check again; it raises BusyError if there is no slot."""


class PauseTimer:
    """Measures how long something has been paused.

    Attributes:
        since: Time at which it was paused; None if unknown. It then counts as paused from the next check.
    """

    def __init__(self) -> None:
        self.since: float | None = None

    def is_over(self, state: str, now: float) -> bool:
        """Return whether something in a state has been paused for `PAUSED_SECONDS` at time `now`."""
        if state != "paused":
            self.since = None
            return False
        if self.since is None:
            self.since = now if math.isfinite(now) else 0.0
        return now - self.since >= PAUSED_SECONDS


class LiveSlot:
    """What a visitor does with the queue. Without a queue, everything runs immediately.

    Attributes:
        webcam_since: Time at which a webcam first played in the slot that the visitor holds; None if none has.
        webcam_ended: Whether the visitor's last stream was a webcam that ended because others waited.
    """

    def __init__(self, visitor: Waiter, line: WaitingLine | None) -> None:
        """Serve `visitor`, who has no place in the queue yet."""
        self._visitor = visitor
        self._line = line
        self._request = object()  # the last request; earlier ones are dropped
        self._closed = False
        self._pause = PauseTimer()
        self._lab_pause = PauseTimer()
        self.webcam_since: float | None = None
        self.webcam_ended = False

    def run(self, start: Start, began: Callable[[], None]) -> None:
        """Run an action that needs a live slot now, or when the visitor's turn has come. A later request replaces it.

        Args:
            start: The action.
            began: Called after an action that has waited.

        Raises:
            HermesError: The action failed. Without a queue, also if all slots are taken.
        """
        request = self._request = object()

        def is_wanted() -> bool:
            return self._request is request and not self._closed

        def start_if_wanted() -> None:
            waited = self.place is not None
            if not self._holds_slot:
                self.webcam_since = None
            if is_wanted() and start(is_wanted):
                self._pause.since, self.webcam_ended = None, False
                if waited:
                    began()

        if self._line is None:
            start_if_wanted()
            return
        self._line.run(self._visitor, start_if_wanted)
        if self._closed:  # meanwhile
            self._line.forget(self._visitor)

    def drop_start(self) -> None:
        """Drop an action that is in progress and has not waited, because the visitor chose something else.

        A visitor who waits in the queue keeps its place.
        """
        if self.place is None:
            self._request = object()

    @property
    def place(self) -> dict[str, int] | None:
        """Place in the queue, from 1, and its length, as `place` and `of`; None if the visitor does not wait."""
        found = self._line.position(self._visitor) if self._line is not None else None
        return {"place": found[0], "of": found[1]} if found else None

    def leave_queue(self) -> None:
        """Give up the place in the queue."""
        self._request = object()
        if self._line is not None:
            self._line.leave(self._visitor)

    def note_pause(self, *, paused: bool = True) -> None:
        """Record that the stream is paused now, or plays."""
        self._pause.since = self._line.clock() if self._line is not None and paused else None

    def yield_if_paused(self, stream: StreamControl, now: float) -> None:
        """Give up the slot of a stream that has been paused for `PAUSED_SECONDS` at time `now`."""
        if self._pause.is_over(stream.status().state, now):
            stream.yield_slot()

    def yield_lab(self, lab: Lab, now: float) -> None:
        """Give up the slot of a comparison that has been paused for `PAUSED_SECONDS` at time `now`."""
        if self._lab_pause.is_over(lab.state, now):
            lab.yield_slot()

    def require_room(self) -> None:
        """Check that a comparison may take a slot: it does not queue, but must not overtake those who do.

        Raises:
            BusyError: All slots are taken, or others wait.
        """
        if self._line is not None:
            self._line.require_room(self._visitor)

    @property
    def _holds_slot(self) -> bool:
        return self._line is not None and self._line.holds_slot(self._visitor)

    def note_webcam(self) -> None:
        """Record that a webcam plays. Restarting it, or playing a clip in between, does not extend its time."""
        if self._line is not None and self.webcam_since is None:
            self.webcam_since = self._line.clock()

    @property
    def webcam_ends_in(self) -> int | None:
        """Seconds until the webcam stream ends because others wait; None if it does not end soon."""
        left = self._line.webcam_seconds_left(self._visitor) if self._line is not None else None
        return None if left is None else math.ceil(left)

    def set_away(self, *, away: bool) -> None:
        """Set whether the page is away or shows a guest. Meanwhile others may take the slot, and go first in the queue."""
        if self._line is not None:
            self._line.set_away(self._visitor, away=away)

    def close(self) -> None:
        """Leave the queue for good, and drop the action in progress."""
        self._closed = True
        if self._line is not None:
            self._line.forget(self._visitor)


def live_stream(stream: Any) -> StreamControl | None:
    """Return a visitor's stream unless it is a recorded run, a run in clip mode, or its memory was freed; else None."""
    live: StreamControl | None = stream if hasattr(stream, "yield_slot") and not stream.freed else None
    return live
