"""Blocks: named arrays and a JSON value in one compressed piece of bytes. No pickle; sizes are checked before they count.

A block is XZ-compressed. Inside: the length of a JSON head (uint32), the head `{"meta": …, "arrays": [[name, type,
shape], …]}`, then the arrays' little-endian bytes one after the other.
"""

from __future__ import annotations

import json
import lzma
import math
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hermes.errors import HermesError

Array = npt.NDArray[Any]

TYPES = ("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "float16", "float32", "float64")
LARGEST_BLOCK = 256_000_000
"""Bytes that one block may unfold into; a half-hour run's largest takes about 2 MB."""
_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 4 << 20}]
_HEAD = struct.Struct("<I")


class TraceError(HermesError):
    """A file that is no recorded run, is damaged, or was written by a newer version."""


class DamagedError(TraceError):
    """Something inside a recorded run does not fit together."""


def pack(meta: Any, arrays: Mapping[str, Array]) -> bytes:
    """Meta (anything that JSON can hold) and arrays as one block; integers are stored as narrow as they are."""
    parts = {name: _narrow(np.asarray(values)) for name, values in arrays.items()}
    listed = [[name, values.dtype.name, list(values.shape)] for name, values in parts.items()]
    head = json.dumps({"meta": meta, "arrays": listed}, ensure_ascii=False, separators=(",", ":")).encode()
    body = b"".join(values.astype(values.dtype.newbyteorder("<")).tobytes() for values in parts.values())
    return lzma.compress(_HEAD.pack(len(head)) + head + body, check=lzma.CHECK_CRC32, filters=_FILTERS)


def unpack(data: bytes) -> tuple[Any, dict[str, Array]]:
    """What `pack` was given; integer arrays may have a narrower type than they had.

    Raises:
        DamagedError: It is no block, or unfolds into more than `LARGEST_BLOCK` bytes.
    """
    raw = _decompress(data)
    try:
        (length,) = _HEAD.unpack_from(raw)
        head = json.loads(raw[_HEAD.size : _HEAD.size + length])
        at = _HEAD.size + length
        arrays: dict[str, Array] = {}
        for name, kind, shape in head["arrays"]:
            if kind not in TYPES or any(type(side) is not int or side < 0 for side in shape):
                raise DamagedError(f"“{name}” has a form that is not known.")
            count = math.prod(shape)
            dtype = np.dtype(kind).newbyteorder("<")
            arrays[name] = np.frombuffer(raw, dtype, count, at).reshape(shape).astype(kind, copy=False)
            at += count * dtype.itemsize
        return head["meta"], arrays
    except (struct.error, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedError("A part of it cannot be read.") from error


def _decompress(data: bytes) -> bytes:
    try:
        reader = lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=64 << 20)
        raw = reader.decompress(data, LARGEST_BLOCK)
    except (lzma.LZMAError, EOFError) as error:
        raise DamagedError("A part of it cannot be unpacked.") from error
    if not reader.eof:
        raise DamagedError("A part of it breaks off, or is too large.")
    return raw


def _narrow(values: Array) -> Array:
    """An integer array in the narrowest type that holds it."""
    if values.dtype.kind not in "iu" or not values.size:
        return values
    low, high = int(values.min()), int(values.max())
    for kind in ("uint8", "int8", "int16", "int32"):
        limits = np.iinfo(kind)
        if limits.min <= low and high <= limits.max:
            return values.astype(kind)
    return values
