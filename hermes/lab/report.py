"""A summary as one HTML page that stands alone: no script, no fonts, plots drawn as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from typing import Any, Final

from hermes.lab.plots import Bar, Point, forest, panel, shares
from hermes.lab.summary import several_runs
from hermes.lab.table import size

Cell = dict[str, Any]


def report(summary: dict[str, Any], command: str) -> str:
    """The page.

    Args:
        summary: From `hermes.lab.summary.summarise`, with `machine` beside it.
        command: What to type to measure the same.
    """
    style = files("hermes.lab").joinpath("report.css").read_text("utf-8")
    parts = [_head(summary, command), _expectations(summary), _locked(summary), _budget(summary)]
    parts += [_at_budget(summary, budget) for budget in _budgets(summary)]
    parts += [_comparisons(summary), _fates(summary), _notes(summary)]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>HERMES Live: the lab</title>\n<style>{style}</style></head>\n<body>\n"
        + "\n".join(part for part in parts if part)
        + "\n</body></html>\n"
    )


def _budgets(summary: dict[str, Any]) -> list[int]:
    return sorted({cell["budget"] for cell in summary["cells"] if cell["budget"] is not None})


def _percent(value: float, digits: int = 1) -> str:
    return f"{100 * value:.{digits}f}"


def _share(summary: dict[str, Any], budget: int) -> str:
    return f"{100 * budget / summary['setup']['full_tokens']:.0f} %"


def _measured(summary: dict[str, Any]) -> list[Cell]:
    return [cell for cell in summary["cells"] if "error" not in cell]


def _main_group(summary: dict[str, Any]) -> dict[str, Any]:
    """The group that plots show: memory, where anything of it was asked."""
    groups = {group["id"]: group for group in summary["groups"]}
    return groups.get("memory") or groups["all"]


def _head(summary: dict[str, Any], command: str) -> str:
    setup, machine = summary["setup"], summary["machine"]
    return (
        "<h1>The lab: memories compared on the same streams</h1>"
        f"<p>{setup['streams']} streams of coloured cards, {setup['frames']} frames each at "
        f"{setup['frames_per_second']:g} frames a second, rendered from seed {setup['seed']}, which training never uses. "
        f"{setup['questions']} questions with known answers. Every policy sees the same frames and gets the same questions, "
        "at the end of each stream, on the same frozen model "
        f"({escape(machine['model'])}, {machine['layers']} layers). An answer counts if it says exactly what is true.</p>"
        f'<p class="soft">Measured on {escape(machine["processor"])}, {machine["cores"]} cores, GPU: '
        f"{escape(machine['gpu'] or 'none')}; torch {escape(machine['torch'])}. The same by typing:<br>"
        f"<code>{escape(command)}</code><br>All numbers of this page are in <code>lab.json</code> and <code>lab.csv</code> "
        "beside it.</p>"
    )


def _expectations(summary: dict[str, Any]) -> str:
    """What the publications lead one to expect, and what was measured."""
    rows = []
    for row in summary["expectations"]:
        numbers = [_percent(row[name]) for name in ("value", "low", "high", "expected")]
        verdict = {"confirmed": "yes", "refuted": "no"}.get(row["verdict"], "open")
        value, low, high, expected = numbers
        told = f'<span class="{verdict}">{row["verdict"]}</span>'
        rows.append([escape(row["claim"]), expected, value, f"{low} to {high}", told])
    if not rows:
        return ""
    return (
        "<h2>Expected, and measured</h2><p>Confirmed: the whole 95 % interval reaches what was expected. Refuted: none of "
        "it does. Shares in percent, leads in percentage points.</p>"
        + _table(["expected from the publications", "at least", "measured", "95 % interval", ""], rows)
    )


def _locked(summary: dict[str, Any]) -> str:
    """What was the same for all policies, and what it cost them beside that."""
    rows = []
    for cell in _measured(summary):
        memory, times = cell["memory"], cell["times"]
        rows.append(
            [
                escape(cell["title"]),
                "–" if cell["budget"] is None else f"{cell['budget']:,} ({100 * cell['share']:.0f} %)",
                f"{memory['resident_tokens']:,.0f}",
                f"{memory['resident_most']:,}",
                f"{memory['read_tokens']:,.0f}{_over(cell)}",
                f"{summary['setup']['frames_per_second']:g}",
                size(memory["archive_bytes"]),
                size(memory["moved_bytes"]),
                f"{times['first_token_ms']:.1f} ms{_of_run(summary, cell)}",
                f"{times['frames_per_second']:.0f}",
            ]
        )
    rows += [
        [escape(cell["title"]), f"{cell['budget'] or '–'}", f"not measured: {escape(cell['error'])}"]
        for cell in summary["cells"]
        if "error" in cell
    ]
    head = [
        "policy", "budget", "resident<br>mean", "resident<br>most", "read<br>mean", "frames<br>a second", "archive",
        "moved at<br>the question", "first token<br>median", "frames a second<br>taken in",
    ]  # fmt: skip
    return (
        "<h2>What was locked, and what it cost</h2><p>Budget, resident and read are video tokens a layer; resident and read "
        "were measured at the question. The archive is what a policy keeps outside its budget, in host memory or on "
        "disk; moved is what it fetches from there for one question. ▲ marks a policy that reads more than "
        f"its budget.{_warning(summary)}</p>" + _table(head, rows)
    )


def _warning(summary: dict[str, Any]) -> str:
    """What to heed where times were taken at different moments."""
    if not several_runs(summary):
        return ""
    return (
        " The measurements were taken by more than one run of the command, each under a load of its own; the letter behind "
        "a time says by which. Compare times only where the letter is the same."
    )


def _of_run(summary: dict[str, Any], cell: Cell) -> str:
    """The letter of the run that took a cell's times, where there were several."""
    return f' <span class="soft">{cell["times"]["runs"]}</span>' if several_runs(summary) else ""


