"""The bundled clips: what `assets/clips/index.json` lists, with a poster and the questions that suit each moment."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hermes import video
from hermes.errors import HermesError
from hermes.video.thumbnails import jpeg

logger = logging.getLogger(__name__)

POSTER_WIDTH = 320


@dataclass(frozen=True)
class Clip:
    """A bundled clip.

    Attributes:
        id: Its file's name without the ending.
        path: The file.
        title: Its name for people.
        about: One sentence on what happens in it.
        seconds: Its length.
        questions: Suggested questions, each with the second from which it makes sense to ask.
        poster: A picture of it as a data address; "" where none could be made.
        events: What it shows, as its truth file lists it; empty where nobody wrote it down.
        fps: Frames a second in which its events count.
    """

    id: str
    path: Path
    title: str
    about: str
    seconds: float
    questions: tuple[tuple[str, float], ...]
    poster: str
    events: tuple[Mapping[str, Any], ...] = ()
    fps: float = 4.0

    def card(self) -> dict[str, Any]:
        """What the page needs to show it in the list."""
        return {"id": self.id, "title": self.title, "about": self.about, "seconds": self.seconds, "poster": self.poster}


def read_clips(folder: Path) -> list[Clip]:
    """The clips that a folder's `index.json` lists, in its order; those that are missing are left out and logged."""
    index = folder / "index.json"
    if not index.is_file():
        return []
    listed = json.loads(index.read_text("utf-8"))
    entries = listed["clips"] if isinstance(listed, dict) else listed
    clips = []
    for entry in entries:
        name = entry if isinstance(entry, str) else entry.get("name") or Path(entry["file"]).stem
        try:
            clips.append(_read_clip(folder, name))
        except (OSError, KeyError, ValueError, HermesError) as error:
            logger.warning("clip %s is left out: %s", name, error)
    return clips


def _read_clip(folder: Path, name: str) -> Clip:
    about = json.loads((folder / f"{name}.json").read_text("utf-8"))
    path = folder / f"{name}.webm"
    if not path.is_file():
        raise FileNotFoundError(path)
    seconds, poster = _look(path)
    questions = tuple((str(q["text"]), float(q.get("at", 0.0))) for q in about.get("questions", ()))
    title, description = str(about.get("title", name)), str(about.get("description", ""))
    events = tuple(about.get("events", ()))
    return Clip(name, path, title, description, seconds, questions, poster, events, float(about.get("fps", 4.0)))


def _look(path: Path) -> tuple[float, str]:
    """Length of a clip in seconds, and a frame from its first third as a poster."""
    with video.sample(path, 1.0) as frames:
        seconds = frames.info.duration or 0.0
        poster = next((jpeg(frame, POSTER_WIDTH, 95) for frame, at in frames if at >= min(seconds / 3, 3.0)), b"")
    return seconds, f"data:image/jpeg;base64,{base64.b64encode(poster).decode('ascii')}" if poster else ""
