"""Reader of Qt's compiled resource files (.rcc), which contain GCompris's photographs."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from hermes.errors import HermesError

_DIRECTORY, _ZLIB, _ZSTD = 2, 1, 4


def read_resources(path: Path) -> Iterator[tuple[str, bytes]]:
    """Names, with their folders, and contents of all files that are stored plainly or with zlib.

    Raises:
        HermesError: It is not such a file.
    """
    content = path.read_bytes()
    if content[:4] != b"qres":
        raise HermesError(f"{path} is not a Qt resource file.")
    version, tree, data, names = struct.unpack(">4I", content[4:20])
    size = 22 if version >= 2 else 14

    def name(offset: int) -> str:
        (length,) = struct.unpack(">H", content[names + offset : names + offset + 2])
        start = names + offset + 6
        return content[start : start + 2 * length].decode("utf-16-be")

    def walk(index: int, folder: str) -> Iterator[tuple[str, bytes]]:
        at = tree + index * size
        name_offset, flags = struct.unpack(">IH", content[at : at + 6])
        full = f"{folder}/{name(name_offset)}".lstrip("/") if index else ""
        if flags & _DIRECTORY:
            count, first = struct.unpack(">II", content[at + 6 : at + 14])
            for child in range(first, first + count):
                yield from walk(child, full)
        elif not flags & _ZSTD:
            (offset,) = struct.unpack(">I", content[at + 10 : at + 14])
            (length,) = struct.unpack(">I", content[data + offset : data + offset + 4])
            stored = content[data + offset + 4 : data + offset + 4 + length]
            yield full, zlib.decompress(stored[4:]) if flags & _ZLIB else stored

    yield from walk(0, "")
