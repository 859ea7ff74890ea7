"""Saved streams: lets visitors continue after a restart of the server, in a folder of limited size.

A saved stream is a session file and a JSON file that refers to it. The JSON file is replaced last and atomically, so that
the pair is always complete. Both are private to the user who runs the server, and are read as untrusted input.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hermes.errors import HermesError
from hermes.video.limits import MAX_SIDE
from hermes.view import StreamSettings
from ui.player.conversation import ChatTurn

if TYPE_CHECKING:
    from hermes.serving.stream import LiveStream
    from ui.visitors.visitor import Visitor

logger = logging.getLogger(__name__)

FORMAT: Final = "hermes-live-saved-1"
EVERY_SECONDS: Final = 10.0
"""Minimum time between two saves of a playing stream. Answers, pauses and ends are saved within `POLL_SECONDS`."""
POLL_SECONDS: Final = 0.5
KEPT_HOURS: Final = 24
"""Saved streams of visitors who do not return are deleted after this time."""
MOST_TURNS: Final = 500
LONGEST_TEXT: Final = 20_000
LARGEST_JSON: Final = 4_000_000
_OURS: Final = re.compile(r"(tab-[0-9a-f]{40})\..+")
"""Name of a file of a saved stream; group 1 is the visitor's key."""
_STATES: Final = ("done", "stopped", "error")


@dataclass(frozen=True)
class SavedStream:
    """A saved stream.

    Attributes:
        settings: Settings of the visitor.
        kind: Kind of the source: "clip", "upload" or "camera".
        id: Id of the clip.
        title: Display name of the source.
        seconds: Stream time of the newest frame, in seconds.
        ended: Whether the source had ended.
        turns: The conversation.
        session: The session file.
        age: Time since it was saved, in seconds.
    """

    settings: StreamSettings
    kind: str
    id: str
    title: str
    seconds: float
    ended: bool
    turns: tuple[ChatTurn, ...]
    session: Path
    age: float

    def offer(self) -> dict[str, Any]:
        """Return the offer to resume, for the page."""
        return {
            "title": self.title,
            "seconds": round(self.seconds, 1),
            "questions": len(self.turns),
            "minutes": int(self.age // 60),
        }


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
        self._refused: set[str] = set()
        self._lock = threading.Lock()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            others = [path.name for path in folder.iterdir() if not _OURS.fullmatch(path.name)]
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
            return _read(path, self._folder, key)
        except (OSError, ValueError, TypeError, KeyError, RecursionError, HermesError) as error:
            logger.warning("Deleting a saved stream that cannot be read: %s", error)
            self.delete(key)
            return None

    def delete(self, key: str) -> None:
        """Delete the saved stream of a visitor."""
        with self._lock:
            self._saved.pop(key, None)
            self._refused.discard(key)
            for path in self._folder.glob(f"{key}.*"):
                path.unlink(missing_ok=True)

    def _json(self, key: str) -> Path:
        return self._folder / f"{key}.json"

    # Saving -------------------------------------------------------------------------------------------------------

    def keep_saving(self, visitors: Callable[[], Mapping[str, Visitor]], stop: threading.Event) -> None:
        """Save in a background thread until `stop` is set. `visitors` returns the current visitors by key."""

        def loop() -> None:
            while not stop.wait(POLL_SECONDS):
                try:
                    for key, visitor in visitors().items():
                        self.save_if_due(key, visitor, visitors)
                except Exception:
                    logger.exception("Could not save streams")

        threading.Thread(target=loop, name="autosave", daemon=True).start()

    def save_if_due(self, key: str, visitor: Visitor, visitors: Callable[[], Mapping[str, Visitor]]) -> None:
        """Save a visitor's stream if it changed and enough time has passed."""
        if not key.startswith("tab-") or visitor.saved is not None:
            return  # a visitor without a token cannot return; an open offer is not replaced
        state = visitor.saveable()
        if state is None:
            return
        stream, about, mark = state
        before, at = self._saved.get(key, ((None, None), -math.inf))
        if mark == before or (mark[1] == before[1] and time.monotonic() - at < EVERY_SECONDS):
            return
        try:
            self._save(key, stream, about)
        except (HermesError, OSError) as error:
            if key not in self._refused:
                self._refused.add(key)
                visitor.notify("info", f"This stream is not saved for a restart of the server: {error}")
        self._saved[key] = (mark, time.monotonic())
        if key not in visitors():  # the visitor left in the meantime
            self.delete(key)

    def _save(self, key: str, stream: LiveStream, about: Mapping[str, Any]) -> None:
        """Write the pair of files.

        Raises:
            HermesError: The stream is too large, or a file cannot be written.
        """
        session = self._folder / f"{key}.{secrets.token_hex(8)}.session"
        part = self._folder / f"{key}.json.part"
        try:
            stream.save(session)
            session.chmod(0o600)
            text = json.dumps({"format": FORMAT, **about, "session": session.name}, allow_nan=False)
            self._make_room(key, session.stat().st_size + len(text))
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self._json(key))
        except BaseException:
            session.unlink(missing_ok=True)
            part.unlink(missing_ok=True)
            raise
        for old in self._folder.glob(f"{key}.*.session"):
            if old != session:
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
        for path in [path for path in self._folder.iterdir() if _OURS.fullmatch(path.name)]:
            if path.suffix == ".part" or path.name.partition(".")[0] not in named or path.stat().st_mtime < oldest:
                path.unlink(missing_ok=True)


