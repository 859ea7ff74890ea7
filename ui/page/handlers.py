"""Event handlers: translate between Gradio events and `Visitor`. They contain no logic of their own.

Each takes plain values (event data as a dict, the visitor's key), so that tests need no browser.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, cast

import gradio as gr

from hermes import trace
from hermes.errors import HermesError
from ui.board.cells import Wanted
from ui.opening import Opening
from ui.runs.reading import RunReader, check_room
from ui.runs.replay import Replay
from ui.runs.runs import SPEEDS as RUN_SPEEDS
from ui.untrusted import finite, is_one_of
from ui.visitors.playback import SPEEDS
from ui.visitors.registry import Sessions
from ui.visitors.visitor import Visitor

if TYPE_CHECKING:
    from ui.visitors.clip_visitor import ClipVisitor

logger = logging.getLogger(__name__)

Data = Mapping[str, Any]


def to_json(message: Mapping[str, Any] | None) -> Any:
    """Return a message as the value of an HTML component; None leaves the component unchanged.

    `<` is escaped, so that user text cannot be mistaken for markup.
    """
    if message is None:
        return gr.skip()
    return json.dumps(message, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


FAULT: Final = "This failed because of an internal error. Try again."

# Actions on a recorded run ------------------------------------------------------------------------------------------


def _set_speed(replay: Replay, data: Data) -> None:
    if is_one_of(data.get("speed"), RUN_SPEEDS):
        replay.pace(data["speed"])


REPLAY_ACTIONS: Final[Mapping[str, Callable[[Replay, Data], None]]] = MappingProxyType(
    {
        "pause": lambda replay, _: replay.pause(),
        "resume": lambda replay, _: replay.resume(),
        "stop": lambda replay, _: replay.stop(),
        "restart": lambda replay, _: replay.restart(),
        "seek": lambda replay, data: replay.seek(finite(data.get("seconds"), replay.position)),
        "pace": _set_speed,
    }
)
"""Player actions while a recorded run is shown. They replace the actions of the same name on a stream."""


class Handlers:
    """The page's event handlers over a registry of visitors."""

    def __init__(self, sessions: Sessions, opening: Opening | None = None) -> None:
        """Handle the events of the visitors in `sessions`. `opening` is the moment that is served with the page."""
        self.sessions = sessions
        self._runs = RunReader()
        self._opening = opening
        self._actions: Mapping[str, Callable[[Visitor, Data, str | None], None]] = {
            "choose": lambda visitor, data, _: visitor.choose(visitor.source(data)),
            "start": self._start,
            "restart": lambda visitor, *_: visitor.restart(),
            "pause": lambda visitor, *_: visitor.transport("pause"),
            "resume": lambda visitor, *_: visitor.transport("resume"),
            "stop": lambda visitor, *_: visitor.transport("stop"),
            "leave-queue": lambda visitor, *_: visitor.slot.leave_queue(),
            "speed": _change_speed,
            "record": lambda visitor, *_: visitor.record(),
            "stop-recording": lambda visitor, *_: visitor.stop_recording(),
            "resume-saved": lambda visitor, *_: visitor.resume_saved(),
            "discard-saved": self._discard_saved,
        }

    def poll(self, data: Data, key: str | None) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """Return the player state and the board message (None if nothing changed); see `ui.page.update_stream`."""
        try:
            visitor = self.sessions.get(key)
        except HermesError as error:
            return _no_place(str(error)), None
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
            data.get("poster"),
        )

    def _open(self, visitor: Visitor, request: Any) -> None:
        """Open a requested recorded run. The request comes with a poll, so that the first response contains the run."""
        if not isinstance(request, dict) or request.get("n") == visitor.opened:
            return
        visitor.opened = request.get("n")
        seconds = finite(request.get("seconds"), 0.0)
        opening = self._opening
        shown = opening is not None and request.get("shown") == opening.key and visitor.stream is None
        try:
            visitor.open_run(
                str(request.get("id")),
                seconds,
                play=request.get("play") is not False,
                opening=opening if shown else None,
            )
        except HermesError as error:
            visitor.notify("error", str(error))

    def detail(self, data: Data, key: str | None) -> Any:
        """Return details that the board requests."""
        try:
            return to_json(self.sessions.get(key).detail(data))
        except HermesError as error:
            return to_json({"id": data.get("id"), "error": str(error)})
        except Exception:
            logger.exception("A detail of the board failed")
            return to_json({"id": data.get("id"), "error": FAULT})

    def explore(self, data: Data, key: str | None) -> tuple[dict[str, Any], str | None]:
        """Return the message for the Explore tab, and its figure as JSON (None: no figure)."""
        try:
            explored = self.sessions.get(key).explore(data)
            return explored.message, explored.json()
        except HermesError as error:
            message = str(error)
        except Exception:
            logger.exception("A figure of the Explore tab failed")
            message = FAULT
        return {"n": data.get("n") if isinstance(data.get("n"), int) else 0, "error": message}, None

    def act(self, data: Data, key: str | None) -> None:
        """Apply a player action, after the actions before it. Errors are shown next to the stream."""
        try:
            visitor = self.sessions.own(key)
        except HermesError:
            return  # no free place; the next poll reports it
        try:
            with visitor.turns.take(data.get("order")):
                self._act(self.sessions.get(key), data, key)
        except HermesError as error:
            visitor.notify("error", str(error))

    def _act(self, visitor: Visitor, data: Data, key: str | None) -> None:
        action = str(data.get("action"))
        try:
            if data.get("kind") == "upload" and data.get("path"):
                self.sessions.take_upload(key, str(data["path"]), str(data.get("name") or ""))
            if visitor.replay is not None and action in REPLAY_ACTIONS:
                REPLAY_ACTIONS[action](visitor.replay, data)
            elif action in self._actions:
                self._actions[action](visitor, data, key)
        except HermesError as error:
            visitor.report(error, data)
        except Exception:
            logger.exception("The action %s failed", action)
            visitor.notify("error", FAULT)

    def _start(self, visitor: Visitor, data: Data, key: str | None) -> None:
        """Play the selected source: open an uploaded recording, or stream a video through the model."""
        source = visitor.source(data)
        path = source.path if source.kind == "upload" else None
        if path is not None and trace.is_lab(path):
            self._open_lab(self.sessions.own(key), path, key)
            visitor.note_lab()
        elif path is not None and trace.is_run(path):
            run = self._runs.read(key, path)
            check_room(run, self.sessions.own(key).lab.recorded_run)
            visitor.open_run(run)
        else:
            visitor.start(source)

    def _open_lab(self, visitor: Visitor, path: Path, key: str | None) -> None:
        """Open an uploaded comparison."""
        run, replay = self._runs.read_lab(key, path), visitor.replay
        check_room(run, replay.run if replay is not None else None)
        visitor.lab.open(run)

    def _discard_saved(self, visitor: Visitor, _data: Data, key: str | None) -> None:
        """Decline the offer to resume a saved stream, and delete its file."""
        visitor.offer_saved(None)
        self.sessions.discard_saved(key)

    def poll_lab(self, data: Mapping[str, Any], key: str | None) -> str | None:
        """Return the state of the comparison as JSON, or None if there is no free place, which the player reports."""
        try:
            lab = self.sessions.own(key).lab
        except HermesError:
            return None
        shown = data.get("frame")
        return to_json(lab.poll(shown if isinstance(shown, int) else -1))

    def lab_action(self, data: Data, key: str | None) -> None:
        """Apply an action on the comparison, after the actions before it. Errors are shown in its view."""
        try:
            visitor = self.sessions.own(key)
        except HermesError:
            return  # no free place; the player reports it
        try:
            with visitor.lab.turns.take(data.get("order")):
                self._apply_to_lab(visitor, data, key)
        except HermesError as error:
            visitor.lab.notify(str(error))

    def _apply_to_lab(self, visitor: Visitor, data: Data, key: str | None) -> None:
        lab, action = visitor.lab, data.get("action")
        try:
            if action not in ("open-file", "board", "pin-stream"):
                lab.do(data)
                return
            if action == "pin-stream":
                lab.offer_pin(visitor.result())
                return
            if action == "board":
                visitor.open_run(*lab.memory(data.get("lane")), play=False)
                return
            path = str(data.get("path") or "")
            self.sessions.take_upload(key, path, str(data.get("name") or ""))
            self._open_lab(visitor, Path(path), key)
        except HermesError as error:
            lab.notify(str(error))
        except Exception:
            logger.exception("%s failed in a comparison", action)
            lab.notify(FAULT)

    def camera_frame(self, data: Data, key: str | None) -> None:
        """Take a frame from the camera."""
        jpeg, number = data.get("jpeg"), data.get("number")
        if isinstance(jpeg, str) and isinstance(number, int):
            self.sessions.get(key).camera_frame(jpeg, number)

    def ask(self, data: Data, key: str | None) -> Iterator[str]:
        """Ask a question and yield the chat's messages while the answer is written."""
        question = data.get("question")
        for message in self.sessions.get(key).ask(question if isinstance(question, str) else ""):
            yield to_json(message)

    def run(self, data: Data, key: str | None) -> Iterator[str]:
        """Run a clip with its questions (clip mode) and yield the chat's messages."""
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
            yield to_json(message)

    def halt(self, data: Data, key: str | None) -> Any:
        """Stop the current answer, cancel a waiting question (`turn`), or clear the chat; return the chat's message."""
        visitor = self.sessions.get(key)
        if data.get("clear") is True:
            visitor.clear_chat()
        elif "turn" in data:
            visitor.conversation.cancel(data["turn"])
        else:
            visitor.halt()
        return to_json(visitor.conversation.message())

    def loading(self, key: str | None, name: str, *, agreed: bool = False) -> Iterator[str]:
        """Load a model that a visitor selected, and yield its progress."""
        yield from self.sessions.get(key).load(name, agreed=agreed)

    def settings(self, key: str | None, **changes: Any) -> str:
        """Change settings and return when the change takes effect.

        Raises:
            HermesError: A setting is invalid; nothing was changed.
        """
        return " ".join(self.sessions.get(key).change(**changes))

    def try_it(self, data: Data, key: str | None) -> Any:
        """Apply a request of the policy settings panel, and return the panel's message."""
        try:
            return to_json(self.sessions.get(key).try_it(data))
        except HermesError:
            return gr.skip()  # no free place; the player reports it

    def back(self, key: str | None) -> Visitor:
        """Return the visitor whose chat and settings a reloaded page requests.

        Raises:
            HermesError: There is no free place.
        """
        return self.sessions.get(key)

    def leave(self, key: str | None) -> None:
        """Handle the end of a page's heartbeat: it was closed, or lost its connection; see `Sessions.disconnected`."""
        if key:
            self.sessions.disconnected(key)


def _change_speed(visitor: Visitor, data: Data, _key: str | None) -> None:
    if is_one_of(data.get("speed"), SPEEDS):
        visitor.change(speed=SPEEDS[data["speed"]])


def _no_place(message: str) -> dict[str, Any]:
    """Return the player state for a page without a place."""
    return {
        "n": 0, "state": "empty", "source": {"kind": "", "id": "", "title": ""}, "clock": None, "duration": None,
        "behind": 0, "frames": 0, "speed": 1, "fps": 2, "answering": False, "received": 0, "restarted": False,
        "run": None, "recording": None, "recorded": None, "opened": None, "lab": 0,
        "notice": {"id": 0, "kind": "error", "text": message}, "loading": None, "chips": [],
        "about": {"model": None, "progress": "", "error": message,
                  "policy": {"name": "", "title": "", "badge": "", "about": ""}},
    }  # fmt: skip
