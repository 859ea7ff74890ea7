"""Uploads of a visitor: a new file is moved into the visitor's folder, and the oldest one is deleted."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from hermes.errors import HermesError
from ui.untrusted import display_name

if TYPE_CHECKING:
    from ui.visitors.visitor import Visitor


def move_upload(visitor: Visitor | None, path: str, root: Path) -> Path:
    """Move a new upload into the folder of its visitor, and return its new path.

    Args:
        visitor: The sender; None if it is no visitor.
        path: The file.
        root: Folder below which files are uploaded.

    Raises:
        HermesError: The sender is not a visitor, or the file cannot be moved.
    """
    real = Path(path).resolve()
    if not real.is_relative_to(root) or not real.is_file():
        raise HermesError("A file can only be uploaded from the page.")
    if visitor is None:
        real.unlink(missing_ok=True)  # it has no owner
        raise HermesError("A file can only be uploaded from the page.")
    try:
        stored = visitor.files.take(real)
    except HermesError:
        real.unlink(missing_ok=True)
        raise
    with contextlib.suppress(OSError):
        real.parent.rmdir()
    return stored


def rename_upload(visitor: Visitor, path: str, name: str) -> None:
    """Set the display name of an uploaded file.

    Raises:
        HermesError: The file was not uploaded by this visitor.
    """
    if path not in visitor.uploads or not visitor.files.owns(Path(path)):
        raise HermesError("This file was not uploaded here. Choose it again.")
    if name := display_name(name):
        visitor.uploads[path] = name


def drop_oldest_uploads(visitor: Visitor, most: int) -> list[Path]:
    """Forget all uploads except the `most` newest ones, and return the files to delete."""
    older = list(visitor.uploads)[:-most]
    for path in older:
        del visitor.uploads[path]
    return [Path(path) for path in older]
