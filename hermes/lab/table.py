"""A lab summary as tables for the command line, and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from hermes.formatting import format_bytes
from hermes.lab.summary import several_runs
from hermes.tables import Column, Table

ABOUT = ("policy", "title", "fidelity", "badge", "window", "budget", "share")
COLUMNS = (*ABOUT, "group", "questions", "accuracy", "low", "high", "guess")


WIDTH = 38  # of the column of policies


def sections(summary: dict[str, Any]) -> list[str | Table]:
    """The parts of the report for a terminal: setup, accuracy and memory, kinds and ages, comparisons, evidence."""
    parts: list[str | Table | None] = [_setup(summary), _cells(summary)]
    parts += [_groups(summary, sort) for sort in ("kind", "age")]
    parts += [_comparisons(summary), _evidence(summary), _expectations(summary)]
    return [part for part in parts if part]


def text(summary: dict[str, Any]) -> str:
    """Format the report as plain text."""
    return "\n\n".join(part.text() if isinstance(part, Table) else part for part in sections(summary))


def as_csv(summary: dict[str, Any]) -> str:
    """Format the accuracies as CSV: one row per policy, budget and group of questions."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for cell in summary["cells"]:
        for group in summary["groups"]:
            if (row := cell["accuracy"].get(group["id"])) is not None:
                numbers = (row["value"], row["low"], row["high"], group["guess"])
                about = [cell[name] for name in ABOUT]
                writer.writerow([*about, group["id"], group["n"], *numbers])
    return file.getvalue()


def label(cell: dict[str, Any]) -> str:
    """Label of a cell: its policy, whether it is untrained or a surrogate, and its share of the full cache."""
    name = cell["policy"] if cell["fidelity"] == "re-implemented" else f"{cell['policy']} ({cell['fidelity']})"
    return name if cell["budget"] is None else f"{name} {100 * cell['share']:.0f} %"


def _setup(summary: dict[str, Any]) -> str:
    setup = summary["setup"]
    return (
        f"{setup['streams']} streams of {setup['frames']} frames ({setup['frames_per_second']:g} per second, "
        f"{setup['tempo']}), seed {setup['seed']}, chunks of {setup['frames_per_chunk']} frames, {setup['questions']} "
        f"questions, model {setup['model']}\n"
        f"The full cache holds {setup['full_tokens']} video tokens per layer at the end of a stream."
    )


def _percent(row: dict[str, float] | None) -> str:
    return "–" if row is None else f"{100 * row['value']:.1f}"


def _cells(summary: dict[str, Any]) -> Table:
    columns = [
        Column("", WIDTH, "left"), Column("fidelity", 16, "left"), Column("all", 7), Column("memory", 9),
        Column("  95 % interval", 17, "left"), Column("window", 8), Column("resident", 9), Column("read", 7),
        Column("archive", 10), Column("moved", 9), Column("first token", 13),
    ]  # fmt: skip
    guess = {group["id"]: group["guess"] for group in summary["groups"]}
    levels = (f"{100 * guess['all']:.1f}", f"{100 * guess.get('memory', 0):.1f}")
    rows: list[Sequence[str]] = [["guess level", "", *levels, *[""] * 7]]
    for cell in summary["cells"]:
        if "error" in cell:
            rows.append(
                [label(cell), cell["fidelity"], f"not measured on {cell['streams_failed']} streams: {cell['error']}"]
            )
            continue
        accuracy, memory, times = cell["accuracy"], cell["memory"], cell["times"]
        row = accuracy.get("memory") or accuracy["all"]
        rows.append(
            [
                label(cell),
                cell["fidelity"],
                _percent(accuracy["all"]),
                _percent(accuracy.get("memory")),
                f"  {100 * row['low']:5.1f} – {100 * row['high']:5.1f}",
                "–" if cell["window"] is None else str(cell["window"]),
                f"{memory['resident_tokens']:.0f}",
                f"{memory['read_tokens']:.0f}",
                format_bytes(memory["archive_bytes"]),
                format_bytes(memory["moved_bytes"]),
                f"{times['first_token_ms']:.1f} ms",
            ]
        )
    notes = [
        "Accuracy in %. Window: tokens that a layer may hold. Resident, read: tokens per layer, mean. First token: median.",
        "Fidelity: re-implemented methods and baselines; untrained: published parts without their training; surrogate.",
    ]
    if several_runs(summary):
        notes.append(
            "Times come from several runs of the command under different loads; lab.json lists the run of each."
        )
    return Table(columns, rows, notes)


def _groups(summary: dict[str, Any], sort: str) -> Table | None:
    groups = [group for group in summary["groups"] if group["sort"] == sort]
    if not groups:
        return None
    first = "kind of question" if sort == "kind" else "age of the evidence, in frames"
    columns = [Column(first, WIDTH, "left"), *(Column(group["id"].removeprefix("age "), 11) for group in groups)]
    rows = [["guess level", *(f"{100 * group['guess']:.1f}" for group in groups)]]
    rows += [
        [label(cell), *(_percent(cell["accuracy"].get(group["id"])) for group in groups)]
        for cell in summary["cells"]
        if "error" not in cell
    ]
    rows.append(["questions", *(str(group["n"]) for group in groups)])
    return Table(columns, rows)


def _expectations(summary: dict[str, Any]) -> str:
    return "\n".join(
        f"{row['verdict']}: {row['claim']}: {100 * row['value']:.1f} ({100 * row['low']:.1f} – {100 * row['high']:.1f})"
        for row in summary["expectations"]
    )


def _evidence(summary: dict[str, Any]) -> Table | None:
    cells = [cell for cell in summary["cells"] if "error" not in cell]
    if not cells:
        return None
    outcomes = list(cells[0]["outcomes"])
    columns = [Column("wrong answers, by their evidence", WIDTH, "left"), *(Column(word, 15) for word in outcomes)]
    return Table(columns, [[label(cell), *(str(cell["outcomes"][word]) for word in outcomes)] for cell in cells])


def _comparisons(summary: dict[str, Any]) -> Table | None:
    compared = summary["comparisons"]
    if not compared:
        return None
    columns = [
        Column(f"minus {summary['setup']['reference']}", 24, "left"), Column("budget", 8),
        Column("  questions", 12, "left"), Column("points", 8), Column("  95 % interval", 18, "left"), Column("only it", 8),
        Column("only ref.", 10), Column("p", 9), Column("p (Holm)", 10),
    ]  # fmt: skip
    rows = [
        [
            row["policy"],
            str(row["budget"] or "–"),
            f"  {row['group']}",
            f"{100 * row['difference']:+.1f}",
            f"  {100 * row['low']:+6.1f} – {100 * row['high']:+6.1f}",
            str(row["only_policy"]),
            str(row["only_reference"]),
            f"{row['p']:.4f}",
            f"{row['p_holm']:.4f}",
        ]
        for row in compared
    ]
    note = (
        f"p: McNemar's exact test on questions; Holm: corrected for the {len(rows)} tests of this table. Intervals: "
        "bootstrap over streams."
    )
    return Table(columns, rows, [note])
