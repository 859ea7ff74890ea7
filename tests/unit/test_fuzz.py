"""Mutated files, with fixed seeds: each is rejected with a clear error or fully usable, within 1 GB and 10 s of CPU time.

`HERMES_FUZZ=10` mutates ten times as many, for changes to the readers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
TIMES = int(os.environ.get("HERMES_FUZZ", "1"))
"""Factor of the number of files."""


def fuzzed(script: str, count: int, seed: int) -> dict:
    command = [sys.executable, str(TESTS / script), str(count), str(seed)]
    paths = {"PYTHONPATH": os.pathsep.join((str(TESTS), str(TESTS.parent)))}
    done = subprocess.run(command, env=os.environ | paths, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("{"), done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert found["failures"] == [], found
    assert done.returncode == 0
    assert found["rejected"] + found["used"] == count
    return found


@pytest.mark.timeout(1800)
def test_mutated_runs_are_rejected_or_usable():
    found = fuzzed("fuzz_runs.py", 5000 * TIMES, 0)
    assert found["used"] > 500 * TIMES
    assert found["rejected"] > 3000 * TIMES


@pytest.mark.timeout(1800)
def test_mutated_sessions_are_rejected_or_usable():
    found = fuzzed("fuzz_sessions.py", 1000 * TIMES, 0)
    assert found["used"] > 100 * TIMES
    assert found["rejected"] > 600 * TIMES
