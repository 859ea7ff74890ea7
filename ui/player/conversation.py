"""The conversation of one visitor: questions with their stream time, and streamed answers. Independent of Gradio."""

from __future__ import annotations

import itertools
import logging
import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

from hermes.errors import HermesError

if TYPE_CHECKING:
    from hermes.view import LiveView

logger = logging.getLogger(__name__)

FAILED = "The question could not be answered. Ask again."


class AnsweringStream(Protocol):
    """A stream that answers questions: live, or a recorded run."""

    def view(self) -> LiveView:
        """Return the stream's current state."""

    def ask(self, question: str) -> Iterator[str]:
        """Yield the pieces of an answer."""


@dataclass
class ChatTurn:
    """A question and its answer.

    Attributes:
        id: Number within the conversation, from 1.
        question: The question as typed.
        at: Stream time of the question in seconds; None before the first frame.
        answer: The answer so far; in state "error", the reason why there is no answer.
        state: "writing", "done", "stopped" or "error".
        first_ms: Time to first token, in milliseconds.
        policy: Title of the policy that managed the memory.
    """

    id: int
    question: str
    at: float | None
    answer: str = ""
    state: str = "writing"
    first_ms: float | None = None
    policy: str = ""


class Conversation:
    """The turns of one visitor. Only one answer is written at a time."""

    def __init__(self) -> None:
        self.turns: list[ChatTurn] = []
        self._ids = itertools.count(1)
        self._epoch = uuid4().hex
        self._lock = threading.Lock()

    def message(self, last: int | None = None) -> dict[str, Any]:
        """Return the message for the browser.

        Args:
            last: Number of turns to include; None for all. Two are enough while an answer is written: if the browser
                missed the end of the previous answer, it receives it again.
        """
        with self._lock:
            turns = self.turns[-last:] if last else self.turns[:]
        return {"epoch": self._epoch, "turns": [dict(vars(turn)) for turn in turns]}

    def restore(self, turns: Sequence[ChatTurn]) -> None:
        """Replace the conversation by a saved one."""
        with self._lock:
            self.turns = [replace(turn, id=next(self._ids)) for turn in turns]
            self._epoch = uuid4().hex

    def begin(self, question: str, at: float, policy: str) -> ChatTurn:
        """Add a question and return its turn. The caller writes the answer and the state."""
        turn = ChatTurn(next(self._ids), question, at, policy=policy)
        with self._lock:
            self.turns.append(turn)
        return turn

    def ask(self, stream: AnsweringStream | None, question: str, policy: str) -> Iterator[dict[str, Any]]:
        """Ask a stream and yield a message for the browser after each piece of the answer.

        The turn always ends in state "done", "stopped" or "error" (with the reason). Exceptions do not propagate.

        Args:
            stream: The stream to ask, or None if none was started.
            question: The question.
            policy: Title of the policy that manages the memory.
        """
        clock = stream.view().clock if stream is not None else math.nan
        turn = ChatTurn(next(self._ids), question, None if math.isnan(clock) else clock, policy=policy)
        with self._lock:
            busy = any(other.state == "writing" for other in self.turns)
            self.turns.append(turn)
        if stream is None:
            turn.state, turn.answer = "error", "No frames yet. Press Start, then ask."
        elif busy:
            turn.state, turn.answer = "error", "An answer is still being written. Wait for it, or stop it."
        try:
            yield self.message(2)
            if stream is None or turn.state == "error":
                return
            for piece in stream.ask(question):
                turn.answer += piece
                yield self.message(2)
            turn.first_ms = stream.view().first_token_ms
            if turn.state == "writing":
                turn.state = "done"
        except HermesError as error:
            turn.state, turn.answer = "error", str(error)
        except Exception:
            logger.exception("an answer failed")
            turn.state, turn.answer = "error", FAILED
        finally:  # also if the connection was lost and the generator is closed
            if turn.state == "writing":
                turn.state = "stopped"
        yield self.message(2)

    def halt(self) -> None:
        """Mark the current answer as stopped. Its text so far is kept."""
        with self._lock:
            for turn in self.turns:
                if turn.state == "writing":
                    turn.state = "stopped"
