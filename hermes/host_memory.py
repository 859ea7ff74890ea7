"""Settings of glibc's heap: with its defaults, a server with many threads retains much memory that visitors have freed."""

from __future__ import annotations

import ctypes
import functools
import sys
from typing import Final

ARENAS: Final = 2
"""Heaps of the process; glibc's default is eight for each core."""
_M_ARENA_MAX: Final = -8


@functools.cache
def _glibc() -> ctypes.CDLL | None:
    """Return the C library if it is glibc, else None."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None


def limit_arenas() -> bool:
    """Limit the number of heaps, so that freed memory is reused. Call it before threads start.

    Returns:
        Whether the limit was set; False if the C library is not glibc.
    """
    library = _glibc()
    return library is not None and bool(library.mallopt(_M_ARENA_MAX, ARENAS))


def trim() -> bool:
    """Return freed memory to the operating system.

    Returns:
        Whether any memory was returned; False if the C library is not glibc.
    """
    library = _glibc()
    return library is not None and bool(library.malloc_trim(0))
