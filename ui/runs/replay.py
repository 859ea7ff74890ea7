"""Replay of a recorded run, with the interface of a live stream. Does not need a model."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from hermes.analysis.token_history import TokenHistory
from hermes.analysis.words import Word, words_of
from hermes.bundled.captions import caption
from hermes.errors import HermesError
from hermes.serving.local_reader import LocalReader
from hermes.snapshot import AnswerTrace
from hermes.trace import Run, RunTurn
from hermes.trace.head import is_right
from hermes.view import LiveView
from ui.runs.replay_clock import ReplayClock
from ui.runs.runs import label, settings_line

NO_MODEL = "This is a recording. Run it live to ask your own questions."


class Replay(ReplayClock):
    """A run on a clock. Thread-safe.

    Attributes:
        run: The recorded run.
        words: For each question the words of its answer; empty if the run does not contain their attention.
    """

    def __init__(
        self, run: Run, seconds: float = 0.0, speed: float = 1.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Start paused at a stream time. `speed` is in seconds of stream time per second."""
        super().__init__(run.seconds, seconds, speed, clock)
        self.run = run
        self._traces = _traces_of(run)
        self.words = [words_of(trace) if trace is not None else () for trace in self._traces]
        self._caption: tuple[float, str] = (math.nan, "")

    @property
    def caption(self) -> str:
        """What the memory shows at the current moment, see `hermes.bundled.captions`; the run's own text if unknown."""
        clock = self.run.view(self.position).clock
        known, text = self._caption
        if clock != known:
            text = caption(self.run, clock) or self.run.head.look
            self._caption = (clock, text)
        return text

    # Interface of a live stream ----------------------------------------------------------------------------------------

    def view(self) -> LiveView:
        """Return the recorded state at the current stream time."""
        recorded = self.run.view(self.position)
        return replace(
            recorded, state=self.state, source=self.run.title, duration=self.run.seconds, behind=0.0, answering=False,
            error=None,
        )  # fmt: skip

    def status(self) -> LiveView:
        """Return the recorded state without memory and picture."""
        return replace(self.view(), snapshot=None, frame_jpeg=None)

    def attach(self, make: Callable[[], Any]) -> LocalReader:
        """Create a reader, see `hermes.serving.interface.StreamReader`."""
        return LocalReader(self, make())

    def thumbnails(self, frames: Sequence[int]) -> dict[int, bytes]:
        """Return JPEG thumbnails by frame number; frames without one are omitted."""
        return self.run.thumbnails(frames)

    def token_history(self, frame: int) -> TokenHistory:
        """Return the token history of a frame up to the current position."""
        return self.run.token_history(frame, self.position)

    def turns(self) -> list[tuple[int, RunTurn, bool]]:
        """Return the questions up to now: index, turn, and whether the answer is complete."""
        now = self.position
        return [(i, turn, turn.done <= now) for i, turn in enumerate(self.run.chat) if turn.at <= now]

    def trace(self, turn: Any) -> AnswerTrace | None:
        """Return the attention of the answer of a turn, by its number; None if there is none up to now."""
        asked = [i for i, _, done in self.turns() if done]
        return self._traces[turn] if type(turn) is int and turn in asked else None

    def ask(self, question: str) -> Iterator[str]:  # noqa: ARG002 - interface of a live stream
        """Raise HermesError: a recorded run has no model."""
        raise HermesError(NO_MODEL)

    def change(self, settings: Any, sampler: Any = None) -> list[str]:  # noqa: ARG002 - interface of a live stream
        """Return a message: the settings of a recorded run cannot change."""
        return ["Recordings cannot be changed. The new settings apply to the next live stream."]

    def stop_answer(self) -> None:
        """Do nothing: recorded answers are complete."""

    def close(self) -> None:
        """Do nothing: the run is shared."""


def state(replay: Replay, *, bundled: bool, startable: str) -> dict[str, Any]:
    """Return the player state that is specific to a recorded run. It overrides the state of a stream.

    Args:
        replay: The replay.
        bundled: Whether the run is bundled, so that a link can open it.
        startable: Id of the bundled clip that can be started live; "" if there is none.
    """
    run = replay.run
    head = run.head
    return {
        "speed": replay.speed,
        "position": round(replay.position, 2),
        "chips": [],
        "about": {
            "model": {
                "name": str(head.model.get("title") or ""),
                "about": str(head.model.get("about") or ""),
                "parameters": head.model.get("parameters"),
                "device": str(head.model.get("device") or ""),
            },
            "progress": "",
            "error": None,
            "policy": {name: head.policy.get(name, "") for name in ("name", "title", "badge", "about")},
        },
        "run": {
            "id": run.id if bundled else "",
            "title": run.title,
            "about": run.about,
            "look": replay.caption,
            "label": label(run),
            "settings": settings_line(run),
            "seconds": run.seconds,
            "clip": startable,
            "epoch": f"run-{replay.jumps}",
            "turns": [_turn(i, turn, replay.words[i], done=done) for i, turn, done in replay.turns()],
            "stops": [{"at": turn.at, "text": turn.question} for turn in run.chat],
            "refusal": NO_MODEL,
        },
    }


def _traces_of(run: Run) -> list[AnswerTrace | None]:
    """Return for each turn the recorded answer, if it contains the attention of its tokens."""
    found: dict[tuple[str, str], list[AnswerTrace]] = {}
    for trace in run.answers:
        if trace.attention_by_token.size:
            found.setdefault((trace.question.strip(), trace.answer), []).append(trace)
    return [
        min(
            found.get((turn.question.strip(), turn.answer.strip()), ()),
            key=lambda trace, at=turn.at: abs(trace.asked_seconds - at),
            default=None,
        )
        for turn in run.chat
    ]


def _turn(number: int, turn: RunTurn, words: Sequence[Word], *, done: bool) -> dict[str, Any]:
    return {
        "id": number,
        "question": turn.question,
        "at": turn.at,
        "answer": turn.answer if done else "",
        "state": turn.state if done else "writing",
        "first_ms": turn.first_ms if done else None,
        "policy": turn.policy,
        "words": [(word.text, word.first, word.stop) for word in words] if done else [],
        "truth": turn.truth if done else None,
        "right": is_right(turn) if done and turn.truth is not None else None,
    }
