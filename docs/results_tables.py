"""Write the tables of results in README.md and docs/benchmarks.md from the lab's report.

`python docs/results_tables.py` writes them; with `--check` it only compares.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from hermes.formatting import format_bytes  # noqa: E402
from hermes.policies.fidelity import GROUPS  # noqa: E402

LAB: Final = ROOT / "assets" / "lab"
BEGIN, END = "<!-- results: begin -->\n", "<!-- results: end -->\n"
SHARES: Final = (0.06, 0.12, 0.25, 0.5)
QUARTER: Final = 0.25
SHORT: Final = ("hermes", "h2o", "uniform-frames", "streammem", "rekv", "sliding-window", "full")
"""Policies in README.md; those that the report does not hold are left out."""

Cell = dict[str, Any]


def rows_of(summary: dict[str, Any]) -> dict[str, list[Cell]]:
    """Return the measured cells by policy."""
    rows: dict[str, list[Cell]] = {}
    for cell in summary["cells"]:
        if "error" not in cell:
            rows.setdefault(cell["policy"], []).append(cell)
    return rows


def at(cells: list[Cell], share: float) -> Cell | None:
    """Return the cell at a share of the full cache; a policy without a budget is listed at 25 %."""
    for cell in cells:
        if abs((cell["share"] if cell["budget"] else QUARTER) - share) < 0.005:
            return cell
    return None


def percent(cell: Cell | None, group: str = "all", *, interval: bool = False) -> str:
    """Format an accuracy, with its interval if asked; a dash if it was not measured."""
    if cell is None:
        return "–"
    row = cell["accuracy"][group]
    bounds = f" ({100 * row['low']:.1f}–{100 * row['high']:.1f})" if interval else ""
    return f"{100 * row['value']:.1f}{bounds}"


def whole_table(summary: dict[str, Any], first: dict[str, float]) -> str:
    """Return the tables of all policies, one for each group."""
    parts, rows = [], rows_of(summary)
    for group, title in GROUPS.items():
        listed = [(cells, at(cells, QUARTER)) for cells in rows.values() if cells[0]["fidelity"] == group]
        listed.sort(key=lambda item: -item[1]["accuracy"]["all"]["value"] if item[1] else 0)
        lines = [
            f"**{title}**\n",
            "| policy | badge | all, at 6 % | 12 % | 25 % | 50 % | memory at 25 % | window | read | archive | first token |",
            "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        ]
        for cells, quarter in listed:
            about, shown = cells[0], quarter or cells[-1]
            accuracy = [percent(at(cells, s), interval=s == QUARTER) for s in SHARES]
            archive = shown["memory"]["archive_bytes"]
            facts = [
                f"{about['title']} `{about['policy']}`",
                about["badge"],
                *accuracy,
                percent(quarter, "memory", interval=True),
                "–" if shown["window"] is None else f"{shown['window']:,}",
                f"{shown['memory']['read_tokens']:,.0f}",
                format_bytes(archive) if archive else "–",
                f"{first[about['policy']]:.0f} ms" if about["policy"] in first else "–",
            ]
            lines.append(f"| {' | '.join(facts)} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def short_table(summary: dict[str, Any], first: dict[str, float]) -> str:
    """Return the table of README.md."""
    rows = rows_of(summary)
    lines = [
        "| policy | badge | 6 % of the full cache | 12 % | 25 % | time to first token at 25 % |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name in (name for name in SHORT if name in rows):
        cells = rows[name]
        accuracy = [percent(at(cells, share)) for share in SHARES[:3]]
        time = f"{first[name]:.0f} ms" if name in first else "–"
        lines.append(f"| {' | '.join((f'`{name}`', cells[0]['badge'], *accuracy, time))} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write or compare the tables; returns the exit status."""
    summary = json.loads((LAB / "lab.json").read_text("utf-8"))
    first = json.loads((LAB / "first_token.json").read_text("utf-8"))["milliseconds"]
    stale = []
    for page, table in (
        (ROOT / "README.md", short_table(summary, first)),
        (ROOT / "docs" / "benchmarks.md", whole_table(summary, first)),
    ):
        text = page.read_text("utf-8")
        before, begin, rest = text.partition(BEGIN)
        _, end, after = rest.partition(END)
        if not begin or not end:
            raise SystemExit(f"{page} lacks the marks of the table.")
        new = before + BEGIN + table + END + after
        if new != text:
            stale.append(page.name)
            if "--check" not in sys.argv:
                page.write_text(new, "utf-8")
    if "--check" in sys.argv and stale:
        sys.stderr.write(f"Run python docs/results_tables.py: {', '.join(stale)}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
