"""Where the frames of a visitor come from, and what of it a browser may ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hermes.errors import HermesError
from ui.player.clips import Clip


@dataclass(frozen=True)
class Source:
    """Where frames come from: kind "clip", "upload", "camera" or "run"; what to play, and its name for people."""

    kind: str
    id: str = ""
    path: Path | None = None
    title: str = ""


def read_source(wish: Mapping[str, Any], clips: Mapping[str, Clip], uploads: Mapping[str, str]) -> Source:
    """What the browser asks for, checked against what this visitor may play.

    Args:
        wish: `kind`, with the `id` of a clip or the `path` of an upload.
        clips: The bundled clips by id.
        uploads: The visitor's own files: path -> name for people.

    Raises:
        HermesError: There is no such clip, or the file was not uploaded by this visitor.
    """
    kind = wish.get("kind")
    if kind == "camera":
        return Source("camera", title="camera")
    if kind == "clip":
        clip = clips.get(str(wish.get("id")))
        if clip is None:
            raise HermesError("This clip is not bundled here. Choose another one.")
        return Source("clip", clip.id, clip.path, clip.title)
    path = str(wish.get("path") or "")
    if path not in uploads:
        raise HermesError("Choose a video file first.")
    return Source("upload", path, Path(path), uploads[path])
