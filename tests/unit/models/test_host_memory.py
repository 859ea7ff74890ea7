"""Memory that many threads have used and freed returns to the operating system."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import threading, psutil
from hermes.host_memory import limit_arenas, trim
assert limit_arenas()
own = psutil.Process()
own.memory_info()
start = own.memory_info().rss
barrier = threading.Barrier(16)
kept = []
def work():
    barrier.wait()
    blocks = [bytes(60_000) for _ in range(100)]  # below the size for which malloc maps memory of its own
    kept.append(blocks[-1])
    barrier.wait()
threads = [threading.Thread(target=work) for _ in range(16)]
for thread in threads: thread.start()
for thread in threads: thread.join()
trim()
print(own.memory_info().rss - start)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc has these settings")
def test_freed_memory_returns():
    grown = int(subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True).stdout)
    assert grown < 0.2 * 16 * 100 * 60_000
