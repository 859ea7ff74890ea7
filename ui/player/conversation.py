"""The conversation of one visitor: questions with their stream time, and streamed answers. Independent of Gradio.

Questions asked while an answer is written wait in a queue. The generator that writes the current answer also writes those of
the waiting questions, so a visitor occupies one place of the server.
"""

from __future__ import annotations

import itertools
import logging
import math
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Protocol
from uuid import uuid4

from hermes.analysis.words import words_of
from hermes.errors import HermesError

if TYPE_CHECKING:
    from hermes.snapshot import AnswerTrace
    from hermes.view import LiveView

logger = logging.getLogger(__name__)

FAILED: Final = "The question could not be answered. Ask again."
MAX_WAITING: Final = 8
"""Maximum number of waiting questions of a visitor."""
STORED_CHARACTERS: Final = 8_000
"""Characters of a question that are stored. A stream refuses longer ones."""
ANSWERS_WITH_WORDS: Final = 6
"""Number of answers whose attention, word by word, is stored for a visitor."""
WORDS_BYTES: Final = 2**26
"""Upper bound of this attention in bytes. The newest answer is always stored."""
MAX_TURNS: Final = 1000
"""Maximum number of turns of a visitor; the oldest are dropped."""
OPEN: Final = ("waiting", "writing")
"""States of a question without a complete answer."""


class AnsweringStream(Protocol):
    """A stream that answers questions: live, or a recorded run."""

    def status(self) -> LiveView:
        """Return the stream's current state without its memory."""

    def view(self) -> LiveView:
        """Return the stream's current state."""

    def ask(self, question: str) -> Iterator[str]:
        """Yield the pieces of an answer."""


@dataclass
class ChatTurn:
    """A question and its answer.

    Attributes:
        id: Number within the conversation, from 1.
        question: The question as typed, at most `STORED_CHARACTERS`.
        at: Stream time of the question in seconds; None before the first frame.
        answer: The answer so far; in state "error", the reason why there is no answer.
        state: "waiting", "writing", "done", "stopped", "cancelled" or "error".
        first_ms: Time to first token, in milliseconds.
        policy: Title of the policy that managed the memory.
        stream: Number of the stream that was asked, see `Conversation.begin_stream`.
        note: A remark on the answer; may be empty.
        words: Parts of the answer: text, first token and end of its tokens (see `hermes.analysis.words`). Empty if the
            attention of the words is not stored.
    """

    id: int
    question: str
    at: float | None
    answer: str = ""
    state: str = "writing"
    first_ms: float | None = None
    policy: str = ""
    stream: int = 0
    note: str = ""
    words: tuple[tuple[str, int, int], ...] = ()


@dataclass(frozen=True)
class _Question:
    """A question that waits for its answer, with the stream to ask."""

    turn: ChatTurn
    stream: AnsweringStream
    text: str


