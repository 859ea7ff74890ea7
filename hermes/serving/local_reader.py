"""A reader of a stream, recorded run or clip in this process."""

from __future__ import annotations

from typing import Any


class LocalReader:
    """Calls a reader directly, see `hermes.serving.interface.StreamReader`."""

    def __init__(self, stream: Any, reader: Any) -> None:
        """Attach `reader` to `stream`."""
        self._stream = stream
        self._reader = reader

    def call(self, method: str, *arguments: Any) -> Any:
        """Call `method(stream, *arguments)` of the reader."""
        return getattr(self._reader, method)(self._stream, *arguments)
