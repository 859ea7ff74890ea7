"""The result of the stream view as a comparison of one method, so that it can be pinned next to others."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from hermes.errors import HermesError
from hermes.view import LiveView
from ui.board.evidence import Judge
from ui.lab.lanes import LaneState, lanes_payload

NOTHING = "There is nothing to pin yet. Start a stream or open a recording first."


def stream_result(
    view: LiveView | None, policy: Mapping[str, str], judge: Judge, *, title: str, fps: float, recorded: bool
) -> dict[str, Any]:
    """Return the payload of a stream's memory and last answer, in the format of a comparison.

    Args:
        view: The stream; None if there is none.
        policy: `name`, `title` and `badge` of its policy.
        judge: Returns the verdict on an answer.
        title: Title of the source.
        fps: Sampled frames per second.
        recorded: Whether it is a recorded run.

    Raises:
        HermesError: No frame was seen yet.
    """
    snapshot = view.snapshot if view is not None else None
    if view is None or snapshot is None or not snapshot.frames_seen:
        raise HermesError(NOTHING)
    trace = snapshot.answer
    first = trace.first_token_seconds if trace is not None else math.nan
    lane = LaneState(
        name=policy["name"],
        title=policy["title"],
        badge=policy["badge"],
        budget=snapshot.budget if snapshot.budget >= 0 else None,
        state="idle" if trace is None else "done",
        question=trace.question if trace is not None else "",
        answer=trace.answer if trace is not None else "",
        first_ms=(first * 1000,) if math.isfinite(first) else (),
        error=None,
        snapshot=snapshot,
    )
    payload = lanes_payload([lane], view.duration, fps, judge)
    verdict = lane.verdict(judge)
    asked = []
    if trace is not None:
        at = None if math.isnan(trace.asked_seconds) else round(trace.asked_seconds, 2)
        asked.append({"question": trace.question, "at": at, "truth": verdict.truth if verdict is not None else None})
    return {
        "title": title,
        "recorded": recorded,
        "clock": None if math.isnan(view.clock) else round(view.clock, 2),
        "answering": False,
        "asked": asked,
        **payload,
    }
