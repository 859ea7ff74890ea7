"""The conversation of one visitor: questions stamped with stream time, answers as they grow. No Gradio, no browser."""

from __future__ import annotations

import itertools
import logging
import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from hermes.errors import HermesError

if TYPE_CHECKING:
    from hermes.view import LiveView

logger = logging.getLogger(__name__)

FAILED = "The question could not be answered. Ask again."

_IDS = itertools.count(1)


class AnsweringStream(Protocol):
    """A stream that can be asked: live, or a recorded run that replays its answers."""

    def view(self) -> LiveView:
        """Return the stream's current state."""

    def ask(self, question: str) -> Iterator[str]:
        """Yield the pieces of an answer."""


@dataclass
class ChatTurn:
    """A question and what became of it.

    Attributes:
        id: Its number.
        question: What was asked, as it was typed.
        at: Stream time when it was asked, in seconds; None before the first frame.
        answer: What was answered so far; in state "error" the reason why there is no answer.
        state: "writing", "done", "stopped" or "error".
        first_ms: Time to first token, in milliseconds.
        policy: Title of the policy that kept the memory.
    """

    id: int
    question: str
    at: float | None
    answer: str = ""
    state: str = "writing"
    first_ms: float | None = None
    policy: str = ""


class Conversation:
    """The turns of one visitor, one answer at a time."""

    def __init__(self) -> None:
        self.turns: list[ChatTurn] = []
        self._epoch = next(_IDS)
        self._lock = threading.Lock()

    def message(self, last: int | None = None) -> dict[str, Any]:
        """The newest turns for the browser. Two are enough while one is written: a missed end is repeated."""
        with self._lock:
            turns = self.turns[-last:] if last else self.turns[:]
        return {"epoch": self._epoch, "turns": [dict(vars(turn)) for turn in turns]}

    def restore(self, turns: Sequence[ChatTurn]) -> None:
        """Continue a conversation that was saved, in place of this one."""
        with self._lock:
            self.turns = [replace(turn, id=next(_IDS)) for turn in turns]
            self._epoch = next(_IDS)

    def begin(self, question: str, at: float, policy: str) -> ChatTurn:
        """Add a question whose answer comes from elsewhere; whoever adds it writes its answer and state."""
        turn = ChatTurn(next(_IDS), question, at, policy=policy)
        with self._lock:
            self.turns.append(turn)
        return turn

    def ask(self, stream: AnsweringStream | None, question: str, policy: str) -> Iterator[dict[str, Any]]:
        """Ask a stream; yields messages for the browser, the answer longer in each.

        The turn always ends: as "done", "stopped", or "error" with the reason. Exceptions are not passed on.

        Args:
            stream: The stream to ask; None: none was started.
            question: What is asked.
            policy: Title of the policy that keeps the memory.
        """
        clock = stream.view().clock if stream is not None else math.nan
        turn = ChatTurn(next(_IDS), question, None if math.isnan(clock) else clock, policy=policy)
        with self._lock:
            busy = any(other.state == "writing" for other in self.turns)
            self.turns.append(turn)
        if stream is None:
            turn.state, turn.answer = "error", "Nothing has been seen yet. Press Start, then ask."
        elif busy:
            turn.state, turn.answer = "error", "One answer at a time: wait for the last one, or stop it."
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
        finally:  # also when the connection is gone and the generator is closed
            if turn.state == "writing":
                turn.state = "stopped"
        yield self.message(2)

    def halt(self) -> None:
        """The answer that is being written counts as stopped; what was said so far stays."""
        with self._lock:
            for turn in self.turns:
                if turn.state == "writing":
                    turn.state = "stopped"
