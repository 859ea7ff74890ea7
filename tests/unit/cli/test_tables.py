"""Tables of the command line: fixed-width text in a pipe, drawn by rich on a terminal."""

import io
import sys

import pytest

from hermes.cli.terminal import print_table
from hermes.tables import Column, Table

TABLE = Table(
    [Column("name", 10, "left"), Column("count", 7), Column("  note", align="left")],
    [("full", "1,000", "  kept"), ("[red]h2o", "not measured")],
    ["A note below."],
)


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


def test_text_has_fixed_columns():
    assert TABLE.text().splitlines() == [
        "name        count  note",
        "full        1,000  kept",
        "[red]h2o  not measured",
        "A note below.",
    ]


def test_a_pipe_gets_the_text(capsys):
    print_table(TABLE)
    assert capsys.readouterr().out == TABLE.text() + "\n"


def test_a_terminal_gets_every_cell_and_no_markup(monkeypatch):
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    monkeypatch.setenv("NO_COLOR", "1")
    print_table(TABLE)
    shown = terminal.getvalue()
    assert "─" in shown
    for cell in ("name", "count", "note", "full", "1,000", "kept", "[red]h2o: not measured", "A note below."):
        assert cell in shown


@pytest.mark.parametrize("width", ["200", "60"])
def test_a_narrow_terminal_still_shows_the_numbers(monkeypatch, width):
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    monkeypatch.setenv("COLUMNS", width)
    print_table(TABLE)
    assert "1,000" in terminal.getvalue()
