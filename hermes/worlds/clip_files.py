"""Writing of rendered clips: the video, its ground truth, and the list of clips."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from hermes.errors import HermesError
from hermes.files.output import replacing, write_text

LICENCE: Final = "MIT, as the project: every picture is drawn by its code"


def write_clip_files(
    folder: Path,
    name: str,
    frames: Iterable[NDArray[np.uint8]],
    fps: float,
    size: tuple[int, int],
    entry: Mapping[str, Any],
    truth: Mapping[str, Any],
) -> dict[str, Any]:
    """Write `NAME.webm` and `NAME.json`.

    Args:
        folder: Output folder.
        name: File name without extension.
        frames: Frames, uint8 [height, width, 3] RGB.
        fps: Frames per second.
        size: Width and height in pixels.
        entry: Further content of the clip's entry for `index.json`, and of the truth file.
        truth: Further content of the truth file.

    Returns:
        The clip's entry for `index.json`.

    Raises:
        HermesError: The files cannot be written.
    """
    video = folder / f"{name}.webm"
    with replacing(video) as part:
        _write_video(part, frames, fps, size, name)
    shared = {"file": video.name, **entry}
    size_of = {"fps": fps, "width": size[0], "height": size[1]}
    write_json(folder / f"{name}.json", {**_in_order(shared), **size_of, **truth})
    return {"name": name, **shared, "bytes": video.stat().st_size}


def _in_order(shared: Mapping[str, Any]) -> dict[str, Any]:
    """Return the shared content with the texts first."""
    return {key: shared[key] for key in ("title", "description")} | dict(shared)


def write_index(folder: Path, entries: Sequence[Mapping[str, Any]]) -> None:
    """Write the list of clips, `index.json`."""
    write_json(folder / "index.json", {"licence": LICENCE, "clips": entries})


def read_index(folder: Path) -> list[dict[str, Any]]:
    """Return the entries of an existing `index.json` whose video exists; empty without a readable one."""
    try:
        listed = json.loads((folder / "index.json").read_text("utf-8"))["clips"]
        return [entry for entry in listed if (folder / str(entry["file"])).is_file() and entry["name"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def _write_video(path: Path, frames: Iterable[NDArray[np.uint8]], fps: float, size: tuple[int, int], name: str) -> None:
    """VP8 in WebM, which browsers play and OpenCV writes without further software."""
    code = cv2.VideoWriter.fourcc(*"VP80")
    with _silent_stderr():  # OpenCV prints a warning because it first looks up VP8 under a wrong name
        writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, fps, size)
    if not writer.isOpened():
        raise HermesError(f"{path} cannot be written, or this OpenCV cannot write WebM.")
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()
    path.write_bytes(_with_fixed_track_id(path.read_bytes(), name))


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Silence the standard error of C code. It affects the whole process, so use it only in commands."""
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)


def _with_fixed_track_id(data: bytes, name: str) -> bytes:
    """Replace the random track identifier of WebM, so that the same recipe gives the same bytes."""
    found = re.search(rb"\x73\xc5\x88(.{8})\x9c", data[:4096], re.DOTALL)
    if found is None:
        return data
    return data.replace(found.group(1), hashlib.sha256(name.encode()).digest()[:8])