class Conversation:
    """The turns of one visitor. One answer is written at a time. Thread-safe."""

    def __init__(self) -> None:
        self.turns: list[ChatTurn] = []
        self._ids = itertools.count(1)
        self._numbers = itertools.count(1)
        self._id = uuid4().hex
        self._epoch = uuid4().hex
        self._lock = threading.RLock()
        self._queue: list[_Question] = []
        self._writer: object | None = None  # identifies the generator that writes the answers
        self._stream = 0
        self._labels: dict[int, str] = {}
        self._traces: dict[int, AnswerTrace] = {}

    # Messages ---------------------------------------------------------------------------------------------------------

    def message(self, last: int | None = None) -> dict[str, Any]:
        """Return the message for the browser.

        Args:
            last: Number of turns to include; None for all. Two are enough while an answer is written: if the browser
                missed the end of the previous answer, it receives it again. Open questions are always included.
        """
        with self._lock:
            first = min((i for i, turn in enumerate(self.turns) if turn.state in OPEN), default=len(self.turns))
            start = 0 if last is None else max(0, min(len(self.turns) - last, first - 1))
            turns = [dict(vars(turn)) for turn in self.turns[start:]]
            return {
                "of": self._id,
                "n": next(self._numbers),
                **self.place(),
                "watched": sorted(self._traces),
                "turns": turns,
            }

    def place(self) -> dict[str, Any]:
        """Return the epoch of the conversation, the number of the current stream, and the labels of the streams."""
        with self._lock:
            labels = [[number, self._labels[number]] for number in sorted(self._labels)]
            return {"epoch": self._epoch, "stream": self._stream, "labels": labels}

    # Changes ----------------------------------------------------------------------------------------------------------

    def restore(self, turns: Sequence[ChatTurn]) -> None:
        """Replace the conversation by a saved one, of the current stream."""
        with self._lock:
            self._drop()
            self.turns = [replace(turn, id=next(self._ids), stream=self._stream) for turn in turns]

    def clear(self) -> None:
        """Remove all turns, and stop the current answer. The memory of the stream does not change."""
        with self._lock:
            self.halt()
            self._drop()
            self.turns = []

    def _drop(self) -> None:
        self._queue.clear()
        self._traces.clear()
        self._labels = {self._stream: self._labels[self._stream]} if self._stream in self._labels else {}
        self._epoch = uuid4().hex

    def begin_stream(self, label: str) -> None:
        """Note that questions now refer to another memory. Open questions of the previous one end without an answer.

        Args:
            label: What begins, for the divider in the chat.
        """
        with self._lock:
            self.end_stream()
            self._stream += 1
            used = {turn.stream for turn in self.turns}
            self._labels = {number: text for number, text in self._labels.items() if number in used}
            self._labels[self._stream] = label

    def end_stream(self) -> None:
        """Note that the memory is gone: open questions end without an answer, and the attention of words is dropped."""
        with self._lock:
            self.halt()
            self._traces.clear()

    def begin(self, question: str, at: float, policy: str) -> ChatTurn:
        """Add a question and return its turn. The caller writes the answer and the state."""
        with self._lock:
            turn = ChatTurn(next(self._ids), question[:STORED_CHARACTERS], at, policy=policy, stream=self._stream)
            self._add(turn)
        return turn

    def _add(self, turn: ChatTurn) -> None:
        """Add a turn; the lock is held. The oldest turns beyond `MAX_TURNS` are dropped, except open ones."""
        self.turns.append(turn)
        surplus = len(self.turns) - MAX_TURNS
        if surplus > 0:
            dropped = {old.id for old in [other for other in self.turns if other.state not in OPEN][:surplus]}
            self.turns = [other for other in self.turns if other.id not in dropped]
            for number in dropped:
                self._traces.pop(number, None)

    def keep_words(self, turn: ChatTurn, trace: AnswerTrace | None) -> None:
        """Store the attention of the words of a turn's answer, if `trace` is that of the turn. Old answers are dropped."""
        if trace is None or not trace.attention_by_token.size or trace.answer != turn.answer.strip():
            return
        words = tuple((word.text, word.first, word.stop) for word in words_of(trace))
        with self._lock:
            if turn.stream != self._stream or turn not in self.turns:
                return
            turn.words = words
            self._traces[turn.id] = trace
            while len(self._traces) > 1 and (
                len(self._traces) > ANSWERS_WITH_WORDS
                or sum(kept.attention_by_token.nbytes for kept in self._traces.values()) > WORDS_BYTES
            ):
                self._traces.pop(min(self._traces))

    def turn(self, number: int) -> dict[str, Any]:
        """Return a turn by its number; empty if it was removed."""
        with self._lock:
            return next((dict(vars(turn)) for turn in self.turns if turn.id == number), {})

    def trace(self, turn: Any) -> AnswerTrace | None:
        """Return the attention of the answer of a turn, by its number; None if it is not stored."""
        with self._lock:
            return self._traces.get(turn) if isinstance(turn, int) else None

    # Questions --------------------------------------------------------------------------------------------------------

    def ask(
        self, stream: AnsweringStream | None, question: str, policy: str, note: str = "", *, wait: bool = True
    ) -> Iterator[dict[str, Any]]:
        """Ask a stream and yield a message for the browser after each piece of an answer.

        If an answer is being written, the question waits, and the generator of that answer writes this one, too. Each turn
        ends in state "done", "stopped", "cancelled" or "error" (with the reason). Exceptions do not propagate.

        Args:
            stream: The stream to ask, or None if none was started.
            question: The question.
            policy: Title of the policy that manages the memory.
            note: Remark on the answer.
            wait: Whether the question may wait; otherwise it is refused while an answer is written.

        Yields:
            The message, with the number of the turn as `asked`.
        """
        with self._lock:
            shown = question[:STORED_CHARACTERS]
            turn = ChatTurn(next(self._ids), shown, None, "", "waiting", None, policy, self._stream, note)
            self._add(turn)
            waiting = [queued.turn for queued in self._queue]
            if stream is None:
                turn.state, turn.answer = "error", "No frames yet. Press Start, then ask."
            elif self._writer is not None and not wait:
                turn.state, turn.answer = "error", "An answer is still being written. Wait for it, or stop it."
            elif len(waiting) >= MAX_WAITING:
                turn.state = "error"
                turn.answer = f"{MAX_WAITING} questions are waiting already. Wait for an answer, or cancel a question."
            else:
                self._queue.append(_Question(turn, stream, question))
            me = object()
            if turn.state == "waiting" and self._writer is None:
                self._writer = me
        if self._writer is not me:
            yield self.message(2) | {"asked": turn.id}
            return
        try:
            while (queued := self._next(me)) is not None:
                with closing(self._answer(queued)) as messages:  # before the next question may be asked
                    for message in messages:
                        yield message | {"asked": turn.id}
        finally:  # also if the connection was lost and the generator is closed
            with self._lock:
                if self._writer is me:
                    self._writer = None
                    self._cancel_waiting()

    def _next(self, writer: object) -> _Question | None:
        """Take the next question; None if there is none: then `writer` no longer writes answers."""
        with self._lock:
            if not self._queue:
                if self._writer is writer:
                    self._writer = None
                return None
            queued = self._queue.pop(0)
            clock = queued.stream.status().clock
            queued.turn.at = None if math.isnan(clock) else clock
            queued.turn.state = "writing"
            return queued

    def _answer(self, queued: _Question) -> Generator[dict[str, Any], None, None]:
        turn, stream = queued.turn, queued.stream
        try:
            yield self.message(2)
            for piece in stream.ask(queued.text) if turn.state == "writing" else ():  # it may be stopped already
                turn.answer += piece
                yield self.message(2)
            view = stream.view()
            if turn.answer:
                turn.first_ms = view.first_token_ms
                self.keep_words(turn, view.snapshot.answer if view.snapshot is not None else None)
            if turn.state == "writing":
                turn.state = "done"
        except HermesError as error:
            turn.state, turn.answer = "error", str(error)
        except Exception:
            logger.exception("an answer failed")
            turn.state, turn.answer = "error", FAILED
        finally:
            if turn.state == "writing":
                turn.state = "stopped"
        yield self.message(2)

    def cancel(self, turn: Any) -> None:
        """Cancel a waiting question, by its number. Other questions are not affected."""
        with self._lock:
            for queued in [queued for queued in self._queue if queued.turn.id == turn]:
                queued.turn.state = "cancelled"
                self._queue.remove(queued)

    def halt(self) -> None:
        """Mark the current answer as stopped, and cancel the waiting questions. The text so far is kept."""
        with self._lock:
            self._cancel_waiting()
            for turn in self.turns:
                if turn.state == "writing":
                    turn.state = "stopped"

    def stop_current(self) -> None:
        """Mark the current answer as stopped. Waiting questions are answered next."""
        with self._lock:
            for turn in self.turns:
                if turn.state == "writing":
                    turn.state = "stopped"

    def _cancel_waiting(self) -> None:
        for queued in self._queue:
            queued.turn.state = "cancelled"
        self._queue.clear()
