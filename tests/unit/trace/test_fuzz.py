"""Mutated files, with fixed seeds: each is rejected with a clear error or fully usable, within 1 GB and 10 s of CPU time.

`HERMES_FUZZ=10` mutates ten times as many, for changes to the readers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import preloaded
import pytest

TESTS = Path(__file__).parents[2]
TIMES = int(os.environ.get("HERMES_FUZZ", "1"))
"""Factor of the number of files."""


def checked(code: int | None, out: str, err: str, count: int) -> dict:
    """Return the report of a fuzzer that has found no failure."""
    assert out.startswith("{"), err[-3000:]
    found = json.loads(out)
    assert found["failures"] == [], found
    assert code == 0
    assert found["rejected"] + found["used"] == count
    return found


@pytest.mark.timeout(1800)
def test_mutated_runs_are_rejected_or_usable():
    command = [sys.executable, str(TESTS / "fuzz_runs.py"), str(5000 * TIMES), "0"]  # starts fast: it needs no torch
    paths = {"PYTHONPATH": os.pathsep.join((str(TESTS), str(TESTS.parent)))}
    done = subprocess.run(command, env=os.environ | paths, capture_output=True, text=True, check=False)
    found = checked(done.returncode, done.stdout, done.stderr, 5000 * TIMES)
    assert found["used"] > 500 * TIMES
    assert found["rejected"] > 3000 * TIMES


@pytest.mark.timeout(1800)
def test_mutated_sessions_are_rejected_or_usable(tmp_path):
    done = preloaded.run(TESTS / "fuzz_sessions.py", str(1000 * TIMES), "0", folder=tmp_path)
    found = checked(*done, 1000 * TIMES)
    assert found["used"] > 100 * TIMES
    assert found["rejected"] > 600 * TIMES
