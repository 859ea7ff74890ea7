"""Measures the CPU time of the tests: `PYTHONPATH=tests python -m pytest -p measure_cpu [ARGUMENTS OF PYTEST]`.

It counts the test processes and all processes that they start, and depends little on the load of the machine.
"""

from __future__ import annotations

import contextlib
import os
import resource
from collections import Counter, defaultdict
from collections.abc import Iterator

import psutil
import pytest

FILES = 25
"""Files in the summary."""
SLOWEST = 3
"""Tests in the summary of each file."""
cpu = pytest.StashKey[float]()


def descendants(pid: int) -> Iterator[int]:
    """Process ids of all descendants, on Linux. psutil reads all processes instead, which takes 5 ms for each test."""
    with contextlib.suppress(OSError):  # a process or thread that has ended
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - half a million paths in a run
            with open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as file:  # noqa: PTH123
                children = [int(child) for child in file.read().split()]
            for child in children:
                yield child
                yield from descendants(child)


def cpu_seconds() -> float:
    """CPU time of this process and its descendants so far, in seconds."""
    total = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        total += usage.ru_utime + usage.ru_stime
    for child in descendants(os.getpid()):
        with contextlib.suppress(psutil.Error):
            total += sum(psutil.Process(child).cpu_times()[:4])
    return total


def forked_from() -> float:
    """CPU time of the process from which the test processes were forked, in seconds."""
    total = 0.0
    for child in descendants(os.getpid()):
        with contextlib.suppress(psutil.Error):
            total += sum(psutil.Process(child).cpu_times()[:2])
    return total


def pytest_configure(config):
    config.stash[cpu] = 0.0  # what the first test reports includes the imports


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    if report.when == "teardown":
        before, item.config.stash[cpu] = item.config.stash[cpu], cpu_seconds()
        report.cpu_seconds = max(0.0, item.config.stash[cpu] - before)  # orphans end uncounted
    return report


def pytest_terminal_summary(terminalreporter):
    tests = defaultdict(Counter)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "cpu_seconds", None) is not None:
                file, _, test = report.nodeid.partition("::")
                tests[file][test] += report.cpu_seconds
    write = terminalreporter.write_line
    totals = Counter({file: counted.total() for file, counted in tests.items()})
    if terminalreporter.config.getoption("dist", "no") != "no":
        totals["imports before the test processes were forked"] = forked_from()
    write(f"CPU time: {totals.total() / 60:.1f} minutes")
    for file, seconds in totals.most_common(FILES):
        write(f"{seconds:8.1f} s  {file}")
        for test, part in tests[file].most_common(SLOWEST):
            write(f"{part:12.1f} s  {test}")
