"""Forks the test processes of pytest-xdist from one process that has imported torch, transformers and Gradio.

The imports would take each of them 12 s of CPU time. `conftest.py` starts the server, and `forked_worker.py` connects to it.

Arguments: the file descriptor of a listening socket. The server ends when its standard input is closed.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import threading
from contextlib import suppress
from importlib import import_module
from types import ModuleType

import preloaded

IMPORTED = (
    *preloaded.IMPORTED, "_pytest.assertion.rewrite", "hypothesis.strategies", "nbformat", "playwright.sync_api", "tiny",
    "torch.nn.utils.parametrizations", "xdist.remote",
)  # fmt: skip


def main(listening: int) -> None:
    """Fork a process for each connection; returns in the forked processes after their program, and at the end."""
    for name in IMPORTED:
        import_module(name)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, reap)
    listener = socket.socket(fileno=listening)
    while listener in select.select([listener, 0], [], [])[0]:
        connection, _ = listener.accept()
        program, (*streams,), *_ = socket.recv_fds(connection, 10_000, 3)
        if os.fork() == 0:
            listener.close()
            run(program.decode(), streams, connection)
            return
        connection.close()
        for stream in streams:
            os.close(stream)
    reap(options=0)


def reap(*_: object, options: int = os.WNOHANG) -> None:
    """Wait for processes that have ended: their CPU time becomes that of this process's children."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, options)[0]:
            pass


def run(program: str, streams: list[int], connection: socket.socket) -> None:
    """Run a program like `python -c` with three standard streams. The connection ends with this process, and the reverse."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - the server's has read ahead
    sys.argv = ["-c"]
    preloaded.fork_server()
    threading.Thread(target=end_with, args=(connection,), daemon=True).start()
    program_module = ModuleType("__main__")
    sys.modules["__main__"] = program_module  # `multiprocessing` would import this file in other processes
    exec(program, program_module.__dict__)  # noqa: S102 - the start of execnet


def end_with(connection: socket.socket) -> None:
    """Kill this process when the other end of a connection is closed: execnet has killed `forked_worker.py`."""
    connection.recv(1)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(int(sys.argv[1]))
