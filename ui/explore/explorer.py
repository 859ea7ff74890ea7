"""The Explore tab of one visitor: figures of the current moment and of the pinned one. Independent of Gradio."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import hermes  # `hermes.plots`, and with it plotly, is imported on first use
from hermes.errors import HermesError
from hermes.snapshot import TIERS, Snapshot
from hermes.trace import MAX_LANES
from ui.board.trail import Trail
from ui.explore.figures import FIGURES, MODES, NO_FRAMES, FigureChoice, call_of, read_choice
from ui.explore.fitting import Place, escaped, fitted, in_range
from ui.explore.moment import ExploredMoment, of_run
from ui.explore.notebook import code_of, names_of
from ui.runs.replay import Replay
from ui.untrusted import finite

if TYPE_CHECKING:
    from hermes.plots import Figure
    from hermes.serving.interface import StreamControl
    from ui.lab.comparison import LiveComparison
    from ui.lab.lab import Lab

CONFIG: Final = MappingProxyType(
    {"displaylogo": False, "displayModeBar": True, "toImageButtonOptions": {"filename": "hermes-live", "scale": 2}}
)
STREAM: Final = "stream"
LANE: Final = "lane-"
NO_METHOD: Final = "This method is not in the comparison. Choose another memory."
NO_FRAMES_COMPARED: Final = "No frames yet. The figure appears when this method has seen the first ones."
LONGEST_QUESTION: Final = 60
STACKED_BELOW: Final = 900
"""Two moments are drawn one below the other in places narrower than this, in pixels."""


@dataclass(frozen=True)
class Explored:
    """Reply to a request.

    Attributes:
        message: For the browser.
        figure: The figure; None if there is none or it did not change.
    """

    message: dict[str, Any]
    figure: Figure | None

    def json(self) -> str | None:
        """Return the figure as JSON with plotly's configuration of the tool bar; None without a figure."""
        if self.figure is None:
            return None
        return json.dumps({**json.loads(self.figure.to_json()), "config": dict(CONFIG)}, separators=(",", ":"))


class Explorer:
    """Draws figures of a visitor's stream, recorded run or comparison. Thread-safe."""

    def __init__(self) -> None:
        """Start without a moment."""
        self._lock = threading.Lock()
        self._trail = Trail()
        self._trail_lock = threading.Lock()
        self._pinned: ExploredMoment | None = None
        self._of: object = None

    def note(self, stream: object, snapshot: Snapshot | None) -> None:
        """Collect a moment of the stream that is shown, for the retention over time. Cheap."""
        if isinstance(stream, Replay):
            return
        with self._trail_lock:
            if stream is not self._of:
                self._trail, self._of = Trail(), stream
            self._trail.note(snapshot)

    def close(self) -> None:
        """Free the moments."""
        with self._trail_lock:
            self._trail, self._of = Trail(), None
        self._pinned = None

    def answer(
        self, request: Mapping[str, Any], stream: StreamControl | Replay | None, lab: Lab, policy: str, recording: str
    ) -> Explored:
        """Apply a request of the browser and return what to show. Requests are untrusted.

        Args:
            request: `action` ("show", "pin" or "unpin"), the choice (see `read_choice`), `source`, `compare`, and the place
                of the figure (`width`, `height`, `touch`).
            stream: The stream or recorded run of the visitor.
            lab: The comparison of the visitor.
            policy: Title of the policy of a live stream.
            recording: Name of the file to which the stream was recorded; "" if it was not.

        Returns:
            The message and the figure. If there is no figure, `error` in the message says why.
        """
        with self._lock:
            if request.get("action") == "unpin":
                self._pinned = None
            sources = [{"id": STREAM, "title": "Stream or recorded run"}, *_lanes(lab)]
            message: dict[str, Any] = {
                "n": finite(request.get("n"), 0), "sources": sources if len(sources) > 1 else [],
                "moment": "", "compared": False, "error": "",
            }  # fmt: skip
            figure = None
            try:
                moment = self._moment(request.get("source"), stream, lab, policy, recording)
                if request.get("action") == "pin":
                    self._pinned = moment
                figure = self._draw(request, moment, message)
            except HermesError as error:
                message["error"] = str(error)
            message["pinned"] = self._pinned.label if self._pinned else ""
            return Explored(message, figure)

    def _moment(
        self, source: object, stream: StreamControl | Replay | None, lab: Lab, policy: str, recording: str
    ) -> ExploredMoment:
        """Return the current moment of a source.

        Raises:
            HermesError: There is no such source, it has no frames yet, or its file is damaged.
        """
        lanes = {f"{LANE}{number}": number for number in range(MAX_LANES)}
        if isinstance(source, str) and source in lanes:
            live = lab.live
            if live is None:
                return of_run(*lab.memory(lanes[source]))
            return _lane_moment(lab, live, lanes[source])
        if stream is None:
            raise HermesError(NO_FRAMES)
        if isinstance(stream, Replay):
            return of_run(stream.run, stream.position)
        view = stream.view()
        if view.snapshot is None or not view.snapshot.frames_seen:
            raise HermesError(NO_FRAMES)
        with self._trail_lock:
            moments = self._trail.until(view.snapshot) if stream is self._of else Trail().until(view.snapshot)
        return ExploredMoment(
            view.source or "Live stream", policy, view.snapshot, view.snapshot.seconds, moments=moments,
            scores=tuple(stream.scores), recording=recording,
        )  # fmt: skip

    def _draw(self, request: Mapping[str, Any], moment: ExploredMoment, message: dict[str, Any]) -> Figure:
        """Return the figure of the moment, or of the pinned moment and this one, and add what belongs to it to the message.

        Raises:
            HermesError: A moment does not hold what the figure shows.
        """
        snapshot = _seen(moment)
        choice = read_choice(request, snapshot)
        message |= {"moment": moment.label, "options": _options(snapshot), "chosen": _chosen(choice)}
        width, height = (in_range(finite(request.get(side), 900)) for side in ("width", "height"))
        place = Place(width, height, touch=request.get("touch") is True)
        pinned = self._pinned
        if pinned is None or request.get("compare") is not True or pinned.is_same(moment):
            call = call_of(moment, choice, names_of([moment])[0])
            message["code"] = code_of([moment], names_of([moment]), [call])
            return fitted(call.draw(), place)
        message["compared"] = True
        figure, message["code"] = _compared(request, (pinned, moment), stacked=place.width < STACKED_BELOW)
        return fitted(figure, place)


