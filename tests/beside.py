"""Work in another thread than the test's."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def beside(work: Callable[[], T]) -> T:
    """Run `work` in a thread, because the browser tests of the same process keep an event loop running in theirs."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()
