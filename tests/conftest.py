"""Order of the tests, and settings of the environment. The fixtures that all tests share are in `shared_fixtures.py`."""

from __future__ import annotations

import gc
import os
import shlex
import socket
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny models: threads only wait for each other
os.environ.setdefault("OPENCV_FOR_THREADS_NUM", "1")  # small pictures: the same
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("SSL_CERT_DIR", str(Path(__file__).parent / "data"))  # no certificates: HTTP clients start faster
sys.path.insert(0, str(Path(__file__).parent))


def pytest_configure(config):
    """Load the shared fixtures, except in the process that only distributes tests: they import torch and transformers."""
    if hasattr(config, "workerinput") or config.getoption("dist", "no") == "no":
        gc.disable()  # until the tests have been collected: a sixth of the time of the imports
        config.pluginmanager.import_plugin("shared_fixtures")
    elif set(config.option.tx) == {"popen"}:
        _fork_workers(config)


def _fork_workers(config):
    """Let pytest-xdist start its processes with `forked_worker.py`."""
    folder = tempfile.TemporaryDirectory(prefix="workers-")
    config.add_cleanup(folder.cleanup)
    os.environ["HERMES_WORKER_SERVER"] = str(Path(folder.name) / "socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.environ["HERMES_WORKER_SERVER"])
        listener.listen()
        tests = Path(__file__).parent
        path = os.pathsep.join((str(tests.parent), str(tests), *filter(None, [os.environ.get("PYTHONPATH")])))
        server = subprocess.Popen(
            [sys.executable, str(tests / "worker_server.py"), str(listener.fileno())],
            stdin=subprocess.PIPE,
            pass_fds=[listener.fileno()],
            env=os.environ | {"PYTHONPATH": path},
        )
    config.add_cleanup(server.wait)
    config.add_cleanup(server.stdin.close)
    python = shlex.join((sys.executable, "-S", "-E", str(tests / "forked_worker.py")))
    config.option.tx = [f"popen//python={python}"] * len(config.option.tx)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """Distribute the files of browser tests among the others: a process that waits for a page leaves its core to another."""
    if not hasattr(config, "workerinput"):
        return
    files = defaultdict(list)
    for item in items:
        files[item.path].append(item)
    browser = [path for path in files if path.parent.name == "e2e"]
    others = [path for path in files if path.parent.name != "e2e"]
    places = {path: number / len(group) for group in (browser, others) for number, path in enumerate(group)}
    items[:] = [item for path in sorted(places, key=places.__getitem__) for item in files[path]]


def pytest_collection_finish():
    """Exclude the half a million imported objects from garbage collection."""
    gc.collect()
    gc.freeze()
    gc.enable()
