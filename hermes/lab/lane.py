"""One policy of a comparison: its memory, and its answer to the last question."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from hermes.lab.plan import Cell
from hermes.session.stream_session import StreamSession
from hermes.snapshot import Snapshot


@dataclass
class Lane:
    """One policy with its memory and its answer to the last question.

    Attributes:
        cell: The policy and its budget.
        session: Its session.
        snapshot: Its memory after the last step; None before the first.
        question: The last question.
        answer: The answer so far.
        state: "idle", "waiting" for its turn, "writing", "done", "refused" (`answer` is the error message) or "failed"
            (`error` is the error message; no more frames are pushed).
        first_token_ms: Time to first token of the answer in milliseconds.
        error: Error message if the memory failed.
        pieces: The rest of the answer in state "writing".
        warm: Whether the question was prefilled without timing.
    """

    cell: Cell
    session: StreamSession
    snapshot: Snapshot | None = None
    question: str = ""
    answer: str = ""
    state: str = "idle"
    first_token_ms: float | None = None
    error: str | None = None
    pieces: Iterator[str] | None = field(default=None, repr=False)
    warm: bool = False

    @property
    def alive(self) -> bool:
        """Whether the memory still receives frames and questions."""
        return self.error is None

    def warm_up(self) -> None:
        """Prefill the question without timing it, and without a trace in the session."""
        self.warm = True
        pieces = self.session.ask(self.question, max_new_tokens=1, record=False)
        for _ in pieces:
            pass

    def refuse(self, sentence: str) -> None:
        """End the answer with an error message."""
        self.pieces, self.answer, self.state = None, sentence, "refused"

    def publish(self) -> None:
        """Take a snapshot of the memory."""
        self.snapshot = self.session.snapshot()
