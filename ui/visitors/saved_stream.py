"""The description of a saved stream: a JSON file that names its session file and its pictures. Read as untrusted input."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from hermes.errors import HermesError
from hermes.video.limits import MAX_SIDE
from hermes.view import StreamSettings
from ui.player.conversation import ChatTurn

FORMAT: Final = "hermes-live-saved-2"
KEPT_HOURS: Final = 24
"""Saved streams of visitors who do not return are deleted after this time."""
MAX_TURNS: Final = 500
LONGEST_TEXT: Final = 20_000
LARGEST_JSON: Final = 4_000_000
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
        pictures: The file of pictures.
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
    pictures: Path
    age: float

    def offer(self) -> dict[str, Any]:
        """Return the offer to resume, for the page."""
        return {
            "title": self.title,
            "seconds": round(self.seconds, 1),
            "questions": len(self.turns),
            "minutes": int(self.age // 60),
        }


def about_stream(
    settings: StreamSettings, kind: str, name: str, title: str, seconds: float, turns: list[ChatTurn], *, ended: bool
) -> dict[str, Any]:
    """Return the content of the JSON file, without the name of the session file."""
    speed = None if math.isinf(settings.speed) else settings.speed
    kept = [asdict(replace(turn, words=())) for turn in turns[-MAX_TURNS:] if turn.state in _STATES]
    return {
        "settings": {**asdict(settings), "speed": speed},
        "kind": kind,
        "id": name,
        "title": title,
        "seconds": seconds,
        "ended": ended,
        "turns": kept,
    }


def read_saved(path: Path, folder: Path, key: str) -> SavedStream:
    """Read an untrusted JSON file.

    Raises:
        HermesError: It is not a valid saved stream.
    """
    if path.stat().st_size > LARGEST_JSON:
        raise HermesError("it is too large.")
    data = json.loads(path.read_text("utf-8"), parse_constant=_refuse)
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise HermesError("it was written by another version of this program.")
    session, pictures = (_file(data[name], folder, key) for name in ("session", "pictures"))
    kind = data["kind"]
    if kind not in ("clip", "upload", "camera"):
        raise HermesError("its source is unknown.")
    turns = data["turns"]
    if not isinstance(turns, list) or len(turns) > MAX_TURNS:
        raise HermesError("its conversation is damaged.")
    if not isinstance(data["ended"], bool):
        raise HermesError("its state is damaged.")
    age = time.time() - path.stat().st_mtime
    if age > KEPT_HOURS * 3600:
        raise HermesError("it is too old.")
    return SavedStream(
        _settings(data["settings"]),
        kind,
        _text(data["id"]),
        _text(data["title"]),
        _number(data["seconds"]),
        data["ended"],
        tuple(_turn(turn, number) for number, turn in enumerate(turns, 1)),
        session,
        pictures,
        max(age, 0.0),
    )


def _file(name: object, folder: Path, key: str) -> Path:
    if not isinstance(name, str) or "/" in name or "\\" in name or not name.startswith(f"{key}."):
        raise HermesError("it names another visitor's file.")
    if not (folder / name).is_file():
        raise HermesError("a file of it is missing.")
    return folder / name


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
