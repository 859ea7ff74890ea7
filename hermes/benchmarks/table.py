"""Benchmark summaries as tables for the command line: one column for each run, so that rates and budgets never mix."""

from __future__ import annotations

from typing import Any

from hermes.benchmarks.results import Json
from hermes.formatting import format_bytes, format_p_value
from hermes.tables import Column, Table

FIRST = 36
RUN = 22


def describe_run(run: Json) -> str:
    """Describe the settings of a run in one line."""
    own = run["settings"]
    changed = "" if own.get("preset") else "".join(f", {name}={value}" for name, value in own["changed"].items())
    parts = [
        own["model"] + (f" at {own['revision'][:12]}" if own.get("revision") else ""),
        f"policy {own.get('preset') or own['policy']}{changed}",
        "no budget" if own.get("budget") is None else f"budget {own['budget']:,} tokens per layer",
        f"{own['rate']:g} frames per second",
        f"guidance {own.get('guidance') or 'none'}",
    ]
    return ", ".join(parts)


def describe_machine_of(run: Json) -> str:
    """Describe the machines of a run in one line."""
    return "; then ".join(
        f"{known.get('processor', 'unknown processor')}, {known.get('cores', '?')} cores, "
        f"GPU: {known.get('gpu') or 'none'}, torch {known.get('torch', '?')}, HERMES Live {known.get('hermes', '?')}"
        for known in run["environments"]
    )


def percent(row: Json | None) -> str:
    """Format an accuracy in percent with its interval."""
    if row is None:
        return "–"
    return f"{100 * row['value']:.1f} ({100 * row['low']:.1f}–{100 * row['high']:.1f})"


def score_of(run: Json) -> str:
    """Format the judge's mean score with its interval."""
    score = run["score"]
    return "–" if score is None else f"{score['value']:.2f} ({score['low']:.2f}–{score['high']:.2f})"


def counts_of(run: Json) -> list[tuple[str, str]]:
    """Name and text of the numbers of questions of a run that the accuracy does not show."""
    answered = run["recorded"] - sum(run["skipped"].values())
    rows = [
        ("questions with a record", f"{run['recorded']:,} of {run['questions']:,}"),
        ("scored", f"{run['scored']:,}"),
        ("skipped", f"{sum(run['skipped'].values()):,}"),
        ("asked after the end of the video", f"{run['beyond_end']:,}"),
    ]
    if run["no_letter"] is not None:
        share = f" ({100 * run['no_letter'] / answered:.1f} %)" if answered else ""
        rows.append(("answers without a letter A–H", f"{run['no_letter']:,}{share}"))
    if run["unjudged"] is not None:
        rows.append(("not judged", f"{run['unjudged']:,}"))
    return rows


def costs_of(run: Json) -> list[tuple[str, str]]:
    """Name and text of the costs of a run's answers."""
    cost = run["cost"]
    if cost is None:
        return []
    return [
        (
            "first token, median / 95th percentile",
            f"{cost['first_token_ms']:.0f} / {cost['first_token_ms_p95']:.0f} ms",
        ),
        ("tokens read per layer, mean / most", f"{cost['tokens_read']:,.0f} / {cost['tokens_read_most']:,}"),
        ("cache, most", format_bytes(cost["cache_bytes"])),
        ("frames seen, mean", f"{cost['frames']:,.1f}"),
    ]


def sections_of(summary: list[Json]) -> list[str | Table]:
    """Return the parts of a report for a terminal."""
    parts: list[str | Table] = []
    for section in summary:
        judge = f", judged by {section['judge']}" if section["judge"] else ""
        lines = [f"{section['title']}{judge}"]
        for run in section["runs"]:
            lines += [f"{run['label']}: {run['file']}: {describe_run(run)}", f"   {describe_machine_of(run)}"]
        parts += ["\n".join(lines), _accuracies(section)]
        if section["comparisons"]:
            parts.append(_compared(section))
    return parts


def group_rows(section: Json) -> list[tuple[Json, list[Json | None]]]:
    """Return each group of a section with its row in every run; None where a run has no question of it."""
    known: dict[str, Json] = {}
    for run in section["runs"]:
        for group in run["groups"]:
            known.setdefault(group["name"], group)
    order = {"total": 0, "duration": 1, "task": 2}
    by_run: list[dict[str, Any]] = [{group["name"]: group for group in run["groups"]} for run in section["runs"]]
    rows = sorted(known.values(), key=lambda group: order[group["kind"]])
    return [(group, [groups.get(group["name"]) for groups in by_run]) for group in rows]


def fact_rows(section: Json) -> list[tuple[str, list[str]]]:
    """Return the numbers of questions and the costs of all runs: name, and the text of each run."""
    runs = section["runs"]
    named: dict[str, list[str]] = {}
    for described in (counts_of, costs_of):
        for i, run in enumerate(runs):
            for name, text in described(run):
                named.setdefault(name, ["–"] * len(runs))[i] = text
    return list(named.items())


def _accuracies(section: Json) -> Table:
    runs = section["runs"]
    columns = [
        Column("accuracy in %", FIRST, "left"), Column("questions", 10), *(Column(run["label"], RUN) for run in runs)
    ]  # fmt: skip
    rows = [
        [group["title"], f"{max(row['n'] for row in values if row):,}", *map(percent, values)]
        for group, values in group_rows(section)
    ]
    if section["judge"]:
        rows.append(["score of the judge, 0 to 5", "", *(score_of(run) for run in runs)])
    rows += [[name, "", *texts] for name, texts in fact_rows(section)]
    notes = [
        "In brackets: 95 % intervals from a bootstrap over videos. Skipped questions do not count.",
        "Answers without a letter are wrong.",
    ]
    for run in runs:
        notes += [f"{run['label']}: {count:,} skipped: {reason}" for reason, count in run["skipped"].items()]
    return Table(columns, rows, notes)


def _compared(section: Json) -> Table:
    columns = [
        Column("same questions", 16, "left"), Column("accuracy", FIRST, "left"), Column("questions", 10),
        Column("points", 8), Column("95 % interval", 18), Column("only first", 12), Column("only second", 12),
        Column("p", 9), Column("p (Holm)", 10),
    ]  # fmt: skip
    rows = [
        [
            f"{row['run']} minus {row['reference']}",
            row["title"],
            f"{row['n']:,}",
            f"{100 * row['difference']:+.1f}",
            f"{100 * row['low']:+.1f} to {100 * row['high']:+.1f}",
            str(row["only_run"]),
            str(row["only_reference"]),
            format_p_value(row["p"]),
            format_p_value(row["p_holm"]),
        ]
        for row in section["comparisons"]
    ]
    note = "p: McNemar's exact test, which treats questions as independent; Holm: corrected for the rows of this table."
    return Table(columns, rows, [note])