def _over(cell: Cell) -> str:
    """A mark where a policy reads more than the budget that is the same for all."""
    return " ▲" if cell["budget"] is not None and cell["memory"]["read_tokens"] > cell["budget"] else ""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], classes: Sequence[str] = ()) -> str:
    """A table; cells are HTML. A cell that begins with “|” carries its shade: “|0.5|50.0”."""
    lines = ['<div class="scroll"><table><tr>' + "".join(f"<th>{name}</th>" for name in head) + "</tr>"]
    for i, row in enumerate(rows):
        style = f' class="{classes[i]}"' if i < len(classes) and classes[i] else ""
        lines.append(f"<tr{style}>" + "".join(_td(cell) for cell in row) + "</tr>")
    return "\n".join([*lines, "</table></div>"])


def _td(cell: str) -> str:
    if not cell.startswith("|"):
        return f"<td>{cell}</td>"
    _, shade, text = cell.split("|")
    return f'<td class="heat" style="--v:{shade}">{text}</td>'


def _point(cell: Cell, group: str) -> Point:
    row = cell["accuracy"][group]
    return Point(cell["share"], row["value"], row["low"], row["high"])


def _budget(summary: dict[str, Any]) -> str:
    group, cells = _main_group(summary), _measured(summary)
    if not _budgets(summary):
        return ""
    reference = summary["setup"]["reference"]
    of: dict[str, list[Cell]] = {}
    for cell in sorted(cells, key=lambda c: c["share"]):
        of.setdefault(cell["policy"], []).append(cell)
    behind = [_point(cell, group["id"]) for cell in of.get(reference, []) if cell["budget"] is not None]
    full = next((_point(cell, group["id"]) for cell in of.get("full", [])), None)
    ticks = sorted({cell["share"] for cell in cells if cell["budget"] is not None})
    drawn = []
    for name in dict.fromkeys(cell["policy"] for cell in cells):
        row = of[name]
        if row[0]["budget"] is None:
            continue
        line = [_point(cell, group["id"]) for cell in row]
        picture = panel(row[0]["title"], line, behind if name != reference else (), full, group["guess"], ticks)
        drawn.append(
            f"<figure><figcaption>{escape(row[0]['title'])}<small class='soft'>{escape(row[0]['badge'])}</small>"
            f"</figcaption>{picture}</figure>"
        )
    return (
        f"<h2>Accuracy over the budget</h2><p>Accuracy in percent on {escape(group['title'])}: {group['n']} questions. "
        "Across: the budget as a share of the full cache. Blue: the policy, with its 95 % interval. Grey: "
        f"{escape(reference)}. Dashed: the full cache. Dotted: what guessing reaches.</p>"
        f'<div class="panels">{"".join(drawn)}</div>'
    )


def _at_budget(summary: dict[str, Any], budget: int) -> str:
    """Accuracy by kind of question and age of the evidence, at one budget; policies without a budget beside them."""
    cells = [cell for cell in _measured(summary) if cell["budget"] in (budget, None)]
    parts = [f"<h2>At {_share(summary, budget)} of the full cache ({budget:,} tokens a layer)</h2>"]
    for sort, title in (("kind", "By kind of question"), ("age", "By age of the evidence")):
        groups = [g for g in summary["groups"] if g["sort"] == sort or (sort == "kind" and g["sort"] == "total")]
        if not any(g["sort"] == sort for g in groups):
            continue
        head = ["policy", *(f"{escape(g['title'])}<br><small>n = {g['n']:,}</small>" for g in groups)]
        rows = [["guess level", *(_percent(g["guess"]) for g in groups)]]
        classes = ["guess"]
        for cell in cells:
            values = [cell["accuracy"][g["id"]]["value"] for g in groups]
            rows.append([escape(cell["title"]), *(f"|{value:.3f}|{_percent(value)}" for value in values)])
            classes.append("reference" if cell["policy"] == summary["setup"]["reference"] else "")
        parts.append(f"<h3>{title}, in percent</h3>" + _table(head, rows, classes))
    return "".join(parts)


