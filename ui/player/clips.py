"""The bundled clips listed in `assets/clips/index.json`, with posters and suggested questions."""

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
from hermes.ground_truth import world_of
from hermes.video import VideoInfo
from hermes.video.thumbnails import jpeg
from ui.player.clip_index import INDEX, clip_names

logger = logging.getLogger(__name__)

POSTER_WIDTH = 320


@dataclass(frozen=True)
class Clip:
    """A bundled clip.

    Attributes:
        id: File name without suffix.
        path: The video file.
        title: Display name.
        about: One sentence about what happens in the clip.
        seconds: Length in seconds.
        questions: Suggested questions, each with the earliest time (seconds) at which it makes sense.
        poster: Preview image as a data URL; "" if none could be made.
        events: The events listed in the clip's ground-truth file; empty if there is none.
        fps: Frame rate in which the event times are counted.
        world: Name of the world that it shows, "cards" or "objects"; "" for other videos.
        info: Metadata of the video; None if it was not read.
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
    world: str = ""
    info: VideoInfo | None = None

    def card(self) -> dict[str, Any]:
        """Return the entry for the page's list of clips."""
        return {"id": self.id, "title": self.title, "about": self.about, "seconds": self.seconds, "poster": self.poster}


def read_clips(folder: Path) -> list[Clip]:
    """Return the clips in a folder's `index.json`, in its order. Unreadable clips are skipped with a warning."""
    index = folder / INDEX
    if not index.is_file():
        return []
    clips = []
    for name in clip_names(json.loads(index.read_text("utf-8"))):
        try:
            clips.append(_read_clip(folder, name))
        except (OSError, KeyError, ValueError, HermesError) as error:
            logger.warning("Skipping clip %s: %s", name, error)
    return clips


def _read_clip(folder: Path, name: str) -> Clip:
    about = json.loads((folder / f"{name}.json").read_text("utf-8"))
    path = folder / f"{name}.webm"
    if not path.is_file():
        raise FileNotFoundError(path)
    info, poster = _probe(path)
    questions = tuple((str(q["text"]), float(q.get("at", 0.0))) for q in about.get("questions", ()))
    title, description = str(about.get("title", name)), str(about.get("description", ""))
    events = tuple(about.get("events", ()))
    world = str(about.get("world", world_of(events)))
    fps = float(about.get("fps", 4.0))
    return Clip(name, path, title, description, info.duration or 0.0, questions, poster, events, fps, world, info)


def _probe(path: Path) -> tuple[VideoInfo, str]:
    """Return the metadata of a clip, and a poster: a frame from its first third, or from second 3."""
    with video.sample(path, 1.0) as frames:
        info = frames.info
        seconds = info.duration or 0.0
        poster = next((jpeg(frame, POSTER_WIDTH, 95) for frame, at in frames if at >= min(seconds / 3, 3.0)), b"")
    return info, f"data:image/jpeg;base64,{base64.b64encode(poster).decode('ascii')}" if poster else ""
