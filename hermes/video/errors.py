"""The exception for video files that cannot be decoded."""

from __future__ import annotations

from pathlib import PurePath

from hermes.errors import HermesError


class VideoError(HermesError):
    """A file cannot be decoded as a video. The message is one sentence that states the reason."""


class DecoderUnavailableError(VideoError):
    """No decoder process can be started for a file; the reason is not the file."""


def printable_name(path: PurePath) -> str:
    """Return the file's name with characters that cannot be printed or encoded replaced, for titles."""
    return "".join(c if c.isprintable() else "�" for c in path.name)


def display_name(path: PurePath) -> str:
    """Return the file's name in quotes, printable and at most 80 characters long, for messages."""
    name = printable_name(path)
    return f'"{name}"' if len(name) <= 80 else f'"{name[:60]}…{name[-19:]}"'