def _comparisons(summary: dict[str, Any]) -> str:
    rows = summary["comparisons"]
    if not rows:
        return ""
    reference = summary["setup"]["reference"]
    titles = {cell["policy"]: cell["title"] for cell in summary["cells"]}
    intro = (
        f"<h2>Paired with {escape(titles[reference])}</h2><p>Difference in accuracy, policy minus {escape(reference)}, in "
        "percentage points on the same questions, with its 95 % bootstrap interval; whole streams are drawn, as questions "
        "of one stream share its frames. A triangle points up where the interval lies above zero, down where it lies "
        f"below. McNemar’s exact test takes questions as independent; its p is corrected for the {len(rows)} tests of this "
        "report (Holm).</p>"
    )
    parts = [intro]
    group = _main_group(summary)
    for budget in dict.fromkeys(row["budget"] for row in rows):
        chosen = [row for row in rows if row["budget"] == budget]
        share = "" if budget is None else f" at {_share(summary, budget)}"
        bars = [
            Bar(titles[row["policy"]], row["difference"], row["low"], row["high"])
            for row in chosen
            if row["group"] == group["id"]
        ]
        parts.append(
            f'<h3>{escape(group["title"])}{share}</h3><figure class="wide">'
            f"{forest(bars, f'Differences{share}')}</figure>"
        )
        table = [
            [
                escape(titles[row["policy"]]),
                row["group"],
                f"{100 * row['difference']:+.1f}",
                f"{100 * row['low']:+.1f} to {100 * row['high']:+.1f}",
                str(row["only_policy"]),
                str(row["only_reference"]),
                _p(row["p"]),
                _p(row["p_holm"]),
            ]
            for row in chosen
        ]
        head = [
            "policy",
            "questions",
            "points",
            "95 % interval",
            "only it<br>right",
            "only the<br>reference",
            "p",
            "p (Holm)",
        ]
        parts.append(f"<details><summary>As a table</summary>{_table(head, table)}</details>")
    return "".join(parts)


def _p(value: float) -> str:
    return "&lt; 0.0001" if value < 0.0001 else f"{value:.4f}"


FATES: Final = {
    "not sampled": "no frame shows it",
    "evicted": "seen, then evicted",
    "not retrieved": "in the archive, or in memory that the answer left out",
    "unread": "held, but not attended",
    "read": "held and attended, answered wrongly all the same",
    "absent": "none to point at: the truth rests on what was not shown",
    "unknown": "nobody knows where it lies",
}


def _fates(summary: dict[str, Any]) -> str:
    """What became of the evidence of the wrong answers."""
    cells = [cell for cell in _measured(summary) if sum(cell["fate"].values())]
    if not cells:
        return ""
    used = [word for word in FATES if any(cell["fate"][word] for cell in cells)]
    legend = "".join(f'<span><i class="key {_style(word)}"></i>{word}: {FATES[word]}</span>' for word in used)
    intro = (
        "<h2>Why answers were wrong</h2><p>What became of the evidence of every wrong answer, up to the question. A bar is "
        "all wrong answers of a policy; their number stands at its end. What counts as held and as attended is our own "
        f'convention.</p><p class="legend">{legend}</p>'
    )
    return intro + "".join(
        _fates_at(summary, [cell for cell in cells if cell["budget"] == budget], used, budget)
        for budget in dict.fromkeys(cell["budget"] for cell in sorted(cells, key=lambda cell: cell["share"]))
    )


def _fates_at(summary: dict[str, Any], cells: Sequence[Cell], used: Sequence[str], budget: int | None) -> str:
    bars = [(str(cell["title"]), [cell["fate"][word] for word in used]) for cell in cells]
    table = [[escape(name), *(str(count) for count in counts), str(sum(counts))] for name, counts in bars]
    title = "Without a budget" if budget is None else f"At {_share(summary, budget)} of the full cache"
    picture = shares(bars, [_style(word) for word in used], f"Wrong answers by what became of their evidence: {title}")
    return (
        f'<h3>{title}</h3><figure class="wide">{picture}</figure>'
        f"<details><summary>As a table</summary>{_table(['policy', *used, 'wrong'], table)}</details>"
    )


def _style(word: str) -> str:
    return word.replace(" ", "-")


def _notes(summary: dict[str, Any]) -> str:
    return (
        "<h2>How to read this</h2><p>These are streams of one small world, answered by one small model that was trained "
        "on it. They say how the policies compare on this model and this world, not how the published systems compare "
        "on theirs. The badge of each policy says how close it is to its publication.</p><p>The guess level is the best "
        "that ignores the evidence: always the commonest answer, or naming what was shown most. It is known from these "
        "very questions, which flatters the guess.</p><p>The age of the evidence is counted in frames from when it was last "
        "shown to the question, for questions about one past card. A share of the full cache is a share of "
        f"{summary['setup']['full_tokens']:,} video tokens a layer.</p>"
    )
