"""A summary as text for a terminal, and as CSV."""

from __future__ import annotations

import csv
import io
from typing import Any

from hermes.formatting import format_bytes
from hermes.lab.summary import several_runs

COLUMNS = ("policy", "budget", "share", "group", "questions", "accuracy", "low", "high", "guess")


def text(summary: dict[str, Any]) -> str:
    """The summary as tables of text: accuracy and memory, kinds and ages, comparisons."""
    parts = [_setup(summary), _cells(summary)]
    parts += [_groups(summary, sort) for sort in ("kind", "age")]
    parts += [_comparisons(summary), _fates(summary), _expectations(summary)]
    return "\n\n".join(part for part in parts if part)


def as_csv(summary: dict[str, Any]) -> str:
    """One row for each policy, budget and group of questions."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for cell in summary["cells"]:
        for group in summary["groups"]:
            if (row := cell["accuracy"].get(group["id"])) is not None:
                numbers = (row["value"], row["low"], row["high"], group["guess"])
                writer.writerow([cell["policy"], cell["budget"], cell["share"], group["id"], group["n"], *numbers])
    return file.getvalue()


def label(cell: dict[str, Any]) -> str:
    """A cell in words: its policy, and its share of the full cache."""
    return cell["policy"] if cell["budget"] is None else f"{cell['policy']} {100 * cell['share']:.0f} %"


def _setup(summary: dict[str, Any]) -> str:
    setup = summary["setup"]
    return (
        f"{setup['streams']} streams of {setup['frames']} frames ({setup['frames_per_second']:g} a second, "
        f"{setup['tempo']}), seed {setup['seed']}, {setup['questions']} questions, model {setup['model']}\n"
        f"The full cache holds {setup['full_tokens']} video tokens a layer at a stream's end."
    )


def _percent(row: dict[str, float] | None) -> str:
    return "–" if row is None else f"{100 * row['value']:.1f}"


def _cells(summary: dict[str, Any]) -> str:
    head = (
        f"{'':34}{'all':>7}{'memory':>9}  {'95 % interval':15}{'resident':>9}{'read':>7}{'archive':>10}{'moved':>9}"
        f"{'first token':>13}"
    )
    lines = [head]
    guess = {group["id"]: group["guess"] for group in summary["groups"]}
    lines.append(f"{'guess level':34}{100 * guess['all']:7.1f}{100 * guess.get('memory', 0):9.1f}")
    for cell in summary["cells"]:
        if "error" in cell:
            lines.append(f"{label(cell):34}not measured on {cell['streams_failed']} streams: {cell['error']}")
            continue
        accuracy, memory, times = cell["accuracy"], cell["memory"], cell["times"]
        row = accuracy.get("memory") or accuracy["all"]
        lines.append(
            f"{label(cell):34}{_percent(accuracy['all']):>7}{_percent(accuracy.get('memory')):>9}  "
            f"{100 * row['low']:5.1f} – {100 * row['high']:5.1f}  {memory['resident_tokens']:9.0f}"
            f"{memory['read_tokens']:7.0f}{format_bytes(memory['archive_bytes']):>10}{format_bytes(memory['moved_bytes']):>9}"
            f"{times['first_token_ms']:10.1f} ms"
        )
    lines.append("Accuracy in %. Resident and read: video tokens a layer, mean. First token: median.")
    if several_runs(summary):
        lines.append(
            "Times come from more than one run of the command, each under its own load: lab.json says from which."
        )
    return "\n".join(lines)


def _groups(summary: dict[str, Any], sort: str) -> str:
    groups = [group for group in summary["groups"] if group["sort"] == sort]
    if not groups:
        return ""
    names = [group["id"].removeprefix("age ") for group in groups]
    first = "kind of question" if sort == "kind" else "age of the evidence, in frames"
    lines = [f"{first:34}" + "".join(f"{name:>11}" for name in names)]
    lines.append(f"{'guess level':34}" + "".join(f"{100 * group['guess']:11.1f}" for group in groups))
    for cell in summary["cells"]:
        if "error" not in cell:
            values = (_percent(cell["accuracy"].get(group["id"])) for group in groups)
            lines.append(f"{label(cell):34}" + "".join(f"{value:>11}" for value in values))
    lines.append(f"{'questions':34}" + "".join(f"{group['n']:11d}" for group in groups))
    return "\n".join(lines)


def _expectations(summary: dict[str, Any]) -> str:
    return "\n".join(
        f"{row['verdict']}: {row['claim']}: {100 * row['value']:.1f} ({100 * row['low']:.1f} – {100 * row['high']:.1f})"
        for row in summary["expectations"]
    )


def _fates(summary: dict[str, Any]) -> str:
    cells = [cell for cell in summary["cells"] if "error" not in cell]
    if not cells:
        return ""
    words = list(cells[0]["fate"])
    lines = [f"{'wrong answers, by their evidence':34}" + "".join(f"{word:>15}" for word in words)]
    lines += [f"{label(cell):34}" + "".join(f"{cell['fate'][word]:15d}" for word in words) for cell in cells]
    return "\n".join(lines)


def _comparisons(summary: dict[str, Any]) -> str:
    rows = summary["comparisons"]
    if not rows:
        return ""
    head = (
        f"{'minus ' + summary['setup']['reference']:24}{'budget':>8}  {'questions':10}{'points':>8}  {'95 % interval':16}"
        f"{'only it':>8}{'only ref.':>10}{'p':>9}{'p (Holm)':>10}"
    )
    lines = [head]
    lines += [
        f"{row['policy']:24}{row['budget'] or '–':>8}  {row['group']:10}{100 * row['difference']:+8.1f}  "
        f"{100 * row['low']:+6.1f} – {100 * row['high']:+6.1f} {row['only_policy']:8d}{row['only_reference']:10d}"
        f"{row['p']:9.4f}{row['p_holm']:10.4f}"
        for row in rows
    ]
    lines.append(
        f"p: McNemar's exact test on questions; Holm: corrected for the {len(rows)} tests of this table. Intervals: "
        "bootstrap, whole streams drawn."
    )
    return "\n".join(lines)
