"""Readers and placed objects in this process, see `hermes.serving.interface`."""

from __future__ import annotations

from typing import Any

from hermes.errors import HermesError


class LocalReader:
    """Calls a reader directly, see `hermes.serving.interface.StreamReader`."""

    def __init__(self, stream: Any, reader: Any) -> None:
        """Attach `reader` to `stream`."""
        self._stream = stream
        self._reader = reader

    def call(self, method: str, *arguments: Any) -> Any:
        """Call `method(stream, *arguments)` of the reader."""
        return getattr(self._reader, method)(self._stream, *arguments)


class LocalObject:
    """An object in this process, see `hermes.serving.interface.PlacedObject`."""

    lost = False
    """Whether the process of the object has ended: never."""

    def __init__(self, placed: Any) -> None:
        """Call methods of `placed`."""
        self._placed = placed

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the object.

        Raises:
            HermesError: The object was discarded, or from the method.
        """
        placed = self._placed
        if placed is None:
            raise HermesError("This was closed.")
        return getattr(placed, method)(*arguments)

    def discard(self) -> None:
        """Drop the object."""
        self._placed = None