def _compared(
    request: Mapping[str, Any], moments: tuple[ExploredMoment, ExploredMoment], *, stacked: bool
) -> tuple[Figure, str]:
    """Return the figure of two moments, and its code.

    Raises:
        HermesError: One of them does not hold what the figure shows; the message says which.
    """
    names, figures, calls, labels = names_of(moments), [], [], []
    for moment, name, which in zip(moments, names, ("The pinned moment", "This moment"), strict=True):
        choice = read_choice(request, _seen(moment))
        try:
            calls.append(call_of(moment, choice, name))
            figures.append(calls[-1].draw())
        except HermesError as error:
            raise HermesError(f"{which} ({moment.label}): {error}") from error
        labels.append(_label(moment, choice))
    title = _title(choice)
    figure: Figure = hermes.plots.side_by_side(
        figures[0], figures[1], (labels[0], labels[1]), title=title, stacked=stacked
    )
    return figure, code_of(moments, names, calls, labels, title, stacked=stacked)


def _seen(moment: ExploredMoment) -> Snapshot:
    """Return the snapshot of a moment.

    Raises:
        HermesError: No frame was seen.
    """
    if moment.snapshot is None or not moment.snapshot.frames_seen:
        raise HermesError(NO_FRAMES)
    return moment.snapshot


def _label(moment: ExploredMoment, choice: FigureChoice) -> str:
    """Return what a panel of two moments shows: the moment, and the question if the figure is about an answer."""
    answer = moment.snapshot.answer if moment.snapshot else None
    if answer is None or not (
        choice.figure.startswith("attention") or (choice.figure, choice.mode) == ("layers", "answer")
    ):
        return escaped(moment.label)
    return escaped(f"{moment.label}: “{answer.question[:LONGEST_QUESTION]}”")


def _title(choice: FigureChoice) -> str:
    if choice.figure == "layers":
        return f"{FIGURES[choice.figure].title}: {MODES[choice.mode].lower()}"
    if choice.figure == "over-time" and choice.tier is not None:
        return f"{FIGURES[choice.figure].title}, {TIERS[choice.tier]} layers"
    return FIGURES[choice.figure].title


def _options(snapshot: Snapshot) -> dict[str, Any]:
    """Return what the controls can be set to."""
    tiers = sorted(set(snapshot.tiers.tolist())) if snapshot.tiered else []
    return {
        "layers": list(snapshot.layer_numbers),
        "frames": snapshot.frames_seen,
        "tiers": [{"tier": tier, "title": TIERS[tier]} for tier in tiers],
    }


def _chosen(choice: FigureChoice) -> dict[str, Any]:
    return {
        "figure": choice.figure, "mode": choice.mode, "layer": choice.layer, "frame": choice.frame, "tier": choice.tier,
    }  # fmt: skip


def _lane_moment(lab: Lab, live: LiveComparison, number: int) -> ExploredMoment:
    """Return the current moment of a method of a live comparison.

    Raises:
        HermesError: The method does not exist, no frame was seen yet, or the comparison was closed.
    """
    if number >= len(live.methods):
        raise HermesError(NO_METHOD)
    lane = live.lane(number)
    if lane.snapshot is None:
        raise HermesError(NO_FRAMES_COMPARED)
    return ExploredMoment(
        live.title, live.methods[number], lane.snapshot, lane.snapshot.seconds, moments=lane.moments, scores=lane.scores,
        recording=lab.recording_name, live_lane=number,
    )  # fmt: skip


def _lanes(lab: Lab) -> list[dict[str, str]]:
    """Return the methods of the comparison that is open, live or recorded."""
    live = lab.live
    if live is not None:
        return [
            {"id": f"{LANE}{number}", "title": f"Comparison: {live.title}, {method}"}
            for number, method in enumerate(live.methods)
        ]
    found = []
    for number in range(MAX_LANES):
        try:
            run, _ = lab.memory(number)
        except HermesError:
            break
        found.append({"id": f"{LANE}{number}", "title": f"Comparison: {run.title}"})
    return found
