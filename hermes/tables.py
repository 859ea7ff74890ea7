"""Tables as data, and as fixed-width text. `hermes.cli.terminal.print_table` draws them on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        title: Header of the column.
        width: Minimum width in the text form, in characters, including the gap to the column before.
        align: Alignment of header and cells.
    """

    title: str
    width: int = 0
    align: Literal["left", "right"] = "right"

    def pad(self, cell: str) -> str:
        """Pad a cell to the width of the column."""
        return cell.ljust(self.width) if self.align == "left" else cell.rjust(self.width)


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        columns: The columns.
        rows: The cells of each row. A row with fewer cells than columns ends with a message, which may be wider than its
            column.
        notes: Lines below the table.
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()

    def text(self) -> str:
        """Format the table as fixed-width text."""
        head = "".join(column.pad(column.title) for column in self.columns)
        return "\n".join([head, *map(self.line, self.rows), *self.notes])

    def line(self, row: Sequence[str]) -> str:
        """Format one row as fixed-width text."""
        if len(row) < len(self.columns):
            *cells, message = row
            return "".join(column.pad(cell) for column, cell in zip(self.columns, cells, strict=False)) + message
        return "".join(column.pad(cell) for column, cell in zip(self.columns, row, strict=True)).rstrip()
