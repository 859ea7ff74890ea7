"""The lab of one visitor: two to four memories on the same clip, one question to all. No Gradio, no browser."""

from __future__ import annotations

import base64
import itertools
import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hermes.errors import HermesError
from hermes.fate import Verdict
from ui.clips import Clip
from ui.fate import Judge, judge_of
from ui.models import Shelf

if TYPE_CHECKING:
    from hermes.engine import StreamSettings
    from hermes.lab.side_by_side import Lane, SideBySide, SideView
    from hermes.snapshot import Snapshot

MOST_COLUMNS = 160
"""Columns of the small drawing of what a memory holds; fewer for a clip of fewer frames."""
BUDGETS = (64, 128, 256, 512, 1024)
SPEEDS = {1: 1.0, 4: 4.0, 0: math.inf}
_IDS = itertools.count(1)


def choices(policies: Mapping[str, Any]) -> list[dict[str, str]]:
    """What can be compared: every policy, and the presets of the ablations."""
    from hermes.policies.presets import PRESETS  # noqa: PLC0415 - loads torch, which a page may do without

    listed = [
        {"name": name, "title": str(policy.title), "badge": str(policy.badge)} for name, policy in policies.items()
    ]
    names = {row["name"] for row in listed}
    variants = [preset for preset in PRESETS.values() if preset.name not in names]
    return listed + [{"name": one.name, "title": one.title, "badge": f"variant of {one.policy}"} for one in variants]


def offer(clips: Mapping[str, Clip], policies: Mapping[str, Any]) -> dict[str, Any]:
    """What the page's lab is made with: clips with the questions that suit them, memories, budgets."""
    shown = [
        {"id": clip.id, "title": clip.title, "seconds": clip.seconds, "questions": [text for text, _ in clip.questions]}
        for clip in clips.values()
    ]
    return {"clips": shown, "policies": choices(policies), "budgets": list(BUDGETS)}


@dataclass(frozen=True)
class Asked:
    """A question that was answered by all.

    Attributes:
        question: What was asked.
        at: Stream time, in seconds.
        truth: The true answer; None where nobody knows it.
        replies: Answer of each lane and whether it is right; None where a lane could not answer.
    """

    question: str
    at: float
    truth: str | None
    replies: tuple[tuple[str, bool | None] | None, ...]


class Lab:
    """What one visitor compares. Methods may be called by any thread."""

    def __init__(self, settings: StreamSettings, shelf: Shelf, clips: Mapping[str, Clip]) -> None:
        """Begin without a run; `settings` name the model, the frame rate and the chunk."""
        self._settings = settings
        self._shelf = shelf
        self._clips = clips
        self._lock = threading.RLock()
        self._run: SideBySide | None = None
        self._judge: Judge = judge_of(())
        self._asked: list[Asked] = []
        self._open: str | None = None
        self._notice: dict[str, Any] | None = None
        self._starting = False
        self._closed = False

    # What a person does -------------------------------------------------------------------------------------------

    def do(self, wish: Mapping[str, Any]) -> None:
        """Start, pause, resume, end, or ask; what goes wrong is told with the next look."""
        try:
            action = wish.get("action")
            if action == "start":
                self._start(wish)
            elif action == "ask":
                self._ask(str(wish.get("question") or ""))
            elif action == "end":
                self._end()
            elif self._run is not None and action in ("pause", "resume"):
                getattr(self._run, action)()
        except HermesError as error:
            self._notice = {"id": next(_IDS), "text": str(error)}

    def _start(self, wish: Mapping[str, Any]) -> None:
        from hermes.lab.side_by_side import SideBySide  # noqa: PLC0415 - loads torch, which a page may do without

        clip = self._clips.get(str(wish.get("clip")))
        if clip is None:
            raise HermesError("This clip is not bundled here. Choose another one.")
        budget, speed = wish.get("budget"), wish.get("speed")
        if budget not in BUDGETS or speed not in SPEEDS:
            raise HermesError("Choose a budget and a speed from the lists.")
        listed = wish.get("policies")
        names = [str(name) for name in listed] if isinstance(listed, Sequence) and not isinstance(listed, str) else []
        settings = replace(self._settings, budget=int(budget), speed=SPEEDS[speed], changed=())
        self._starting = True
        try:
            self._shelf.ensure(settings.model)
            run = SideBySide(self._shelf.engine, settings, names)
            with self._lock:
                self._end()
                if self._closed:
                    run.close()
                    return
                self._shelf.engine.enter(run)
                run.play(clip.path, clip.title)
                self._run, self._asked = run, []
                self._judge = judge_of(clip.events, clip.fps, lambda: settings.fps)
        finally:
            self._starting = False

    def _ask(self, question: str) -> None:
        with self._lock:
            if self._run is None:
                raise HermesError("Start a run first, then ask.")
            self._settle(self._run.view())
            self._run.ask(question)
            self._open = question.strip()

    def _end(self) -> None:
        with self._lock:
            run, self._run, self._open = self._run, None, None
        if run is not None:
            run.close()

    def close(self) -> None:
        """Free everything."""
        self._closed = True
        self._end()

    # What the browser is told -------------------------------------------------------------------------------------

    def look(self, shown: int) -> dict[str, Any]:
        """The state of the run; its picture only where it is another than `shown`, the number of the one on the page."""
        with self._lock:
            run = self._run
            view = run.view() if run is not None else None
            if view is not None:
                self._settle(view)
        state: dict[str, Any] = {
            "n": next(_IDS),
            "state": "starting" if self._starting else view.state if view else "empty",
            "notice": self._notice,
            "answering": bool(view and view.answering),
            "asked": [_told(one) for one in self._asked],
            "lanes": [],
        }
        if view is None:
            return state
        axis = Axis.of(view.frames, view.duration, self._settings.fps)
        state |= {
            "clock": None if math.isnan(view.clock) else round(view.clock, 2),
            "duration": view.duration,
            "frames": view.frames,
            "error": view.error,
            "columns": axis.columns,
            "lanes": [self._lane(lane, axis) for lane in view.lanes],
        }
        if view.frame_jpeg is not None and view.frames != shown:
            state["frame"] = {"index": view.frames, "jpeg": base64.b64encode(view.frame_jpeg).decode("ascii")}
        return state

    def _settle(self, view: SideView) -> None:
        """Put a question on the list once all have answered it."""
        if self._open is None or view.answering:
            return
        verdicts = [self._verdict(lane) for lane in view.lanes]
        known = next((verdict for verdict in verdicts if verdict is not None), None)
        at = next((seconds for lane in view.lanes if (seconds := _asked_at(lane, self._open)) is not None), math.nan)
        replies = tuple(
            (lane.answer.strip(), verdict.right if verdict else None) if _answered(lane, self._open) else None
            for lane, verdict in zip(view.lanes, verdicts, strict=True)
        )
        self._asked.append(Asked(self._open, at, known.truth if known else None, replies))
        self._open = None

    def _verdict(self, lane: Lane) -> Verdict | None:
        return self._judge(lane.snapshot) if lane.snapshot is not None and lane.state == "done" else None

    def _lane(self, lane: Lane, axis: Axis) -> dict[str, Any]:
        told: dict[str, Any] = {
            "name": lane.cell.policy,
            "title": lane.cell.preset.title,
            "badge": lane.cell.badge,
            "budget": lane.cell.budget,
            "state": lane.state,
            "question": lane.question,
            "answer": lane.answer.strip(),
            "first_ms": None if lane.first_token_ms is None else round(lane.first_token_ms, 1),
            "error": lane.error,
        }
        snapshot = lane.snapshot
        if snapshot is None or not snapshot.frames_seen:
            return told
        verdict = self._verdict(lane)
        trace = snapshot.answer
        told |= {
            "resident": int(snapshot.kept_per_layer.max()),
            "seen": snapshot.tokens_seen,
            "archive": snapshot.archive_bytes,
            "held": _bytes(held(snapshot, axis)),
            "layers": snapshot.num_layers,
            "tiers": snapshot.tiers.tolist() if snapshot.tiered else None,
        }
        if trace is not None and lane.state == "done":
            told |= {
                "read": int((trace.tokens_read - snapshot.prompt_len).max()),
                "moved": trace.moved_bytes,
                "spots": _bytes(spots(snapshot, axis)),
            }
        if verdict is not None:
            told["verdict"] = {
                "right": verdict.right,
                "truth": verdict.truth,
                "outcome": verdict.outcome,
                "sentence": verdict.sentence,
                "moments": [list(moment.span) for moment in verdict.moments],
            }
        return told


