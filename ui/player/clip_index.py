"""The list of clips in a folder: `index.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

INDEX: Final = "index.json"


def clip_names(index: Any) -> list[str]:
    """Return the names of the clips that an `index.json` lists: strings, or objects with a `name` or a `file`.

    Args:
        index: The decoded file: the list, or an object with the list as `clips`.

    Raises:
        ValueError: It has another form.
    """
    entries = index.get("clips") if isinstance(index, dict) else index
    if not isinstance(entries, list):
        raise ValueError("it is not a list of clips")  # noqa: TRY004 - a wrong value of the file
    return [_name(entry) for entry in entries]


def _name(entry: Any) -> str:
    name = entry
    if isinstance(entry, dict):
        file = entry.get("file")
        name = entry.get("name") or (Path(file).stem if isinstance(file, str) else None)
    if not isinstance(name, str):
        raise ValueError("an entry has neither a name nor a file")  # noqa: TRY004
    return name
