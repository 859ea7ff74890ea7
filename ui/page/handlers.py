"""Event functions: Gradio's events in, what the components show out. They decide nothing; `Visitor` does.

Each takes plain values (an event's data as a dict, a session's hash), so that tests need no browser.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

import gradio as gr

from hermes import trace
from hermes.errors import HermesError
from ui.board.cells import Wanted
from ui.lab.lab import Lab
from ui.opening import Opening
from ui.player.source import Source
from ui.runs.replay import Replay
from ui.runs.runs import SPEEDS as RUN_SPEEDS
from ui.visitors.registry import Sessions
from ui.visitors.visitor import SPEEDS, Visitor

if TYPE_CHECKING:
    from ui.visitors.clip_visitor import ClipVisitor

logger = logging.getLogger(__name__)

Data = Mapping[str, Any]


def wire(message: Mapping[str, Any] | None) -> Any:
    """A message as the value of an HTML component; without one the component stays as it is.

    `<` is written as an escape, so that no text of a person can look like markup on its way.
    """
    if message is None:
        return gr.skip()
    return json.dumps(message, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


REPLAY_ACTIONS = ("pause", "resume", "stop", "restart", "seek", "pace")


def _number(value: Any, otherwise: float) -> float:
    """A finite number that the browser sent; anything else counts as not said."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else otherwise


def _start(visitor: Visitor, lab: Lab, source: Source) -> None:
    """Play what is chosen: a recorded run that was uploaded is opened, anything else streams through the model."""
    path = source.path if source.kind == "upload" else None
    if path is not None and trace.is_lab(path):
        lab.open(trace.read_lab(path))
        visitor.note_lab()
    elif path is not None and trace.is_run(path):
        visitor.open_run(trace.read(path))
    else:
        visitor.start(source)


def _steer(replay: Replay, action: str, data: Data) -> None:
    """A press of a button while a recorded run is shown."""
    if action == "seek":
        replay.seek(_number(data.get("seconds"), replay.position))
    elif action == "pace" and data.get("speed") in RUN_SPEEDS:
        replay.pace(data["speed"])
    elif action in ("pause", "resume", "stop", "restart"):
        getattr(replay, action)()