def _answered(lane: Lane, question: str) -> bool:
    return lane.state == "done" and lane.question == question


def _asked_at(lane: Lane, question: str) -> float | None:
    """Stream time at which a lane was asked; None where it has not answered."""
    trace = lane.snapshot.answer if lane.snapshot is not None else None
    return trace.asked_seconds if trace is not None and _answered(lane, question) else None


def _told(asked: Asked) -> dict[str, Any]:
    replies = [None if reply is None else {"said": reply[0], "right": reply[1]} for reply in asked.replies]
    at = None if math.isnan(asked.at) else round(asked.at, 2)
    return {"question": asked.question, "at": at, "truth": asked.truth, "replies": replies}


@dataclass(frozen=True)
class Axis:
    """The clip's time as columns, the same for all lanes.

    Attributes:
        frames: Frames of the whole clip.
        columns: How many columns they share.
    """

    frames: int
    columns: int

    @classmethod
    def of(cls, frames: int, duration: float | None, fps: float) -> Axis:
        """For a clip of `duration` seconds at `fps`, of which `frames` were seen."""
        whole = max(math.ceil((duration or 0) * fps), frames, 1)
        return cls(whole, min(whole, MOST_COLUMNS))

    def of_frames(self, frames: int) -> npt.NDArray[np.int64]:
        """Column of each of the first frames [frames]."""
        return np.arange(frames) * self.columns // self.frames


def held(snapshot: Snapshot, axis: Axis) -> npt.NDArray[np.uint8]:
    """Share of the frames of each column that each layer holds, in 254 steps; 255: nothing was seen there yet.

    Returns:
        uint8 [layers, columns].
    """
    column = axis.of_frames(snapshot.frames_seen)
    counts = np.bincount(column, minlength=axis.columns)
    shares = snapshot.kept / max(snapshot.tokens_per_frame, 1)
    sums = np.stack([np.bincount(column, layer, axis.columns) for layer in shares])
    share = np.clip(sums / np.maximum(counts, 1), 0, 1)
    return np.where(counts > 0, np.ceil(share * 254), 255).astype(np.uint8)


def spots(snapshot: Snapshot, axis: Axis) -> npt.NDArray[np.uint8]:
    """Where the last answer looked: attention on each column's frames, mean of all layers, against the largest [columns]."""
    trace = snapshot.answer
    sums = np.zeros(axis.columns)
    if trace is not None:
        np.add.at(sums, axis.of_frames(trace.frames_seen), trace.attention.mean(0))
    return np.round(255 * sums / max(float(sums.max()), 1e-9)).astype(np.uint8)


def _bytes(values: npt.NDArray[np.uint8]) -> str:
    return base64.b64encode(values.tobytes()).decode("ascii")
