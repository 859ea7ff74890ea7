"""The Python code that reproduces a figure of the Explore tab in a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hermes import assets
from ui.explore.figures import Call, Names
from ui.explore.moment import ExploredMoment
from ui.runs.runs import ENDING

ONE: Final = (Names("run", "snapshot", "lab"),)
SAME_RUN: Final = (Names("run", "first", "lab"), Names("run", "second", "lab"))
SAME_LAB: Final = (Names("first_run", "first", "lab"), Names("second_run", "second", "lab"))
OTHERS: Final = (Names("first_run", "first", "first_lab"), Names("second_run", "second", "second_lab"))


def names_of(moments: Sequence[ExploredMoment]) -> tuple[Names, ...]:
    """Return the names of the variables for one or two moments. Moments of one run or one lab run share its variable."""
    if len(moments) == 1:
        return ONE
    first, second = moments
    if _file(first) != _file(second):
        return OTHERS
    return SAME_RUN if first.lane == second.lane else SAME_LAB


def code_of(
    moments: Sequence[ExploredMoment],
    names: Sequence[Names],
    calls: Sequence[Call],
    labels: Sequence[str] = (),
    title: str = "",
    *,
    stacked: bool = False,
) -> str:
    """Return a program that draws a figure.

    Args:
        moments: One moment, or two that are compared.
        names: Their variables, from `names_of`.
        calls: The call that draws each moment's figure.
        labels: Names of two moments in the figure.
        title: Title of the figure of two moments.
        stacked: Whether the two are drawn one below the other.
    """
    lines: list[str] = []
    for moment, name in zip(moments, names, strict=True):
        lines += [line for line in _reading(moment, name) if line not in lines]
    for moment, name, call in zip(moments, names, calls, strict=True):
        if any(term.code.split(".")[0] == name.snapshot for term in call.terms):
            lines.append(f"{name.snapshot} = {name.run}.view({moment.seconds!r}).snapshot")
    if len(calls) == 1:
        lines.append(f"figure = {calls[0].code}")
    else:
        arguments = [*(call.code for call in calls), repr(tuple(labels)), f"title={title!r}"]
        arguments += ["stacked=True"] * stacked
        lines += ["figure = plots.side_by_side(", *(f"    {argument}," for argument in arguments), ")"]
    modules = ["assets"] * any("assets.RUNS" in line for line in lines) + ["plots", "trace"]
    return "\n".join([f"from hermes import {', '.join(modules)}", "", *lines, "figure.show()", ""])


def _reading(moment: ExploredMoment, name: Names) -> list[str]:
    """Return the lines that read the run of a moment."""
    comment, path = _file(moment)
    notes = [f"# {comment}"] * bool(comment)
    if moment.lane is None:
        return [*notes, f"{name.run} = trace.read({path})"]
    return [*notes, f"{name.lab} = trace.read_lab({path})", f"{name.run} = {name.lab}.lanes[{moment.lane}]"]


def _file(moment: ExploredMoment) -> tuple[str, str]:
    """Return a comment ("" if none is needed), and the expression for the path of the file."""
    run = moment.run
    if run is None:
        kind, name = ("stream", "recording") if moment.lane is None else ("comparison", "comparison")
        if moment.recording:
            return f"The recording of this {kind}: enter the path of the saved file.", repr(moment.recording)
        return f"This {kind} is live. Press Record, then save the file, and enter its path here.", repr(
            f"{name}{ENDING}"
        )
    if run.path.parent.resolve() == assets.RUNS.resolve():
        return "", f"assets.RUNS / {run.path.name!r}"
    return "Enter the path of your file.", repr(run.path.name)
