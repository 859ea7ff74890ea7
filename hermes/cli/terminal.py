"""Standard streams of the commands: any encoding, closed streams, JSON and tables."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from hermes.tables import Table


def prepare_streams() -> None:
    """Make the standard streams accept any text (unencodable characters are escaped); closed streams become /dev/null."""
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            try:
                os.fstat(descriptor)
            except OSError:  # closed: otherwise the next opened file would get its descriptor
                _point_to_null(descriptor)
            # Stays open until the process ends, like the stream that it replaces.
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123
    for stream, errors in ((sys.stdin, "replace"), (sys.stdout, "backslashreplace"), (sys.stderr, "backslashreplace")):
        reconfigure = getattr(stream, "reconfigure", None)  # streams of tests may lack it
        if reconfigure is not None:
            reconfigure(errors=errors)


def discard_output() -> None:
    """Redirect standard output to /dev/null after its reader ended, so that Python does not report an error at exit."""
    _point_to_null(sys.stdout.fileno())


def _point_to_null(descriptor: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    if null != descriptor:
        os.dup2(null, descriptor)
        os.close(null)


def text_argument(value: str) -> str:
    """Argparse type for text: decode bytes that the locale cannot decode as UTF-8, else as Latin-1."""
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
    """Print a value as one line of JSON, escaped if the output is not UTF-8."""
    encoding = (getattr(sys.stdout, "encoding", None) or "ascii").lower().replace("-", "")
    print(json.dumps(value, ensure_ascii=encoding != "utf8"))


def print_table(table: Table) -> None:
    """Print a table: drawn by rich on a terminal, else as fixed-width text, which stays easy to parse."""
    if not sys.stdout.isatty():
        print(table.text())
        return
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415 - only for terminals
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table as RichTable  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    drawn = RichTable(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in table.columns:
        drawn.add_column(Text(column.title.strip()), justify=column.align)
    messages = []
    for row in table.rows:
        if len(row) < len(table.columns):
            messages.append(": ".join(cell.strip() for cell in row if cell.strip()))
        else:
            drawn.add_row(*(Text(cell.strip()) for cell in row))
    console = Console(highlight=False)
    console.print(drawn)
    for message in (*messages, *table.notes):
        console.print(Text(message))
