"""Order of the tests, and settings of the environment. The fixtures that all tests share are in `shared_fixtures.py`."""

from __future__ import annotations

import gc
import os
import sys
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
    """Spare the garbage collector what was imported: half a million objects that it would visit in vain."""
    gc.collect()
    gc.freeze()
    gc.enable()
