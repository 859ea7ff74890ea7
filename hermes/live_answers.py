"""An answer on its way from the worker, which decodes it token by token, to the thread that asked."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator

from hermes.errors import HermesError
from hermes.session import QuestionError


class _InProgress:
    def __init__(self, pieces: Iterator[str]) -> None:
        self.pieces = pieces
        self.outbox: queue.SimpleQueue[str | HermesError | None] = queue.SimpleQueue()
        self.stopped = False


class Answers:
    """The answers of one stream, one at a time."""

    def __init__(self, wake: Callable[[], None]) -> None:
        """Begin without one; `wake` is called when there is something to decode."""
        self._wake = wake
        self._now: _InProgress | None = None

    @property
    def busy(self) -> bool:
        """Whether an answer is in progress."""
        return self._now is not None

    def begin(self, ask: Callable[[], Iterator[str]]) -> Iterator[str]:
        """Begin an answer, of which `ask` makes the pieces.

        Returns:
            Its pieces as they are decoded; the calling thread waits between them.

        Raises:
            QuestionError: Another answer is in progress, or `ask` refuses.
        """
        if self._now is not None:
            raise QuestionError("The last question is still being answered: wait for it, or stop it.")
        self._now = answer = _InProgress(ask())
        self._wake()
        return self._pieces(answer)

    def _pieces(self, answer: _InProgress) -> Iterator[str]:
        try:
            while (piece := answer.outbox.get()) is not None:
                if isinstance(piece, HermesError):
                    raise piece
                yield piece
        finally:
            answer.stopped = True
            self._wake()

    def stop(self) -> None:
        """Stop the answer in progress; what was said so far stays."""
        answer = self._now
        if answer is not None:
            answer.stopped = True
            self._wake()

    def decode(self) -> bool:
        """Decode a token of the answer in progress; False when it is over."""
        answer = self._now
        if answer is None:
            return False
        piece = None if answer.stopped else next(answer.pieces, None)
        if piece is not None:
            answer.outbox.put(piece)
        return piece is not None

    def fail(self, error: HermesError) -> None:
        """End the answer in progress with an error, which who waits for it is told."""
        answer, self._now = self._now, None
        if answer is not None:
            answer.pieces.close()  # type: ignore[attr-defined]
            answer.outbox.put(error)

    def finish(self, before: Callable[[], None]) -> None:
        """End the answer in progress; `before` is called before its end is told to who waits for it."""
        answer, self._now = self._now, None
        if answer is not None:
            answer.pieces.close()  # type: ignore[attr-defined]
            before()
            answer.outbox.put(None)
