"""Damaged copies of recorded files."""

from __future__ import annotations

import zipfile
from pathlib import Path

DAMAGES = {"gone": lambda _: None, "cut": lambda data: data[: len(data) // 2], "zeros": lambda data: b"\0" * len(data)}


def with_part(source: Path, path: Path, name: str, change) -> Path:
    """A copy of a run with one part changed (None: left out)."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
        for info in old.infolist():
            data = old.read(info)
            if info.filename == name:
                data = change(data)
            if data is not None:
                new.writestr(info.filename, data)
    return path
