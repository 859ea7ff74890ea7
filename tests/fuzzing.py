"""Structured mutations of decoded files, for the fuzzers `fuzz_runs.py` and `fuzz_sessions.py`."""

from __future__ import annotations

import copy
import json
import math
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

CPU_SECONDS = 10
"""CPU time that one mutated file may take, all its views included."""
ADDRESS_SPACE = 4_000_000_000
PEAK_BYTES = 1_000_000_000
"""Resident memory that the whole batch may reach."""

ODD_NUMBERS = (
    0, -1, 1, 2, 3, 7, 255, 256, 32767, -32768, 65536, 2**31, -(2**31), 2**53, 2**53 + 1, 2**63, 2**64, 10**30, 10**400,
    0.5, -0.5, 1e-300, 1e18, 1e300, -1e300, math.nan, math.inf, -math.inf,
)  # fmt: skip
ODD_VALUES = (
    *ODD_NUMBERS, None, True, False, "", "x", "\ud800", "\0", "é" * 3, "1", "nan", "../../etc/passwd", "<script>", [], {},
    [[]], [None], {"": {}}, [1, 2], [1, 2, 3],
)  # fmt: skip


def odd_value(rng: Random) -> Any:
    """A value that does not belong where it is put."""
    kind = rng.random()
    if kind < 0.85:
        return copy.deepcopy(rng.choice(ODD_VALUES))
    if kind < 0.9:
        return "long " * 100_000
    if kind < 0.95:
        return list(range(rng.choice((100, 100_000))))
    nested: Any = 0
    for _ in range(rng.choice((10, 250))):
        nested = [nested] if rng.random() < 0.5 else {"a": nested}
    return nested


def paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Return the paths of all values inside a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*at, key)
        yield from paths(inner, (*at, key))


def mutate_json(value: Any, rng: Random) -> Any:
    """Return a copy of a JSON value with one defect: a value replaced, removed, duplicated, swapped or changed slightly."""
    value = copy.deepcopy(value)
    places = list(paths(value))
    if not places or rng.random() < 0.02:
        return odd_value(rng)
    *above, key = rng.choice(places)
    parent = value
    for step in above:
        parent = parent[step]
    kind = rng.random()
    if kind < 0.5:
        parent[key] = odd_value(rng)
    elif kind < 0.65:
        del parent[key]
    elif kind < 0.75:
        if isinstance(parent, list):
            parent.insert(rng.randrange(len(parent) + 1), copy.deepcopy(parent[key]))
        else:
            parent[f"{key}x"] = parent.pop(key)
    elif kind < 0.85:
        other = rng.choice(list(parent) if isinstance(parent, dict) else range(len(parent)))
        parent[key], parent[other] = parent[other], parent[key]
    elif isinstance(parent[key], int | float) and not isinstance(parent[key], bool):
        parent[key] = parent[key] + rng.choice((-1, 1, 0.5, -parent[key], 1000))
    elif isinstance(parent[key], str | list):
        parent[key] = parent[key][: len(parent[key]) // 2]
    return value


def mutate_array(values: np.ndarray, rng: Random) -> np.ndarray:  # noqa: PLR0911 - one for each kind
    """Return a copy of an array with unusual values, another type, or another shape."""
    kind = rng.random()
    if kind < 0.5 and values.size:
        out = values.copy().reshape(-1)
        for _ in range(rng.choice((1, 1, 1, 3, out.size))):
            out[rng.randrange(out.size)] = _fitting(rng, out.dtype)
        return out.reshape(values.shape)
    if kind < 0.6:
        return values.astype(rng.choice(("float32", "float64", "int64", "int8", "bool", "float16", "uint8")))
    if kind < 0.7:
        return values.reshape(-1) if values.ndim != 1 else values[None]
    if kind < 0.8 and values.size:
        return np.repeat(values, rng.choice((2, 3, 100)), axis=rng.randrange(values.ndim)) if values.ndim else values
    if kind < 0.9 and values.ndim:
        axis = rng.randrange(values.ndim)
        return np.take(values, range(max(0, values.shape[axis] - rng.choice((1, 2, 10**6)))), axis=axis)
    if kind < 0.95 and values.ndim:
        return np.flip(values, axis=rng.randrange(values.ndim)).copy()
    return np.zeros([0] * max(values.ndim, 1), values.dtype)


def _fitting(rng: Random, dtype: np.dtype) -> Any:
    """Return an unusual number that an array of this type can contain."""
    if dtype.kind == "b":
        return rng.random() < 0.5
    if dtype.kind == "f":
        return rng.choice(
            (math.nan, math.inf, -math.inf, -1.0, 0.0, 1e30 if dtype.itemsize > 2 else 6e4, 0.5, 1e9 % 6e4)
        )
    limits = np.iinfo(dtype)
    return rng.choice((limits.min, limits.max, 0, max(-1, limits.min), 1, rng.randrange(0, 20)))


def mutate_bytes(data: bytes, rng: Random) -> bytes:
    """A copy of bytes cut, lengthened, emptied, or with some bits changed."""
    kind = rng.random()
    if kind < 0.3:
        return data[: rng.randrange(len(data) + 1)]
    if kind < 0.4:
        return data + rng.randbytes(rng.choice((1, 12, 1000)))
    if kind < 0.45:
        return b""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 4, 64))):
        if out:
            out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


@contextmanager
def _limited() -> Iterator[None]:
    """Raise `TimeoutError` in a case that takes too much CPU time."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"more than {CPU_SECONDS} s of CPU time")

    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def peak_resident_bytes() -> int:
    """Peak resident memory of this program. `ru_maxrss` would include that of the process that started it."""
    status = Path("/proc/self/status").read_text("ascii", errors="replace")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


def run_cases(count: int, seed: int, case: Callable[[Random], str]) -> None:
    """Run cases with different seeds, print their results as JSON, and exit with 1 if one failed.

    Args:
        count: How many.
        seed: The first case's seed.
        case: Makes a mutated file and reads it: "rejected" or "used". Any exception is a failure.
    """
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    outcomes: Counter[str] = Counter()
    failures, slowest = [], 0.0
    for number in range(seed, seed + count):
        began = time.process_time()
        try:
            with _limited():
                outcomes[case(Random(number))] += 1  # noqa: S311 - seeds make cases repeatable
        except Exception as error:  # noqa: BLE001 - the fuzzer looks for any exception
            failures.append(f"seed {number}: {type(error).__name__}: {str(error)[:300]}")
        slowest = max(slowest, time.process_time() - began)
    peak = peak_resident_bytes()
    if peak > PEAK_BYTES:
        failures.append(f"the batch took {peak / 1e6:.0f} MB")
    found = {"failures": failures[:20], "failed": len(failures), "slowest": slowest, "peak": peak}
    sys.stdout.write(json.dumps({**outcomes, **found}) + "\n")
    sys.exit(bool(failures))
