"""Time from starting app.py to its first response, and until the bundled model is ready: python tests/measure_startup.py"""

from __future__ import annotations

import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 5


def measure() -> tuple[float, float]:
    """Return seconds to the first response and to the ready model."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryFile("w+") as log, tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "app.py"), "--port", str(port)],
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | {"HF_HUB_OFFLINE": "1", "GRADIO_TEMP_DIR": folder, "PYTHONUNBUFFERED": "1"},
        )
        try:
            while True:
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as page:
                        page.read()
                    break
                except (urllib.error.URLError, ConnectionError):
                    if process.poll() is not None:
                        raise SystemExit("app.py ended") from None
                    time.sleep(0.02)
            first = time.perf_counter() - began
            while True:
                log.seek(0)
                if re.search(r"loaded HERMES pocket", log.read()):
                    return first, time.perf_counter() - began
                time.sleep(0.02)
        finally:
            process.terminate()
            process.wait(30)


def main() -> None:
    """Print medians."""
    rounds = [measure() for _ in range(ROUNDS)]
    first, ready = (statistics.median(column) for column in zip(*rounds, strict=True))
    load = os.getloadavg()[0]
    sys.stdout.write(
        f"first response {first:.1f} s, model ready {ready:.1f} s (medians of {ROUNDS}, load {load:.1f})\n"
    )


if __name__ == "__main__":
    main()
