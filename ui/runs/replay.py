"""A recorded run that plays: its clock, and the run at the clock's time, read like a live stream. Needs no model."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from hermes.analysis.token_history import TokenHistory
from hermes.errors import HermesError
from hermes.trace import Run, RunTurn
from hermes.trace.head import is_right
from hermes.view import LiveView
from ui.runs.replay_clock import ReplayClock
from ui.runs.runs import label, settings_line

NO_MODEL = "This is a recording. Run it live to ask your own questions."


class Replay(ReplayClock):
    """A run on a clock. Any thread may call any method; `run` is the run."""

    def __init__(
        self, run: Run, seconds: float = 0.0, speed: float = 1.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin paused at a stream time, at a speed in seconds of stream a second."""
        super().__init__(run.seconds, seconds, speed, clock)
        self.run = run

    # Read like a live stream ----------------------------------------------------------------------------------------

    def view(self) -> LiveView:
        """The run at this moment."""
        recorded = self.run.view(self.position)
        return replace(
            recorded, state=self.state, source=self.run.title, duration=self.run.seconds, behind=0.0, answering=False,
            error=None,
        )  # fmt: skip

    def thumbnails(self, frames: Sequence[int]) -> dict[int, bytes]:
        """JPEG thumbnails of frames by number; those not kept are left out."""
        return self.run.thumbnails(frames)

    def token_history(self, frame: int) -> TokenHistory:
        """Return the token history of a frame up to the current position."""
        return self.run.token_history(frame, self.position)

    def turns(self) -> list[tuple[int, RunTurn, bool]]:
        """Questions asked up to now: their number, what became of them, and whether the answer is there yet."""
        now = self.position
        return [(i, turn, turn.done <= now) for i, turn in enumerate(self.run.chat) if turn.at <= now]

    def ask(self, question: str) -> Iterator[str]:  # noqa: ARG002 - as a live stream's
        """Refused: there is no model behind a recorded run."""
        raise HermesError(NO_MODEL)

    def change(self, settings: Any) -> list[str]:  # noqa: ARG002 - as a live stream's
        """A run keeps the settings that it was recorded under."""
        return ["Recordings cannot be changed. The new settings apply to the next live stream."]

    def stop_answer(self) -> None:
        """Answers of a run are not being written."""

    def close(self) -> None:
        """Nothing is held that others do not share."""


def state(replay: Replay, *, bundled: bool, startable: str) -> dict[str, Any]:
    """What the player and the chat show of a run, over what they show of any stream.

    Args:
        replay: The run on its clock.
        bundled: Whether a link can open it.
        startable: Id of the bundled clip that it plays; "": there is none.
    """
    run = replay.run
    head = run.head
    return {
        "speed": replay.speed,
        "position": round(replay.position, 2),
        "chips": [],
        "loading": None,
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
            "look": head.look,
            "label": label(run),
            "settings": settings_line(run),
            "seconds": run.seconds,
            "clip": startable,
            "epoch": f"run-{replay.jumps}",
            "turns": [_turn(i, turn, done=done) for i, turn, done in replay.turns()],
            "stops": [{"at": turn.at, "text": turn.question} for turn in run.chat],
            "refusal": NO_MODEL,
        },
    }


def _turn(number: int, turn: RunTurn, *, done: bool) -> dict[str, Any]:
    return {
        "id": number,
        "question": turn.question,
        "at": turn.at,
        "answer": turn.answer if done else "",
        "state": turn.state if done else "writing",
        "first_ms": turn.first_ms if done else None,
        "policy": turn.policy,
        "truth": turn.truth if done else None,
        "right": is_right(turn) if done and turn.truth is not None else None,
    }
