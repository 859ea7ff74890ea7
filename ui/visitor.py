"""One visitor: a stream, its settings, a conversation, and what the browser has been told. No Gradio, no browser.

Everything that a person can do on the page is a method here; the event functions only translate.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import logging
import math
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from hermes import video
from hermes.errors import HermesError
from ui.board import BoardEncoder
from ui.clips import Clip
from ui.models import Shelf

if TYPE_CHECKING:
    from hermes.engine import LiveStream, LiveView, StreamSettings

logger = logging.getLogger(__name__)

FRAME_BYTES = 1_500_000
FRAME_SIDE = 2048
SPEEDS = {1: 1.0, 2: 2.0, 4: 4.0, 0: math.inf}
"""What the browser calls a speed, and the speed: 0 is as fast as the model can."""
_IDS = itertools.count(1)


@dataclass(frozen=True)
class Source:
    """Where frames come from: kind "clip", "upload" or "camera"; what to play, and its name for people."""

    kind: str
    id: str = ""
    path: Path | None = None
    title: str = ""


@dataclass
class Turn:
    """A question and what became of it: state "writing", "done", "stopped" or "error" (then `answer` says why)."""

    id: int
    question: str
    at: float | None
    answer: str = ""
    state: str = "writing"
    first_ms: float | None = None
    policy: str = ""


class Visitor:
    """What one browser tab has open. Methods may be called by any thread."""

    def __init__(
        self, settings: StreamSettings, shelf: Shelf, clips: Mapping[str, Clip], policies: Mapping[str, Any]
    ) -> None:
        self.settings = settings
        self.stream: LiveStream | None = None
        self.turns: list[Turn] = []
        self.uploads: dict[str, str] = {}
        self._shelf = shelf
        self._clips = clips
        self._policies = policies
        self._lock = threading.RLock()
        self._board_lock = threading.Lock()
        self._encoder = BoardEncoder()
        self._chosen = Source("clip", next(iter(clips), ""))
        self._playing = Source("")
        self._native_fps: float | None = None
        self._fps = settings.fps
        self._starting = False
        self._restarted = False
        self._notice: dict[str, Any] | None = None
        self._told_error: str | None = None
        self._shots = 0
        self._epoch = next(_IDS)
        self._count = 0
        self._closed = False

    # Source and transport -----------------------------------------------------------------------------------------

    def source(self, wish: Mapping[str, Any]) -> Source:
        """What the browser asks for, checked against what this visitor may play.

        Raises:
            HermesError: There is no such clip, or the file was not uploaded by this visitor.
        """
        kind = wish.get("kind")
        if kind == "camera":
            return Source("camera", title="camera")
        if kind == "clip":
            clip = self._clips.get(str(wish.get("id")))
            if clip is None:
                raise HermesError("This clip is not bundled here. Choose another one.")
            return Source("clip", clip.id, clip.path, clip.title)
        path = str(wish.get("path") or "")
        if path not in self.uploads:
            raise HermesError("Choose a video file first.")
        return Source("upload", path, Path(path), self.uploads[path])

    def choose(self, source: Source) -> None:
        """Remember what is chosen, so that its questions are suggested before it starts."""
        self._chosen = source

    def start(self, source: Source) -> None:
        """Wait for the model, then play a source into an empty memory.

        Raises:
            HermesError: The model cannot be loaded, or the source cannot be played; what ran before goes on.
        """
        self._chosen = source
        self._starting = True
        try:
            self._shelf.ensure(self.settings.model)
            native = None if source.path is None else video.probe(source.path).fps
            with self._lock:
                if self._closed:
                    return
                if self.stream is None:
                    self.stream = self._shelf.engine.open(self.settings)
                if source.kind == "camera":
                    self.stream.camera()
                else:
                    self.stream.play(str(source.path), source.title)
                self._playing, self._native_fps = source, native
                self._begin()
        finally:
            self._starting = False

    def restart(self) -> None:
        """The same source from its start, into an empty memory."""
        with self._lock:
            if self.stream is not None:
                self.stream.restart()
                self._begin()

    def _begin(self) -> None:
        """A new memory: the board starts afresh."""
        with self._board_lock:
            self._encoder = BoardEncoder()
            self._fps = min(self.settings.fps, self._native_fps or math.inf)
        self._restarted, self._notice, self._told_error, self._shots = True, None, None, 0

    def transport(self, action: str) -> None:
        """Pause, resume or stop; nothing happens without a stream."""
        if self.stream is not None and action in ("pause", "resume", "stop"):
            getattr(self.stream, action)()

    def shot(self, jpeg: str, number: int) -> None:
        """Take one camera picture (base64 JPEG); pictures that are too large or broken are left out."""
        self._shots = max(self._shots, number)
        stream = self.stream
        if stream is None or self._playing.kind != "camera" or len(jpeg) > FRAME_BYTES:
            return
        try:
            data = np.frombuffer(base64.b64decode(jpeg, validate=True), np.uint8)
        except (binascii.Error, ValueError):
            return
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
        if picture is not None and max(picture.shape[:2]) <= FRAME_SIDE:
            stream.offer(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False))

    # Settings -----------------------------------------------------------------------------------------------------

    def change(self, **changes: Any) -> list[str]:
        """Change settings; returns sentences on what applies when.

        Raises:
            HermesError: A setting does not fit; nothing was changed.
        """
        wished = replace(self.settings, **changes)
        if wished == self.settings:
            return []
        wished.check()
        if wished.model != self.settings.model:
            self._shelf.ensure(wished.model)
        said: list[str] = []
        with self._lock:
            if self.stream is not None:
                said = self.stream.change(wished)
                if wished.model != self.settings.model:
                    self._begin()
            elif not math.isclose(wished.speed, self.settings.speed):
                said = []
            else:
                said = ["Applies when you press Start."]
            self.settings = wished
        return said

    # Conversation -------------------------------------------------------------------------------------------------

    def ask(self, question: str) -> Iterator[dict[str, Any]]:
        """Ask; yields messages for the chat, the answer longer in each."""
        stream = self.stream
        clock = stream.view().clock if stream is not None else math.nan
        turn = Turn(next(_IDS), question, None if math.isnan(clock) else clock, policy=self._policy("title"))
        with self._lock:
            busy = any(other.state == "writing" for other in self.turns)
            self.turns.append(turn)
        if busy:
            turn.state, turn.answer = "error", "One answer at a time: wait for the last one, or stop it."
            yield self.chat(2)
            return
        if stream is None:
            turn.state, turn.answer = "error", "Nothing has been seen yet. Press Start, then ask."
            yield self.chat(2)
            return
        yield self.chat(2)
        try:
            for piece in stream.ask(question):
                turn.answer += piece
                yield self.chat(2)
            turn.first_ms = stream.view().first_token_ms
            if turn.state == "writing":
                turn.state = "done"
        except HermesError as error:
            turn.state, turn.answer = "error", str(error)
        finally:
            if turn.state == "writing":
                turn.state = "stopped"
        yield self.chat(2)

    def halt(self) -> None:
        """Stop the answer that is being written; what was said so far stays."""
        with self._lock:
            for turn in self.turns:
                if turn.state == "writing":
                    turn.state = "stopped"
        if self.stream is not None:
            self.stream.stop_answer()

    def chat(self, last: int | None = None) -> dict[str, Any]:
        """The newest turns as a message for the browser."""
        turns = self.turns[-last:] if last else self.turns
        return {"epoch": self._epoch, "turns": [dict(vars(turn)) for turn in turns]}

    # What the browser is told -------------------------------------------------------------------------------------

    def tell(self, kind: str, text: str) -> None:
        """Show a sentence beside the stream: kind "error" or "info"."""
        self._notice = {"id": next(_IDS), "kind": kind, "text": text}

    def look(self, acknowledged: int | None, frame: int) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """The state for the player, and the message for the board (None: nothing new).

        Args:
            acknowledged: Number of the last board message that the browser applied.
            frame: Number of the picture that the browser shows.
        """
        self._count += 1
        stream = self.stream
        view = stream.view() if stream is not None else None
        if view is not None and view.error and view.error != self._told_error:
            self._told_error = view.error
            self.tell("error", view.error)
        state = self._player_state(view, frame)
        board = None
        if stream is not None and view is not None and view.snapshot is not None and view.snapshot.frames_seen:
            board = self._board_message(stream, view, acknowledged)
        return state, board

    def _board_message(self, stream: LiveStream, view: LiveView, acknowledged: int | None) -> dict[str, Any] | None:
        snapshot = view.snapshot
        if snapshot is None:
            return None
        first = view.first_token_ms
        meters = {
            "fps": round(view.ingest_fps, 1),
            "first": None if first is None else round(first),
            "dropped": view.dropped,
            "skipped": view.skipped,
        }
        with self._board_lock:
            return self._encoder.encode(
                snapshot,
                acknowledged=acknowledged,
                duration=view.duration,
                fps=self._fps,
                meters=meters,
                thumbnails=stream.thumbnails,
            )

    def _player_state(self, view: LiveView | None, frame: int) -> dict[str, Any]:
        restarted, self._restarted = self._restarted, False
        loading = self._shelf.state(self.settings.model)
        waiting = self._starting and (loading is None or (loading.info is None and not loading.error))
        state: dict[str, Any] = {
            "n": self._count,
            "state": "empty",
            "source": {"kind": self._playing.kind, "id": self._playing.id, "title": self._playing.title},
            "clock": None,
            "duration": None,
            "behind": 0.0,
            "frames": 0,
            "speed": next((name for name, speed in SPEEDS.items() if speed == self.settings.speed), 1),
            "fps": self.settings.fps,
            "answering": False,
            "received": self._shots,
            "restarted": restarted,
            "notice": self._notice,
            "loading": {"text": loading.text if loading else "Loading …", "share": loading.share if loading else 0.0}
            if waiting
            else None,
            "about": self._about(),
            "chips": self._chips(),
        }
        if view is None:
            return state
        state |= {
            "state": view.state,
            "clock": None if math.isnan(view.clock) else round(view.clock, 2),
            "duration": view.duration,
            "behind": round(view.behind, 1),
            "frames": view.frame_index + 1,
            "answering": view.answering,
        }
        if view.frame_jpeg and (view.frame_index != frame or restarted):
            state["frame"] = {"index": view.frame_index, "jpeg": base64.b64encode(view.frame_jpeg).decode("ascii")}
        return state

    def _policy(self, attribute: str) -> str:
        return str(getattr(self._policies[self.settings.policy], attribute))

    def _about(self) -> dict[str, Any]:
        state = self._shelf.state(self.settings.model)
        info = state.info if state else None
        model = None
        if info is not None:
            model = {"name": info.title, "about": info.about, "parameters": info.parameters, "device": info.device}
        return {
            "model": model,
            "progress": state.text if state else "",
            "error": state.error if state else None,
            "policy": {name: self._policy(name) for name in ("name", "title", "badge", "about")},
        }

    def _chips(self) -> list[dict[str, Any]]:
        clip = self._clips.get(self._chosen.id) if self._chosen.kind == "clip" else None
        if clip is not None and clip.questions:
            earliest = {text: at for text, at in sorted(clip.questions, key=lambda question: -question[1])}
            return [{"text": text, "at": at} for text, at in sorted(earliest.items(), key=lambda question: question[1])]
        state = self._shelf.state(self.settings.model)
        return [{"text": text, "at": 0.0} for text in state.info.suggested] if state and state.info else []

    def close(self) -> None:
        """Free the stream and its memory."""
        with self._lock:
            self._closed = True
            stream, self.stream = self.stream, None
        if stream is not None:
            stream.close()
