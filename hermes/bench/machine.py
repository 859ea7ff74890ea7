"""Memory and CPU time of processes, and a description of the machine, for measurements."""

from __future__ import annotations

import os
import platform
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from hermes.importing import IMPORTING


def rss_bytes() -> int:
    """Return the resident memory of this process in bytes."""
    return int(psutil.Process().memory_info().rss)


def peak_rss_bytes() -> int:
    """Return the peak resident memory of this process in bytes."""
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource  # noqa: PLC0415  (not on Windows)

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


def memory_bytes() -> int:
    """Return the total memory of this machine in bytes."""
    return int(psutil.virtual_memory().total)


def load_average() -> float | None:
    """Return the load average of the last minute; None if the system has none."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def describe_machine() -> dict[str, Any]:
    """Return processor, cores, memory and versions."""
    with IMPORTING:
        import torch  # noqa: PLC0415 - heavy
        import transformers  # noqa: PLC0415

    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "memory_bytes": memory_bytes(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def machine_sentence() -> str:
    """Describe the machine in a few words."""
    known = describe_machine()
    cores = f"{known['cores']} CPU core{'s' if known['cores'] != 1 else ''}"
    return f"{cores} ({known['processor']}), {known['gpu'] or 'no GPU'}, torch {known['torch']}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def rss_of(process: psutil.Process | None) -> int:
    """Resident bytes of a process and its children (None: 0). On Linux, shared pages count once."""
    total = 0
    for each in _family(process):
        with suppress(psutil.NoSuchProcess):  # a video decoder may end at any time
            memory = each.memory_full_info()
            total += getattr(memory, "pss", memory.rss)
    return total


def cpu_of(process: psutil.Process | None) -> float:
    """CPU seconds of a process and its children, including ended ones (None: 0)."""
    total = 0.0
    for each in _family(process):
        with suppress(psutil.NoSuchProcess):
            times = each.cpu_times()
            total += times.user + times.system
            if each == process:
                total += times.children_user + times.children_system
    return total


def _family(process: psutil.Process | None) -> list[psutil.Process]:
    return [] if process is None else [process, *process.children(recursive=True)]
