"""The one error that a video file can cause."""

from __future__ import annotations

from pathlib import PurePath

from hermes.errors import HermesError


class VideoError(HermesError):
    """A file that cannot be shown as a video; the message is one sentence that says why."""


def printable_name(path: PurePath) -> str:
    """Return the file's name with characters that cannot be printed or encoded replaced, for titles."""
    return "".join(c if c.isprintable() else "�" for c in path.name)


def display_name(path: PurePath) -> str:
    """Return the file's name in quotes, printable and at most 80 characters long, for messages."""
    name = printable_name(path)
    return f'"{name}"' if len(name) <= 80 else f'"{name[:60]}…{name[-19:]}"'
