"""Sources of frames, and validation of the source that a browser requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hermes.errors import HermesError
from ui.player.clips import Clip


@dataclass(frozen=True)
class Source:
    """A source of frames.

    Attributes:
        kind: "clip", "upload", "camera" or "run"; "" if nothing plays.
        id: Id of the clip or run, or path of the upload.
        path: The video file, if there is one.
        title: Display name.
    """

    kind: str
    id: str = ""
    path: Path | None = None
    title: str = ""


def read_source(request: Mapping[str, Any], clips: Mapping[str, Clip], uploads: Mapping[str, str]) -> Source:
    """Return the requested source if this visitor may play it.

    Args:
        request: `kind`, with the `id` of a clip or the `path` of an upload.
        clips: The bundled clips by id.
        uploads: Display names of the visitor's uploads by path.

    Raises:
        HermesError: The clip does not exist, or the file was not uploaded by this visitor.
    """
    kind = request.get("kind")
    if kind == "camera":
        return Source("camera", title="camera")
    if kind == "clip":
        clip = clips.get(str(request.get("id")))
        if clip is None:
            raise HermesError("This clip is not available here. Choose another one.")
        return Source("clip", clip.id, clip.path, clip.title)
    path = str(request.get("path") or "")
    if path not in uploads:
        raise HermesError("Choose a video file first.")
    return Source("upload", path, Path(path), uploads[path])
