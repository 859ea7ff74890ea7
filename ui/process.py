"""The settings of the server's process: how it stops, and how it uses memory."""

from __future__ import annotations

import signal
from typing import NoReturn

from hermes.host_memory import limit_arenas


def interrupt_imports() -> None:
    """Let Ctrl-C end the process without a traceback until `prepare_process` is called."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def prepare_process() -> None:
    """Stop on SIGTERM as on Ctrl-C, so that the visitors' files are deleted, and reuse freed memory. Call it first."""
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    limit_arenas()


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt
