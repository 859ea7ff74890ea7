"""Saved streams: lets visitors continue after a restart of the server, in a folder of limited size.

A saved stream is a session file, a file of pictures, and a JSON file that refers to both. The JSON file is replaced last and
atomically, so that the three always belong together. All are private to the user who runs the server, and are read as
untrusted input.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from safetensors import SafetensorError

from hermes.errors import HermesError
from hermes.files.output import OutputError
from hermes.video.thumbnails import FramePictures
from ui.visitors.saved_pictures import pack_pictures
from ui.visitors.saved_stream import FORMAT, KEPT_HOURS, SavedStream, read_saved

if TYPE_CHECKING:
    from hermes.serving.interface import StreamControl
    from ui.visitors.visitor import Visitor

logger = logging.getLogger(__name__)

EVERY_SECONDS: Final = 10.0
"""Minimum time between two saves of a playing stream, and between two attempts. Answers, pauses and ends are saved within
`POLL_SECONDS`."""
POLL_SECONDS: Final = 0.5
_OURS: Final = re.compile(r"(tab-[0-9a-f]{40})\..+")
"""Name of a file of a saved stream; group 1 is the visitor's key."""
_UNFINISHED: Final = re.compile(r"\.[0-9a-f]{16}\.part.{0,16}|tab-[0-9a-f]{40}\.json\.part")
"""Name of a file that was being written when the server was killed."""


