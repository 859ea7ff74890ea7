"""What commands read from and print to a terminal, a pipe or nothing, in whatever encoding."""

from __future__ import annotations

import json
import os
import sys
from typing import Any


def prepare_streams() -> None:
    """Let the standard streams take any text: what their encoding lacks is escaped; a closed stream becomes /dev/null."""
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            try:
                os.fstat(descriptor)
            except OSError:  # closed: else the next file opened would receive what is printed
                _point_to_null(descriptor)
            # The file lives as long as the process, as the stream that it stands for.
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123
    for stream, errors in ((sys.stdin, "replace"), (sys.stdout, "backslashreplace"), (sys.stderr, "backslashreplace")):
        reconfigure = getattr(stream, "reconfigure", None)  # a test's stream may lack it
        if reconfigure is not None:
            reconfigure(errors=errors)


def discard_output() -> None:
    """Let standard output lead nowhere: its reader is gone, and Python would complain at exit."""
    _point_to_null(sys.stdout.fileno())


def _point_to_null(descriptor: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    if null != descriptor:
        os.dup2(null, descriptor)
        os.close(null)


def text_argument(value: str) -> str:
    """An argument that is text, for argparse's `type`: bytes that the locale cannot decode are UTF-8, else Latin-1."""
    try:
        value.encode()
    except UnicodeEncodeError:
        try:
            data = os.fsencode(value)
        except UnicodeEncodeError:
            return value.encode(errors="replace").decode()
        try:
            return data.decode()
        except UnicodeDecodeError:
            return data.decode("latin-1")
    return value


def print_json(value: Any) -> None:
    """Print a value as one line of JSON that is valid in any encoding of the terminal."""
    encoding = (getattr(sys.stdout, "encoding", None) or "ascii").lower().replace("-", "")
    print(json.dumps(value, ensure_ascii=encoding != "utf8"))