# The JSON file ----------------------------------------------------------------------------------------------------


def about_stream(
    settings: StreamSettings, kind: str, name: str, title: str, seconds: float, turns: list[ChatTurn], *, ended: bool
) -> dict[str, Any]:
    """Return the content of the JSON file, without the name of the session file."""
    speed = None if math.isinf(settings.speed) else settings.speed
    kept = [asdict(turn) for turn in turns[-MOST_TURNS:] if turn.state in _STATES]
    return {
        "settings": {**asdict(settings), "speed": speed},
        "kind": kind,
        "id": name,
        "title": title,
        "seconds": seconds,
        "ended": ended,
        "turns": kept,
    }


def _read(path: Path, folder: Path, key: str) -> SavedStream:
    """Read an untrusted JSON file.

    Raises:
        HermesError: It is not a valid saved stream.
    """
    if path.stat().st_size > LARGEST_JSON:
        raise HermesError("it is too large.")
    data = json.loads(path.read_text("utf-8"), parse_constant=_refuse)
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise HermesError("it was written by another version of this program.")
    session = data["session"]
    if not isinstance(session, str) or "/" in session or not session.startswith(f"{key}.") or "\\" in session:
        raise HermesError("it names another visitor's file.")
    kind = data["kind"]
    if kind not in ("clip", "upload", "camera"):
        raise HermesError("its source is unknown.")
    turns = data["turns"]
    if not isinstance(turns, list) or len(turns) > MOST_TURNS:
        raise HermesError("its conversation is damaged.")
    if not isinstance(data["ended"], bool):
        raise HermesError("its state is damaged.")
    age = time.time() - path.stat().st_mtime
    if age > KEPT_HOURS * 3600:
        raise HermesError("it is too old.")
    if not (folder / session).is_file():
        raise HermesError("its session file is missing.")
    return SavedStream(
        _settings(data["settings"]),
        kind,
        _text(data["id"]),
        _text(data["title"]),
        _number(data["seconds"]),
        data["ended"],
        tuple(_turn(turn, number) for number, turn in enumerate(turns, 1)),
        folder / session,
        max(age, 0.0),
    )


def _refuse(constant: str) -> None:
    raise HermesError(f"{constant} is not a number.")


def _settings(data: Mapping[str, Any]) -> StreamSettings:
    changed = tuple((_text(name), _value(value)) for name, value in data["changed"])
    settings = StreamSettings(
        model=_text(data["model"]),
        policy=_text(data["policy"]),
        budget=int(_number(data["budget"])),
        guidance=_text(data["guidance"]),
        fps=_number(data["fps"]),
        chunk=min(max(int(_number(data["chunk"])), 1), 256),
        speed=math.inf if data["speed"] is None else _number(data["speed"]),
        changed=changed,
        max_side=int(_number(data.get("max_side", MAX_SIDE))),
        gather=_number(data.get("gather", 0.0)),
    )
    settings.check()
    return settings


def _turn(data: Mapping[str, Any], number: int) -> ChatTurn:
    if data["state"] not in _STATES:
        raise HermesError("an answer has an unknown state.")
    return ChatTurn(
        number,
        _text(data["question"]),
        None if data["at"] is None else _number(data["at"]),
        _text(data["answer"]),
        data["state"],
        None if data["first_ms"] is None else _number(data["first_ms"]),
        _text(data["policy"]),
    )


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        raise HermesError("a text is damaged.")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        raise HermesError("a number is damaged.")
    return float(value)


def _value(value: object) -> bool | float | str:
    return value if isinstance(value, bool) else _text(value) if isinstance(value, str) else _number(value)