class Handlers:
    """The page's event functions over a registry of visitors."""

    def __init__(self, sessions: Sessions, opening: Opening | None = None) -> None:
        """Over the visitors of `sessions`; `opening` is the moment that is served with the page."""
        self.sessions = sessions
        self._opening = opening

    def poll(self, data: Data, key: str | None) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """The state of the player and the message for the board (None: nothing new), see `ui.page.update_stream`."""
        try:
            visitor = self.sessions.get(key)
        except HermesError as error:
            return _refusal(str(error)), None
        page = data.get("page")
        if isinstance(page, str) and len(page) <= 64:
            visitor.note_page(page)
        self._open(visitor, data.get("open"))
        acknowledged = data.get("seq")
        frame = data.get("frame")
        return visitor.poll(
            acknowledged if isinstance(acknowledged, int) else None,
            frame if isinstance(frame, int) else -1,
            Wanted.read(data.get("board")),
        )

    def _open(self, visitor: Visitor, wish: Any) -> None:
        """A recorded run that the browser wants to see, told with a poll so that it is there with the first answer."""
        if not isinstance(wish, dict) or wish.get("n") == visitor.opened:
            return
        visitor.opened = wish.get("n")
        seconds = _number(wish.get("seconds"), 0.0)
        opening = self._opening
        shows = opening is not None and wish.get("shown") == opening.key and visitor.stream is None
        try:
            visitor.open_run(
                str(wish.get("id")), seconds, play=wish.get("play") is not False, opening=opening if shows else None
            )
        except HermesError as error:
            visitor.notify("error", str(error))

    def detail(self, data: Data, key: str | None) -> Any:
        """What the board asks for on demand."""
        try:
            return wire(self.sessions.get(key).detail(data))
        except HermesError as error:
            return wire({"id": data.get("id"), "error": str(error)})

    def act(self, data: Data, key: str | None) -> None:
        """A press of a button of the player, after those before it. What goes wrong is told beside the stream."""
        try:
            with self.sessions.own(key).turns.take(data.get("order")):
                self._act(self.sessions.get(key), data, key)
        except HermesError:
            return  # there is no place; the next poll says so

    def _act(self, visitor: Visitor, data: Data, key: str | None) -> None:
        action = data.get("action")
        try:
            if data.get("kind") == "upload" and data.get("path"):
                self.sessions.take_upload(key, str(data["path"]), str(data.get("name") or ""))
            if action == "choose":
                visitor.choose(visitor.source(data))
            elif action == "start":
                _start(visitor, self.sessions.own(key).lab, visitor.source(data))
            elif visitor.replay is not None and action in REPLAY_ACTIONS:
                _steer(visitor.replay, str(action), data)
            elif action in ("resume-saved", "discard-saved"):
                self._answer_offer(visitor, key, resume=action == "resume-saved")
            elif action == "record":
                visitor.record()
            elif action == "stop-recording":
                visitor.stop_recording()
            elif action == "restart":
                visitor.restart()
            elif action == "speed" and data.get("speed") in SPEEDS:
                visitor.change(speed=SPEEDS[data["speed"]])
            else:
                visitor.transport(str(action))
        except HermesError as error:
            visitor.notify("error", str(error))
        except Exception:
            logger.exception("%s failed", action)
            visitor.notify("error", "This failed because of an internal error. Try again.")

    def _answer_offer(self, visitor: Visitor, key: str | None, *, resume: bool) -> None:
        """The answer to the offer to resume a saved stream; the file of a stream that is resumed is replaced later."""
        if resume:
            visitor.resume_saved()
        else:
            visitor.offer_saved(None)
            self.sessions.discard_saved(key)

    def poll_lab(self, data: Data, key: str | None) -> Any:
        """News for the lab."""
        try:
            lab = self.sessions.own(key).lab
        except HermesError:
            return gr.skip()  # there is no place; the player says so
        shown = data.get("frame")
        return wire(lab.poll(shown if isinstance(shown, int) else -1))

    def lab_action(self, data: Data, key: str | None) -> None:
        """A press of a button of the lab, or a file for it, after those before it. What goes wrong is told there."""
        try:
            visitor = self.sessions.own(key)
        except HermesError:
            return  # there is no place; the player says so
        with visitor.lab.turns.take(data.get("order")):
            self._apply_to_lab(visitor, data, key)

    def _apply_to_lab(self, visitor: Visitor, data: Data, key: str | None) -> None:
        lab, action = visitor.lab, data.get("action")
        if action not in ("open-file", "board"):
            lab.do(data)
            return
        try:
            if action == "board":
                visitor.open_run(*lab.memory(data.get("lane")), play=False)
                return
            path = str(data.get("path") or "")
            self.sessions.take_upload(key, path, str(data.get("name") or ""))
            lab.open(trace.read_lab(path))
        except HermesError as error:
            lab.notify(str(error))

    def shot(self, data: Data, key: str | None) -> None:
        """A camera picture."""
        jpeg, number = data.get("jpeg"), data.get("number")
        if isinstance(jpeg, str) and isinstance(number, int):
            self.sessions.get(key).shot(jpeg, number)

    def ask(self, data: Data, key: str | None) -> Iterator[str]:
        """A question; yields the chat's messages while the answer is written."""
        question = data.get("question")
        for message in self.sessions.get(key).ask(question if isinstance(question, str) else ""):
            yield wire(message)

    def run(self, data: Data, key: str | None) -> Iterator[str]:
        """Clip mode: a run with its questions; yields the chat's messages."""
        visitor = self.sessions.get(key)
        if not visitor.planned:
            return
        clip_visitor = cast("ClipVisitor", visitor)
        if data.get("kind") == "upload" and data.get("path"):
            try:
                self.sessions.take_upload(key, str(data["path"]), str(data.get("name") or ""))
            except HermesError as error:
                visitor.notify("error", str(error))
                return
        for message in clip_visitor.run(data):
            yield wire(message)

    def halt(self, key: str | None) -> None:
        """The stop button of the chat."""
        self.sessions.get(key).halt()

    def loading(self, key: str | None, name: str, *, agreed: bool = False) -> Iterator[str]:
        """Load a model that a visitor chose, telling how far it is."""
        yield from self.sessions.get(key).load(name, agreed=agreed)

    def settings(self, key: str | None, **changes: Any) -> str:
        """A change of settings; returns what applies when, or raises HermesError with the reason why nothing changed."""
        said = self.sessions.get(key).change(**changes)
        return " ".join(said)

    def try_it(self, data: Data, key: str | None) -> Any:
        """A wish of the panel of settings; returns what it shows then."""
        try:
            return wire(self.sessions.get(key).try_it(data))
        except HermesError:
            return gr.skip()  # there is no place; the player says so

    def back(self, key: str | None) -> Visitor:
        """The visitor whose chat and settings a page asks for that was loaded again.

        Raises:
            HermesError: There is no place.
        """
        return self.sessions.get(key)

    def leave(self, key: str | None) -> None:
        """The page's heartbeat ended: it was closed, or its connection dropped; see `Sessions.disconnected`."""
        if key:
            self.sessions.disconnected(key)


def _refusal(sentence: str) -> dict[str, Any]:
    """What the player shows to somebody for whom there is no place."""
    return {
        "n": 0, "state": "empty", "source": {"kind": "", "id": "", "title": ""}, "clock": None, "duration": None,
        "behind": 0, "frames": 0, "speed": 1, "fps": 2, "answering": False, "received": 0, "restarted": False,
        "run": None, "recording": None, "recorded": None, "opened": None, "lab": 0,
        "notice": {"id": 0, "kind": "error", "text": sentence}, "loading": None, "chips": [],
        "about": {"model": None, "progress": "", "error": sentence,
                  "policy": {"name": "", "title": "", "badge": "", "about": ""}},
    }  # fmt: skip