class Autosave:
    """Saves the streams of all visitors when they change. Thread-safe."""

    def __init__(self, folder: Path, limit_mb: int) -> None:
        """Save into `folder`, which is created, with at most `limit_mb` megabytes in total.

        Raises:
            HermesError: The folder cannot be created, or belongs to another user, or holds other files.
        """
        self._folder = folder
        self._limit = limit_mb * 1_000_000
        self._saved: dict[str, tuple[Any, float]] = {}
        self._failed: dict[str, float] = {}  # time of the last failed attempt
        self._lock = threading.Lock()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            named = [path.name for path in folder.iterdir()]
            others = [name for name in named if not _OURS.fullmatch(name) and not _UNFINISHED.fullmatch(name)]
            if others and others != ["lost+found"]:
                raise HermesError(f"Streams cannot be saved in {folder}, which holds other files. Name another folder.")
            folder.chmod(0o700)
        except OSError as error:
            raise HermesError(f"Streams cannot be saved in {folder}: {os.strerror(error.errno or 0)}.") from error
        self._clean()

    # Reading ------------------------------------------------------------------------------------------------

    def offer(self, key: str) -> SavedStream | None:
        """Return the saved stream of a visitor, or None. A stream that cannot be read is deleted."""
        path = self._json(key)
        try:
            if not path.is_file():
                return None
            return read_saved(path, self._folder, key)
        except (OSError, ValueError, TypeError, KeyError, RecursionError, HermesError) as error:
            logger.warning("Deleting a saved stream that cannot be read: %s", error)
            self.delete(key)
            return None

    def delete(self, key: str) -> None:
        """Delete the saved stream of a visitor."""
        with self._lock:
            self._saved.pop(key, None)
            self._failed.pop(key, None)
            for path in self._folder.glob(f"{key}.*"):
                path.unlink(missing_ok=True)

    def _json(self, key: str) -> Path:
        return self._folder / f"{key}.json"

    # Saving -------------------------------------------------------------------------------------------------------

    def keep_saving(self, visitors: Callable[[], Mapping[str, Visitor]], stop: threading.Event) -> None:
        """Save in a background thread until `stop` is set. `visitors` returns the current visitors by key."""

        def loop() -> None:
            while not stop.wait(POLL_SECONDS):
                for key, visitor in visitors().items():
                    try:
                        self.save_if_due(key, visitor, visitors)
                    except Exception:
                        logger.exception("A stream could not be saved")

        threading.Thread(target=loop, name="autosave", daemon=True).start()

    def save_if_due(self, key: str, visitor: Visitor, visitors: Callable[[], Mapping[str, Visitor]]) -> None:
        """Save a visitor's stream if it changed and enough time has passed."""
        if not key.startswith("tab-") or visitor.saved is not None:
            return  # a visitor without a token cannot return; an open offer is not replaced
        if visitor.lost:
            visitor.offer_saved(self.offer(key))
            return
        state = visitor.saveable()
        if state is None:
            return
        stream, about, mark = state
        now = time.monotonic()
        before, at = self._saved.get(key, ((None, None), -math.inf))
        if mark == before or (mark[1] == before[1] and now - at < EVERY_SECONDS):
            return
        if now - self._failed.get(key, -math.inf) < EVERY_SECONDS:
            return
        try:
            self._save(key, stream, about)
        except Exception as error:
            if visitor.stream is not stream or visitor.lost:
                return  # another stream was started, or this one was lost meanwhile
            if not isinstance(error, HermesError | OSError):
                logger.exception("A stream could not be saved")
            if key not in self._failed:
                visitor.notify("info", f"This stream is not saved for a restart of the server: {_reason(error)}")
            self._failed[key] = time.monotonic()
        else:
            self._saved[key] = (mark, time.monotonic())
            if self._failed.pop(key, None) is not None:
                visitor.notify("info", "This stream is saved for a restart of the server again.")
        if visitors().get(key) is not visitor:  # the visitor left in the meantime
            self.delete(key)

    def _save(self, key: str, stream: StreamControl, about: Mapping[str, Any]) -> None:
        """Write the files. If it fails, those saved before remain.

        Raises:
            HermesError: The stream is too large, or a file cannot be written.
            OSError: A file cannot be written.
        """
        name = secrets.token_hex(8)
        session, pictures = (self._folder / f"{key}.{name}.{kind}" for kind in ("session", "pictures"))
        part = self._folder / f"{key}.json.part"
        try:
            drawn = pack_pictures(stream.save(session))
            session.chmod(0o600)
            size = session.stat().st_size
            listed = {"session": session.name, "pictures": pictures.name}
            text = json.dumps({"format": FORMAT, **about, **listed}, allow_nan=False)
            if size + len(text) + len(drawn) > self._limit:
                drawn = pack_pictures(FramePictures({}))  # the memory matters more
            self._make_room(key, size + len(text) + len(drawn))
            _write(pictures, drawn)
            _write(part, text.encode())
            part.replace(self._json(key))
        except BaseException:
            for path in (session, pictures, part):
                path.unlink(missing_ok=True)
            raise
        for old in (*self._folder.glob(f"{key}.*.session"), *self._folder.glob(f"{key}.*.pictures")):
            if old not in (session, pictures):
                old.unlink(missing_ok=True)

    def _make_room(self, key: str, size: int) -> None:
        """Delete the oldest saved streams of other visitors until `size` bytes fit.

        Raises:
            HermesError: `size` exceeds the limit.
        """
        if size > self._limit:
            raise HermesError(
                f"it needs {size / 1e6:.0f} MB, but the limit for all streams is {self._limit / 1e6:.0f} MB."
            )
        held: dict[str, list[float]] = {}
        for path in self._folder.iterdir():
            ours = _OURS.fullmatch(path.name)
            if ours is None or ours[1] == key:
                continue
            with contextlib.suppress(FileNotFoundError):  # its visitor may leave meanwhile
                owner, stat = ours[1], path.stat()
                entry = held.setdefault(owner, [0.0, 0.0])
                entry[0], entry[1] = max(entry[0], stat.st_mtime), entry[1] + stat.st_size
        total = size + sum(bytes_ for _, bytes_ in held.values())
        for owner in sorted(held, key=lambda owner: held[owner][0]):
            if total <= self._limit:
                return
            total -= held[owner][1]
            self.delete(owner)
            logger.info("Deleted the oldest saved stream because the folder is full")

    def _clean(self) -> None:
        """Delete incomplete files, and streams whose visitors did not return."""
        oldest = time.time() - KEPT_HOURS * 3600
        named = {path.name.partition(".")[0] for path in self._folder.glob("tab-*.json")}
        for path in list(self._folder.iterdir()):
            ours = _OURS.fullmatch(path.name) is not None
            abandoned = ours and (path.name.partition(".")[0] not in named or path.stat().st_mtime < oldest)
            if abandoned or _UNFINISHED.fullmatch(path.name):
                path.unlink(missing_ok=True)


def _write(path: Path, data: bytes) -> None:
    """Write a private file, completely.

    Raises:
        OSError: It cannot be written.
    """
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _reason(error: Exception) -> str:
    """Return why a stream could not be saved, without paths of the server."""
    cause = error if isinstance(error, OSError) else error.__cause__
    if isinstance(cause, OSError) and cause.errno:
        return f"{os.strerror(cause.errno)}."
    if isinstance(cause, SafetensorError | OSError | OutputError):
        return "the file cannot be written."
    return str(error) if isinstance(error, HermesError) else "of an internal error."
