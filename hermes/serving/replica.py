"""The part of `hermes.serving.ray_engine` that runs in an actor: an engine with the streams that were placed on it.

Arguments and results are picklable. The page validates what its visitors send, as it does for an engine in its own process.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import psutil

from hermes.errors import HermesError
from hermes.policies import load_plugin
from hermes.serving.engine import Engine
from hermes.serving.file_store import PART_BYTES, FileStore
from hermes.serving.interface import StreamReader
from hermes.serving.model_info import ModelInfo
from hermes.serving.stream import LiveStream
from hermes.view import LiveView, StreamSettings

if TYPE_CHECKING:
    from hermes.memory.encoded import Layout
    from hermes.snapshot import Snapshot
    from hermes.video.thumbnails import FramePictures

PREFIX: Final = "hermes-replica-"
"""Start of the names of the temporary folders, followed by the number of the process."""
ACTIONS: Final = frozenset(
    ("camera", "offer", "put", "pause", "resume", "yield_slot", "skip_to", "stop", "restart", "stop_answer", "change")
)
"""Methods of a stream that a page calls without more."""
READS: Final = frozenset(("status", "thumbnails", "token_history"))
VALUES: Final = frozenset(("file_fps", "freed", "scores"))
"""Properties of a stream that a page reads."""


@dataclass
class _Placed:
    """A stream on this replica, with its reader and answers by number, and the last snapshot that was sent."""

    stream: LiveStream
    readers: dict[str, StreamReader] = field(default_factory=dict)
    answers: dict[str, Iterator[str]] = field(default_factory=dict)
    sent: tuple[str, Snapshot | None] = ("", None)


class Replica:
    """One engine and its streams, by id. Thread-safe."""

    def __init__(self, max_streams: int, max_pixels: int | None = None, plugins: Sequence[str] = ()) -> None:
        """Start an engine.

        Args:
            max_streams: Maximum number of live streams.
            max_pixels: See `Engine`.
            plugins: Files or modules that register policies.

        Raises:
            HermesError: A plugin cannot be loaded.
        """
        for plugin in plugins:
            load_plugin(plugin)
        self._engine = Engine(max_streams, max_pixels=max_pixels)
        self._folder = _new_folder()
        self._files = FileStore(self._folder)
        self._placed: dict[str, _Placed] = {}
        self._objects: dict[str, Any] = {}
        self._progress: dict[str, tuple[str, float]] = {}
        self._changed = threading.Condition()
        self._changes = 0
        self._engine.on_free(self._note_free)

    # Engine -------------------------------------------------------------------------------------------------------

    def load(self, name: str) -> ModelInfo:
        """Load a model; see `progress`. Downloads were confirmed on the page."""
        return self._engine.load(name, partial(self._note_progress, name))

    def _note_progress(self, name: str, text: str, share: float) -> None:
        self._progress[name] = text, share

    def progress(self, name: str) -> tuple[str, float]:
        """Return the current step of `load` and the progress, 0 to 1."""
        return self._progress.get(name, (f"Loading {name}", 0.0))

    def check(self, settings: StreamSettings) -> None:
        """See `Engine.check`."""
        self._engine.check(settings)

    def layout(self, model: str, height: int, width: int) -> Layout:
        """See `Engine.layout`."""
        return self._engine.layout(model, height, width)

    def achievable_fps(self, settings: StreamSettings) -> float | None:
        """See `Engine.achievable_fps`."""
        return self._engine.achievable_fps(settings)

    def where(self) -> tuple[str, int]:
        """Return the machine and the process of the replica, for log messages."""
        return socket.gethostname(), os.getpid()

    def room(self) -> tuple[int, int]:
        """Return the number of free live slots, and the number of streams."""
        return self._engine.free_slots, len(self._placed)

    def wait_for_room(self, known: int, seconds: float) -> int:
        """Wait at most `seconds` for a slot that became free since the call that returned `known`; return a new number."""
        with self._changed:
            self._changed.wait_for(lambda: self._changes != known, seconds)
            return self._changes

    def _note_free(self) -> None:
        with self._changed:
            self._changes += 1
            self._changed.notify_all()

    # Streams ------------------------------------------------------------------------------------------------------

    def open(self, settings: StreamSettings, replacing: str | None) -> str:
        """Open a stream and return its id; see `Engine.open`."""
        before = self._placed[replacing].stream if replacing in self._placed else None
        stream = self._engine.open(settings, before)
        name = uuid4().hex
        self._placed[name] = _Placed(stream)
        return name

    def is_live(self, name: str) -> bool:
        """See `Engine.is_live`."""
        return self._engine.is_live(self._find(name).stream)

    def enter(self, name: str, replacing: str | None) -> None:
        """See `Engine.enter`."""
        before = self._placed[replacing].stream if replacing in self._placed else None
        self._engine.enter(self._find(name).stream, before)

    def finish(self, name: str) -> None:
        """See `Engine.finish`."""
        self._engine.finish(self._find(name).stream)

    def act(self, name: str, action: str, *arguments: Any) -> Any:
        """Call one of `ACTIONS` or `READS`, or return one of `VALUES`, of a stream."""
        stream = self._find(name).stream
        if action in VALUES:
            return getattr(stream, action)
        if action not in ACTIONS | READS:
            raise HermesError(f"A stream has no action “{action}”.")
        return getattr(stream, action)(*arguments)

    def view(self, name: str, known: str) -> tuple[str, bool, LiveView]:
        """Return the complete state of a stream, without the snapshot if it is the one that was sent as `known`.

        Returns:
            The number of the snapshot, whether the view lacks it because it is known, and the view.
        """
        placed = self._find(name)
        view = placed.stream.view()
        number, snapshot = placed.sent
        if snapshot is None or view.snapshot is not snapshot:
            number = uuid4().hex
            placed.sent = number, view.snapshot
        same = number == known
        return number, same, replace(view, snapshot=None) if same else view

    def attach(self, name: str, make: Callable[[], Any]) -> str:
        """Create a reader and return its number; see `LiveStream.attach`."""
        number = uuid4().hex
        self._find(name).readers = {number: self._find(name).stream.attach(make)}
        return number

    def read(self, name: str, number: str, method: str, *arguments: Any) -> Any:
        """Call a method of a reader."""
        reader = self._find(name).readers.get(number)
        if reader is None:
            raise HermesError("The display of this stream was reset.")
        return reader.call(method, *arguments)

    def close(self, name: str) -> None:
        """Close a stream."""
        placed = self._placed.pop(name, None)
        if placed is not None:
            placed.stream.close()
        self._files.discard(name)
        self._files.release(name)
        self._saved(name).unlink(missing_ok=True)

    def _find(self, name: str) -> _Placed:
        placed = self._placed.get(name)
        if placed is None:
            raise HermesError("This stream was closed.")
        return placed

    # Answers ------------------------------------------------------------------------------------------------------

    def ask(self, name: str, question: str) -> str:
        """Ask a question and return the number of the answer, for `next_piece`; see `LiveStream.ask`."""
        placed = self._find(name)
        pieces, number = placed.stream.ask(question), uuid4().hex
        placed.answers[number] = pieces
        return number

    def next_piece(self, name: str, number: str) -> str | None:
        """Wait for the next piece of an answer, and return it; None at its end."""
        answers = self._find(name).answers
        try:
            piece = next(answers[number], None)
        except BaseException:
            answers.pop(number, None)
            raise
        if piece is None:
            answers.pop(number, None)
        return piece

    def end_answer(self, name: str, number: str) -> None:
        """Stop an answer whose remaining pieces are not read."""
        placed = self._placed.get(name)
        pieces = placed.answers.pop(number, None) if placed is not None else None
        if pieces is not None and placed is not None:
            placed.stream.stop_answer()

    # Placed objects -----------------------------------------------------------------------------------------------

    def place(self, make: Callable[[Engine], Any]) -> str:
        """Create an object that uses this engine, and return its id; see `StreamEngine.place`."""
        name = uuid4().hex
        self._objects[name] = make(self._engine)
        return name

    def call_placed(self, name: str, method: str, *arguments: Any) -> Any:
        """Call a method of a placed object."""
        placed = self._objects.get(name)
        if placed is None:
            raise HermesError("This comparison was closed.")
        return getattr(placed, method)(*arguments)

    def discard(self, name: str) -> None:
        """Drop a placed object."""
        self._objects.pop(name, None)

    # Files --------------------------------------------------------------------------------------------------------

    def needs_file(self, name: str, digest: str) -> bool:
        """Return whether a stream must send a file with `append` and `finish_file` before it is used."""
        self._find(name)
        self._files.discard(name)
        return not self._files.hold(digest, name)

    def append(self, name: str, part: bytes) -> None:
        """Receive a part of a file."""
        self._find(name)
        self._files.append(name, part)

    def finish_file(self, name: str) -> None:
        """Store a file whose parts were sent."""
        self._find(name)
        self._files.finish(name)

    def play(self, name: str, digest: str, title: str) -> None:
        """Play a stored file; see `LiveStream.play`."""
        self._find(name).stream.play(self._files.path(digest), title)

    def restore(self, name: str, title: str, digest: str | None, pictures: FramePictures | None) -> None:
        """Continue the session whose parts were sent with `append`; see `LiveStream.restore`."""
        path = self._files.path(digest) if digest is not None else None
        session = self._files.incoming(name)
        try:
            self._find(name).stream.restore(session, title, path, pictures)
        finally:
            self._files.discard(name)

    def save(self, name: str) -> tuple[FramePictures, int]:
        """Save a session for `saved_part`, and return its pictures and the size of its file in bytes."""
        path = self._saved(name)
        pictures = self._find(name).stream.save(path)
        return pictures, path.stat().st_size

    def saved_part(self, name: str, offset: int) -> bytes:
        """Return a part of a saved session; the file is deleted after its last part."""
        path = self._saved(name)
        with path.open("rb") as file:
            file.seek(offset)
            part = file.read(PART_BYTES)
        if offset + len(part) >= path.stat().st_size:
            path.unlink()
        return part

    def _saved(self, name: str) -> Path:
        return self._folder / f"{name}.session"

    def shut_down(self) -> None:
        """Close all streams and delete all files."""
        self._engine.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _new_folder() -> Path:
    """Create a private temporary folder, and delete those of replicas of this user that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        process = folder.name.removeprefix(PREFIX).partition("-")[0]
        if process.isdecimal() and not psutil.pid_exists(int(process)):
            shutil.rmtree(folder, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
