"""Event functions: Gradio's events in, what the components show out. They decide nothing; `Visitor` does.

Each takes plain values (an event's data as a dict, a session's hash), so that tests need no browser.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import gradio as gr

from hermes.errors import HermesError
from ui.board_cells import Wanted
from ui.clip_visitor import ClipVisitor
from ui.sessions import Sessions
from ui.visitor import SPEEDS

logger = logging.getLogger(__name__)

Data = Mapping[str, Any]


def wire(message: Mapping[str, Any] | None) -> Any:
    """A message as the value of an HTML component; without one the component stays as it is.

    `<` is written as an escape, so that no text of a person can look like markup on its way.
    """
    if message is None:
        return gr.skip()
    return json.dumps(message, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


class Handlers:
    """The page's event functions over a registry of visitors."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions

    def poll(self, data: Data, key: str | None) -> tuple[Any, Any]:
        """News for the player and the board."""
        try:
            visitor = self.sessions.get(key)
        except HermesError as error:
            return wire(_refusal(str(error))), gr.skip()
        acknowledged = data.get("seq")
        frame = data.get("frame")
        player, board = visitor.look(
            acknowledged if isinstance(acknowledged, int) else None,
            frame if isinstance(frame, int) else -1,
            Wanted.read(data.get("board")),
        )
        return wire(player), wire(board)

    def detail(self, data: Data, key: str | None) -> Any:
        """What the board asks for on demand."""
        try:
            return wire(self.sessions.get(key).detail(data))
        except HermesError as error:
            return wire({"id": data.get("id"), "error": str(error)})

    def act(self, data: Data, key: str | None) -> None:
        """A press of a button of the player. What goes wrong is told beside the stream."""
        action = data.get("action")
        try:
            visitor = self.sessions.get(key)
        except HermesError:
            return  # there is no place; the next poll says so
        try:
            if data.get("kind") == "upload" and data.get("path"):
                self.sessions.take_upload(key, str(data["path"]), str(data.get("name") or ""))
            if action == "choose":
                visitor.choose(visitor.source(data))
            elif action == "start":
                visitor.start(visitor.source(data))
            elif action == "restart":
                visitor.restart()
            elif action == "speed" and data.get("speed") in SPEEDS:
                visitor.change(speed=SPEEDS[data["speed"]])
            else:
                visitor.transport(str(action))
        except HermesError as error:
            visitor.tell("error", str(error))
        except Exception:
            logger.exception("%s failed", action)
            visitor.tell("error", "That did not work because of a fault in this program. The page goes on; try again.")

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
        if not isinstance(visitor, ClipVisitor):
            return
        if data.get("kind") == "upload" and data.get("path"):
            try:
                self.sessions.take_upload(key, str(data["path"]), str(data.get("name") or ""))
            except HermesError as error:
                visitor.tell("error", str(error))
                return
        for message in visitor.run(data):
            yield wire(message)

    def halt(self, key: str | None) -> None:
        """The stop button of the chat."""
        self.sessions.get(key).halt()

    def settings(self, key: str | None, **changes: Any) -> str:
        """A change of settings; returns what applies when, or raises HermesError with the reason why nothing changed."""
        said = self.sessions.get(key).change(**changes)
        return " ".join(said)

    def leave(self, key: str | None) -> None:
        """The tab was closed."""
        self.sessions.close(key)


def _refusal(sentence: str) -> dict[str, Any]:
    """What the player shows to somebody for whom there is no place."""
    return {
        "n": 0, "state": "empty", "source": {"kind": "", "id": "", "title": ""}, "clock": None, "duration": None,
        "behind": 0, "frames": 0, "speed": 1, "fps": 2, "answering": False, "received": 0, "restarted": False,
        "notice": {"id": 0, "kind": "error", "text": sentence}, "loading": None, "chips": [],
        "about": {"model": None, "progress": "", "error": sentence,
                  "policy": {"name": "", "title": "", "badge": "", "about": ""}},
    }  # fmt: skip
