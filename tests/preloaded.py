"""Python programs in separate processes that need not import torch, transformers and Gradio: they are forked from a process
that has imported them once, which saves four to nine seconds of CPU time for each.

Programs whose imports are tested, or that read the environment when they import, are started with `subprocess` instead.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from multiprocessing import forkserver, resource_tracker, util
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from unittest.mock import patch

from patience import PATIENCE

ROOT = Path(__file__).parents[1]
IMPORTED = ["preloaded_modules"]


@cache
def context() -> Any:
    """Start the process that forks the others, which ends with this one.

    Returns:
        Its context of `multiprocessing`. Others that start processes with "forkserver" fork them from it, too.
    """
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(IMPORTED)
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join((str(ROOT), str(ROOT / "tests")))
    try:
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
    return found


def fork_server() -> None:
    """Fork the process of `context` from this one, which has imported the modules, instead of starting a program."""

    def fork(_executable: str, arguments: Sequence[str], kept: Sequence[int]) -> int:
        process = os.fork()
        if process == 0:
            null = os.open(os.devnull, os.O_RDWR)
            for number in range(3):  # tests fail processes on purpose
                os.dup2(null, number)
            last = 2
            for number in (*sorted(kept), os.sysconf("SC_OPEN_MAX")):
                os.closerange(last + 1, number)
                last = number
            try:
                exec(arguments[-1], {"__name__": "__main__"})  # noqa: S102 - the program of `multiprocessing`
            finally:
                os._exit(0)
        return process

    with patch.dict(os.environ, PYTHONWARNINGS="ignore:resource_tracker"):  # tests kill processes that have semaphores
        resource_tracker.ensure_running()
    with patch.object(util, "spawnv_passfds", fork):
        context()


def start(
    program: Path | str,
    *arguments: str,
    folder: Path,
    out: Path,
    err: Path | None = None,
    encoding: str = "utf-8",
    **environment: str,
) -> BaseProcess:
    """Do what `python PROGRAM ARGUMENT...` does, or `python -m PROGRAM ARGUMENT...` if it is the name of a module.

    Args:
        program: File or module.
        *arguments: Its arguments.
        folder: Working directory.
        out: File of its output.
        err: File of its errors; `out` if it is None.
        encoding: Encoding of its output and errors.
        **environment: Variables that are added to those of this process.

    Returns:
        The process, which leads a session of its own.
    """
    given = (str(program), arguments, str(folder), str(out), str(err or out), encoding, dict(os.environ) | environment)
    process: BaseProcess = context().Process(target=_run, args=(isinstance(program, Path), *given))
    process.start()
    return process


def run(
    program: Path | str, *arguments: str, folder: Path, encoding: str = "utf-8", **environment: str
) -> tuple[int | None, str, str]:
    """Run a program to its end, as `start` does; returns its exit code, output and errors.

    `folder` is its working directory, which also gets the files of its output.
    """
    out, err = folder / "program.out", folder / "program.err"
    process = start(program, *arguments, folder=folder, out=out, err=err, encoding=encoding, **environment)
    process.join(8 * PATIENCE)
    code = process.exitcode
    if code is None:
        process.kill()
    return code, out.read_text("utf-8"), err.read_text("utf-8")


def _run(
    is_file: bool,
    program: str,
    arguments: tuple[str, ...],
    folder: str,
    out: str,
    err: str,
    encoding: str,
    environment: Mapping[str, str],
) -> None:
    if "gradio" not in sys.modules or "torch" not in sys.modules:
        sys.exit("The modules were not imported beforehand.")
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # tests that run in the background of a shell ignore it
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for name, number in ((os.devnull, 0), (out, 1), (err, 2)):
        flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
        opened = os.open(name, flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - multiprocessing has closed it
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding=encoding, line_buffering=True)  # type: ignore[attr-defined]
    sys.argv = [program, *arguments]
    if is_file:
        sys.path.insert(0, str(Path(program).parent))
        runpy.run_path(program, run_name="__main__")
    else:
        runpy.run_module(program, run_name="__main__", alter_sys=True)
