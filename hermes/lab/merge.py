"""Adds the rows of a newer report to an older one on the same streams. Pure functions on the content of `lab.json`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from hermes.lab.plan import Cell, LabError
from hermes.lab.statistics import holm
from hermes.policies.fidelity import GROUPS
from hermes.policies.limits import PUBLISHED_CHUNK

Row = dict[str, Any]


def merge_all(reports: Sequence[Mapping[str, Any]], drop: Sequence[str] = ()) -> dict[str, Any]:
    """Merge reports from the oldest to the newest, see `merge`; of one report, only titles and badges are updated.

    Args:
        reports: Contents of `lab.json`.
        drop: Policies whose rows in all reports but the last are left out; of a single report, in that one.

    Raises:
        LabError: The reports cannot be merged, or a policy to leave out is the reference or in none of them.
    """
    older = reports[:-1] or reports
    for name in drop:
        if name in {report["setup"]["reference"] for report in reports}:
            raise LabError(f"The reference “{name}” cannot be left out.")
        if not any(cell["policy"] == name for report in older for cell in report["cells"]):
            raise LabError(f"The older reports have no policy “{name}”.")
    reports = [*(_without(report, drop) for report in older), *reports[len(older) :]]
    merged = refreshed(reports[0])
    for newer in reports[1:]:
        merged = merge(merged, refreshed(newer))
    return merged


def _without(summary: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return a report without the rows of some policies; Holm's correction is repeated over the other comparisons."""
    cells = [cell for cell in summary["cells"] if cell["policy"] not in names]
    return {**summary, "cells": cells, "comparisons": _corrected(_others(summary["comparisons"], names))}


def _others(rows: Sequence[Row], names: Collection[str]) -> list[Row]:
    return [row for row in rows if row["policy"] not in names]


def _corrected(rows: Sequence[Row]) -> list[Row]:
    """Return comparisons with Holm's correction over all of them."""
    return [row | {"p_holm": p} for row, p in zip(rows, holm([row["p"] for row in rows]), strict=True)]


def refreshed(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return a report with the titles and badges of the current policies, its cells in groups, and `sources`."""
    order = list(dict.fromkeys(cell["policy"] for cell in summary["cells"]))
    cells = [cell | Cell(cell["policy"], cell["budget"]).description for cell in summary["cells"]]
    cells.sort(key=lambda cell: _place(cell, order))
    setup = {"frames_per_chunk": PUBLISHED_CHUNK} | summary["setup"]  # older reports do not state it
    kept = {name: summary[name] for name in ("groups", "comparisons", "expectations")}
    return {"setup": setup, "cells": cells, "sources": sources_of(summary), **kept}


def merge(older: Mapping[str, Any], newer: Mapping[str, Any]) -> dict[str, Any]:
    """Add the rows of `newer` to `older`.

    A policy whose results differ replaces all older rows of that policy. Rows with equal results are kept from `older`, with
    their times. Holm's correction is repeated over all comparisons.

    Args:
        older: A report, from `refreshed`.
        newer: A report of another run on the same streams, with the same reference.

    Returns:
        The merged report; `sources` lists the machine and the command of each run.

    Raises:
        LabError: The reports are on different streams, or the reference gave different results.
    """
    _check(older, newer)
    changed = {cell["policy"] for cell in newer["cells"] if _differs(cell, older["cells"])}
    kept = [cell for cell in older["cells"] if cell["policy"] not in changed]
    known = {_key(cell) for cell in kept}
    added = [cell for cell in newer["cells"] if _key(cell) not in known]
    sources, added = _named(older["sources"], newer["sources"], added)
    order = list(dict.fromkeys(cell["policy"] for cell in (*older["cells"], *newer["cells"])))
    cells = sorted((*kept, *added), key=lambda cell: _place(cell, order))
    claims = {row["claim"] for row in older["expectations"]}
    return {
        "setup": older["setup"],
        "groups": older["groups"],
        "cells": cells,
        "comparisons": _comparisons(older, newer, changed, cells),
        "expectations": [
            *older["expectations"], *(row for row in newer["expectations"] if row["claim"] not in claims)
        ],
        "sources": sources,
    }  # fmt: skip


def sources_of(summary: Mapping[str, Any]) -> list[Row]:
    """Return the runs of the command behind a report: `machine`, `command` and `runs`, the letters behind their times."""
    if "sources" in summary:
        return list(summary["sources"])
    runs = sorted({run for cell in summary["cells"] if "times" in cell for run in cell["times"]["runs"].split("+")})
    return [{"machine": summary["machine"], "command": summary["command"], "runs": runs}]


def _place(cell: Row, order: Sequence[str]) -> tuple[int, int, int]:
    """Sort key of a cell: its group, its policy, its budget."""
    return tuple(GROUPS).index(cell["fidelity"]), order.index(cell["policy"]), cell["budget"] or 0


def _key(row: Row) -> tuple[str, int | None]:
    return row["policy"], row["budget"]


def _differs(cell: Row, older: Sequence[Row]) -> bool:
    """Whether the older rows hold this policy and budget with other results.

    Verdicts on the evidence are not compared: their definition may change between versions, while the answers are equal.
    """
    same = (row for row in older if _key(row) == _key(cell))
    return any(any(row.get(name) != cell.get(name) for name in ("accuracy", "error")) for row in same)


def _check(older: Mapping[str, Any], newer: Mapping[str, Any]) -> None:
    for name, value in older["setup"].items():
        if newer["setup"].get(name) != value:
            raise LabError(f"The reports differ in {name}: {value} and {newer['setup'].get(name)}.")
    if [group["n"] for group in older["groups"]] != [group["n"] for group in newer["groups"]]:
        raise LabError("The reports hold different questions.")
    reference = older["setup"]["reference"]
    rows = [cell for cell in newer["cells"] if cell["policy"] == reference]
    if any(_differs(cell, older["cells"]) for cell in rows):
        raise LabError(
            f"The reference “{reference}” gave different results: the reports were made with different versions."
        )


def _named(older: list[Row], newer: list[Row], cells: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Give the runs behind the added cells letters of their own; returns all sources and the cells."""
    used = {run for source in older for run in source["runs"]}
    free = (letter for letter in map(chr, range(ord("A"), ord("Z") + 1)) if letter not in used)
    names: dict[str, str] = {}
    renamed = []
    for cell in cells:
        if "times" not in cell:
            renamed.append(cell)
            continue
        runs = cell["times"]["runs"].split("+")
        for run in runs:
            if run not in names:
                names[run] = next(free)
        renamed.append(cell | {"times": cell["times"] | {"runs": "+".join(names[run] for run in runs)}})
    added = [source | {"runs": [names[run] for run in source["runs"] if run in names]} for source in newer]
    return older + [source for source in added if source["runs"]], renamed


def _comparisons(
    older: Mapping[str, Any], newer: Mapping[str, Any], changed: set[str], cells: Sequence[Row]
) -> list[Row]:
    """Return the comparisons of the merged cells with the reference, with Holm's correction over all of them."""
    rows = _others(older["comparisons"], changed)
    known = {(*_key(row), row["group"]) for row in rows}
    rows += [row for row in newer["comparisons"] if (*_key(row), row["group"]) not in known]
    order = list(dict.fromkeys(cell["policy"] for cell in cells))
    return _corrected(sorted(rows, key=lambda row: (row["budget"] or 0, order.index(row["policy"]))))
