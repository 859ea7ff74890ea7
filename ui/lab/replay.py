"""Playback of a recorded lab run, with the same payloads as a live run. Needs no model."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from hermes.bundled.captions import lab_caption
from hermes.trace import LabRun, Run, RunTurn, TraceError
from hermes.trace.head import is_right
from hermes.view import LiveView
from ui.board.evidence import judge_of
from ui.lab.lanes import LabQuestion, LaneState, Reply, lanes_payload
from ui.runs.replay_clock import ReplayClock
from ui.runs.runs import SPEEDS, lab_label, usual_speed
from ui.untrusted import finite

NO_MODEL = "This is a recording. Run it live to ask your own questions."


LONGEST_CLIP = 1e6
"""Maximum plausible clip length in seconds. A file with a longer one is treated as having no known length."""


@contextmanager
def _fitting(run: LabRun) -> Iterator[None]:
    """Convert errors caused by an inconsistent file to TraceError: run files are untrusted, even if each part is valid."""
    try:
        yield
    except (ValueError, IndexError, KeyError, TypeError, OverflowError) as error:
        raise TraceError(f"{run.path.name} is damaged: its memory and its questions do not match.") from error


class LabReplay(ReplayClock):
    """Plays a lab run, which is available as `run`. Thread-safe."""

    def __init__(self, run: LabRun, seconds: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        """Start paused at a stream time.

        Raises:
            HermesError: `seconds` is not a valid time, or the run is inconsistent.
        """
        super().__init__(run.seconds, seconds, usual_speed(run.seconds), clock)
        self.run = run
        with _fitting(run):
            self._judge = judge_of(run.head.events, run.events_fps, lambda: run.head.settings.fps)

    def steer(self, action: str, request: Mapping[str, Any]) -> None:
        """Apply an action of the player bar: seek, change the speed, pause, resume or restart; ignore any other.

        Raises:
            HermesError: The requested time is not finite.
        """
        seconds, speed = request.get("seconds"), finite(request.get("speed"), -1)
        if action == "seek" and isinstance(seconds, int | float):
            self.seek(finite(seconds, math.nan))
        elif action == "pace" and speed in SPEEDS:
            self.pace(speed)
        elif action == "pause":
            self.pause()
        elif action == "resume":
            self.resume()
        elif action == "restart":
            self.restart()

    def poll(self, *, bundled: bool, startable: str) -> tuple[dict[str, Any], bytes | None]:
        """Return the lab's payload for the current moment, and the latest stored frame as JPEG.

        Args:
            bundled: Whether the run is bundled, so that a link can open it.
            startable: Id of the run's bundled clip; "" if it cannot be run live here.

        Raises:
            TraceError: The run is damaged.
        """
        with _fitting(self.run):
            payload = self._poll(bundled=bundled, startable=startable)
        kept = (self.run.picture(frame) for frame in range(payload["frames"] - 1, -1, -1))
        return payload, next((jpeg for jpeg in kept if jpeg), None)

    def _poll(self, *, bundled: bool, startable: str) -> dict[str, Any]:
        run, now = self.run, self.position
        views = [lane.view(now) for lane in run.lanes]
        lanes = [_lane(lane, view, now) for lane, view in zip(run.lanes, views, strict=True)]
        return {
            "state": self.state,
            "position": round(now, 2),
            "speed": self.speed,
            "clock": round(max(view.clock for view in views), 2),
            "frames": min((one.frames for one in lanes if one.error is None), default=max(one.frames for one in lanes)),
            "error": None,
            "asked": [one.payload() for one in self._asked(now)],
            **lanes_payload(lanes, _length(views[0].duration), run.head.settings.fps, self._judge),
            "run": self._about(bundled=bundled, startable=startable),
        }

    def _asked(self, now: float) -> list[LabQuestion]:
        """Return the questions answered up to now."""
        return [_asked(turns) for turns in self.run.questions if turns[0].done <= now]

    def _about(self, *, bundled: bool, startable: str) -> dict[str, Any]:
        run = self.run
        return {
            "id": run.id if bundled else "",
            "title": run.title,
            "about": run.head.about,
            "look": lab_caption(run, self.position) or run.head.look,
            "label": lab_label(run),
            "seconds": run.seconds,
            "clip": startable,
            "policies": [str(lane.head.policy["name"]) for lane in run.lanes],
            "budget": run.head.settings.budget,
            "stops": [{"at": turns[0].at, "text": turns[0].question} for turns in run.questions],
        }


def _length(duration: float | None) -> float | None:
    return duration if duration is not None and 0 < duration < LONGEST_CLIP else None


def _asked(turns: tuple[RunTurn, ...]) -> LabQuestion:
    replies = tuple(
        Reply(turn.answer, is_right(turn) if turn.truth is not None else None, turn.first_ms, turn.state == "error")
        for turn in turns
    )
    return LabQuestion(turns[0].question, turns[0].at, turns[0].truth, replies)


def _lane(run: Run, view: LiveView, now: float) -> LaneState:
    turns = [turn for turn in run.chat if turn.done <= now]
    turn = turns[-1] if turns else None
    state = "idle" if turn is None else "refused" if turn.state == "error" else "done"
    budget = view.snapshot.budget if view.snapshot is not None else -1
    return LaneState(
        name=run.head.policy["name"],
        title=run.head.policy["title"] or run.title,
        badge=run.head.policy["badge"],
        budget=budget if budget >= 0 else None,
        state=state if view.error is None else "failed",
        question=turn.question if turn else "",
        answer=turn.answer if turn else "",
        first_ms=tuple(turn.first_ms for turn in turns if turn.state == "done" and turn.first_ms is not None),
        error=view.error,
        snapshot=view.snapshot,
    )
