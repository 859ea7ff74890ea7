"""Passes answers from the worker, which starts and decodes them, to the thread that asked.

The worker runs the model, including retrieval. A consumer always sees the end of an answer: it waits for flags that are set
without allocating memory, and checks them at least once per second in case a notification is lost.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator

from hermes.errors import HermesError
from hermes.out_of_memory import ANSWER_FAILED, attempt
from hermes.session.questions import QuestionError

POLL_SECONDS = 1.0
"""Maximum delay in seconds until a consumer notices an end whose notification was lost."""
ABANDONED_SECONDS = 30.0
"""Longest time in seconds that a question waits for the end of an answer whose consumer has left."""


class _InProgress:
    def __init__(self, start: Callable[[], Iterator[str]]) -> None:
        self.start = start
        self.pieces: Iterator[str] | None = None
        self.queue: deque[str] = deque()
        self.error: HermesError | str | None = None
        self.over = False
        self.stopped = False
        self.abandoned = False  # the consumer has left; the worker ends the answer at its next step
        self.changed = threading.Condition()

    def put(self, piece: str) -> None:
        with self.changed:
            self.queue.append(piece)
            self.changed.notify_all()

    def end(self, error: HermesError | str | None = None) -> None:
        """Signal the end. The flags are set first: they need no memory, the notification might."""
        if not self.over:
            self.error, self.over = error, True
        attempt(self._notify)

    def _notify(self) -> None:
        with self.changed:
            self.changed.notify_all()

    def wait(self, seconds: float) -> bool:
        """Wait for the end, at most `seconds`; returns whether it has come."""
        with self.changed:
            return self.changed.wait_for(lambda: self.over, seconds)

    def close(self) -> None:
        """Free the branch of the memory and disable `start`."""
        pieces, self.pieces = self.pieces, None
        self.start = _empty
        if pieces is not None and hasattr(pieces, "close"):
            pieces.close()


def _empty() -> Iterator[str]:
    return iter(())


class Answers:
    """The answers of one stream, one at a time.

    `begin`, `stop` and `abandon` are thread-safe; `decode`, `fail` and `finish` require the stream's lock.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        """Start without an answer.

        Args:
            wake: Called when there is work.
        """
        self._wake = wake
        self._now: _InProgress | None = None
        self._lock = threading.Lock()  # guards `_now`
        self._closed = False

    @property
    def busy(self) -> bool:
        """Whether an answer is in progress."""
        return self._now is not None

    def begin(self, start: Callable[[], Iterator[str]]) -> Iterator[str]:
        """Queue an answer. All work is done by the worker, not by the calling thread.

        If the consumer of the last answer has left, this waits until the worker has ended that answer.

        Args:
            start: Called by the worker; returns an iterator over the pieces of the answer.

        Returns:
            Blocking iterator over the pieces. It raises HermesError if the answer fails.

        Raises:
            QuestionError: Another answer is in progress, or the stream was closed.
        """
        answer = _InProgress(start)
        while not self._take_turn(answer):
            pass
        self._wake()
        return self._pieces(answer)

    def _take_turn(self, answer: _InProgress) -> bool:
        with self._lock:
            if self._closed:
                raise QuestionError("This stream was closed.")
            last = self._now
            if last is None:
                self._now = answer
                return True
        if last.abandoned and last.wait(ABANDONED_SECONDS):
            return False
        raise QuestionError("The last question is still being answered: wait for the answer, or stop it.")

    def _pieces(self, answer: _InProgress) -> Iterator[str]:
        try:
            while True:
                with answer.changed:
                    while not answer.queue and not answer.over:
                        answer.changed.wait(POLL_SECONDS)
                    piece = answer.queue.popleft() if answer.queue else None
                if piece is None:
                    break
                yield piece
            error = answer.error
            if error is not None:
                raise error if isinstance(error, HermesError) else HermesError(error)
        finally:
            answer.stopped = answer.abandoned = True
            self._wake()

    def stop(self) -> None:
        """Stop the answer in progress and keep its text so far."""
        answer = self._now
        if answer is not None:
            answer.stopped = True
            self._wake()

    def decode(self) -> bool:
        """Run one step of the answer in progress: start it (including retrieval), or decode a token.

        Returns:
            False if the answer is over.
        """
        answer = self._now
        if answer is None or answer.stopped:
            return False
        if answer.pieces is None:
            answer.pieces = answer.start()
            return True
        piece = next(answer.pieces, None)
        if piece is not None:
            answer.put(piece)
        return piece is not None

    def fail(self, error: HermesError | str) -> None:
        """Fail the answer in progress; its consumer receives the error. Never raises."""
        answer = self._now
        if answer is not None:
            attempt(answer.close)
            self._now = None
            answer.end(error)

    def finish(self, before: Callable[[], None]) -> None:
        """End the answer in progress: close it, call `before`, then signal the end.

        If one of these steps raises, the answer fails and the exception propagates.
        """
        answer = self._now
        if answer is None:
            return
        try:
            answer.close()
            before()
        except BaseException:
            self._now = None
            answer.end(ANSWER_FAILED)
            raise
        self._now = None
        answer.end()

    def abandon(self) -> None:
        """Refuse new answers and signal the end of the one in progress, without waiting for the worker. Never raises."""
        self._closed = True
        answer = self._now
        if answer is not None:
            answer.stopped = True
            answer.end()
