"""Blocks: named arrays and a JSON value as compressed bytes, without pickle.

A block is XZ-compressed. Inside: the length of a JSON head (uint32), the head `{"meta": …, "arrays": [[name, type,
shape], …]}`, then the arrays' little-endian bytes one after the other. The XZ index declares how many bytes a block
expands to; a reader charges them before it decompresses and never decompresses more.
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
from hermes.files.checks import parse_json
from hermes.files.limits import RUN_LIMITS, FileTooLargeError, MemoryBudget

Array = npt.NDArray[Any]

TYPES = ("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "float16", "float32", "float64")
MAX_ARRAYS = 64
LARGEST_SIDE = 1 << 40
DECODER_BYTES = 64 << 20
"""Memory that the XZ decoder itself may use."""
_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 4 << 20}]
_HEAD = struct.Struct("<I")
_FOOTER = struct.Struct("<IIH2s")


class TraceError(HermesError):
    """A file that is not a recorded run, is damaged, or has another format version."""


class DamagedError(TraceError):
    """The parts of a recorded run cannot be read or are inconsistent."""


def pack(meta: Any, arrays: Mapping[str, Array]) -> bytes:
    """Pack a JSON value and arrays into a block; integers are stored in the narrowest type that holds them."""
    parts = {name: _narrow(np.asarray(values)) for name, values in arrays.items()}
    listed = [[name, values.dtype.name, list(values.shape)] for name, values in parts.items()]
    head = json.dumps({"meta": meta, "arrays": listed}, ensure_ascii=False, separators=(",", ":")).encode()
    body = b"".join(values.astype(values.dtype.newbyteorder("<")).tobytes() for values in parts.values())
    return lzma.compress(_HEAD.pack(len(head)) + head + body, check=lzma.CHECK_CRC32, filters=_FILTERS)


def unpack(data: bytes, budget: MemoryBudget | None = None) -> tuple[Any, dict[str, Array]]:
    """Unpack a block; integer arrays may have a narrower type than before `pack`.

    Args:
        data: The block.
        budget: Charged with the declared size of the block; None if it was charged before.

    Raises:
        DamagedError: The data is not a block, or its content does not match its head.
        FileTooLargeError: The block exceeds the budget.
    """
    size = declared_size(data)
    if budget is not None:
        budget.charge(size)
    raw = _decompress(data, size)
    if len(raw) < _HEAD.size:
        raise DamagedError("A block has no head.")
    (length,) = _HEAD.unpack_from(raw)
    at = _HEAD.size + length
    head = parse_json(raw[_HEAD.size : at], RUN_LIMITS.json_bytes, "head of a block")
    arrays: dict[str, Array] = {}
    try:
        if len(head["arrays"]) > MAX_ARRAYS:
            raise DamagedError("A block lists too many arrays.")
        for name, kind, shape in head["arrays"]:
            if kind not in TYPES or any(type(side) is not int or not 0 <= side <= LARGEST_SIDE for side in shape):
                raise DamagedError("An array of a block has an unknown type or shape.")
            count = math.prod(shape)
            dtype = np.dtype(kind).newbyteorder("<")
            if name in arrays or not isinstance(name, str) or count * dtype.itemsize > len(raw) - at:
                raise DamagedError("The arrays of a block do not match its head.")
            arrays[name] = np.frombuffer(raw, dtype, count, at).reshape(shape).astype(kind, copy=False)
            if kind == "bool":
                _check_bools(arrays[name])
            at += count * dtype.itemsize
        meta = head["meta"]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise DamagedError("The head of a block is invalid.") from error
    if at != len(raw):
        raise DamagedError("The arrays of a block do not match its head.")
    return meta, arrays


def declared_size(data: bytes) -> int:
    """Return the uncompressed size of a block in bytes, as declared by the index of its XZ stream.

    Raises:
        DamagedError: It is not one XZ stream with an index.
        FileTooLargeError: It exceeds the limit of one block.
    """
    if len(data) < 2 * _FOOTER.size or not data.startswith(b"\xfd7zXZ\0"):
        raise DamagedError("A block is not XZ-compressed.")
    _, backward, _, magic = _FOOTER.unpack(data[-_FOOTER.size :])
    start = len(data) - _FOOTER.size - (backward + 1) * 4
    if magic != b"YZ" or start < _FOOTER.size or data[start] != 0:
        raise DamagedError("A block ends early.")
    index = data[start + 1 : -_FOOTER.size]
    records, at = _variable_length(index, 0)
    size = 0
    for _ in range(records):
        _, at = _variable_length(index, at)
        uncompressed, at = _variable_length(index, at)
        size += uncompressed
    if size > RUN_LIMITS.block_bytes:
        raise FileTooLargeError(f"A block expands to more than {RUN_LIMITS.block_bytes // 1_000_000} MB.")
    return size


def _variable_length(data: bytes, at: int) -> tuple[int, int]:
    """Parse a variable-length integer of the XZ index; returns it with the position after it."""
    value = 0
    for i, byte in enumerate(data[at : at + 9]):
        value |= (byte & 127) << (7 * i)
        if byte < 128:
            return value, at + i + 1
    raise DamagedError("The index of a block is invalid.")


def _decompress(data: bytes, size: int) -> bytes:
    """Decompress a block to exactly `size` bytes; never more are allocated."""
    try:
        reader = lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=DECODER_BYTES)
        raw = reader.decompress(data, size)
        if not reader.eof:  # the decoder may stop before it has read the stream's end
            raw += reader.decompress(b"", 1)
    except (lzma.LZMAError, EOFError, MemoryError) as error:
        raise DamagedError("A block cannot be decompressed.") from error
    if not reader.eof or reader.unused_data or len(raw) != size:
        raise DamagedError("A block is incomplete or does not have its declared size.")
    return raw


def _check_bools(values: Array) -> None:
    if values.size and values.view(np.uint8).max() > 1:
        raise DamagedError("An array of a block has values that are not bools.")


def _narrow(values: Array) -> Array:
    """Convert an integer array to the narrowest type that holds it."""
    if values.dtype.kind not in "iu" or not values.size:
        return values
    low, high = int(values.min()), int(values.max())
    for kind in ("uint8", "int8", "int16", "uint16", "int32"):
        limits = np.iinfo(kind)
        if limits.min <= low and high <= limits.max:
            return values.astype(kind)
    return values
