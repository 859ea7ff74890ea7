"""Summarises measurements for a report: accuracies with intervals, paired comparisons, memory and times."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args

import numpy as np
import numpy.typing as npt

from hermes.analysis.evidence import Outcome
from hermes.cards.questions import KINDS
from hermes.eval.scoring import AGES, ScoredReply, guess_level, is_near
from hermes.lab.expectations import expectations
from hermes.lab.plan import Cell, LabPlan
from hermes.lab.statistics import bootstrap_weights, difference_interval, holm, mcnemar_exact, mean_interval
from hermes.policies.fidelity import GROUPS
from hermes.policies.limits import PUBLISHED_CHUNK
from hermes.worlds.questions import Question, is_correct

Records = Mapping[tuple[int, Cell], dict[str, Any]]
Tasks = Mapping[int, dict[str, Any]]
Bools = npt.NDArray[np.bool_]

TITLES: Final = {
    "now": "now",
    "before": "recent (just before)",
    "first": "first",
    "after": "before and after",
    "exists": "was there",
    "count": "how many",
    "place": "where",
    "attribute": "colour or shape of",
}
MEMORY: Final = ("first", "exists", "count")
"""Kinds of the group “memory”: all of them need evidence that is no longer visible."""
OUTCOMES: Final = get_args(Outcome)
PAST: Final = tuple(kind for kind in KINDS if kind not in ("now", "exists", "count"))
"""Kinds whose evidence is a single past card, which has an age."""


@dataclass(frozen=True)
class Group:
    """A group of questions.

    Attributes:
        id: Name in the JSON.
        title: Title to display.
        sort: "total", "kind" or "age".
        members: Mask of its questions [questions].
    """

    id: str
    title: str
    sort: str
    members: Bools


@dataclass(frozen=True)
class AskedQuestion:
    """All questions of all streams.

    Attributes:
        questions: The questions.
        stream: Stream of each question, from 0 [questions].
        candidates: Answers of each question that name something shown, for the guess level.
        fps: Frames per second of the streams.
    """

    questions: list[Question]
    stream: npt.NDArray[np.int64]
    candidates: list[tuple[str, ...]]
    fps: float

    @classmethod
    def of(cls, tasks: Tasks, streams: int) -> AskedQuestion:
        """Collect the questions of the first `streams` streams."""
        questions, stream, candidates = [], [], []
        for index in range(streams):
            for q in tasks[index]["questions"]:
                start, end = q["evidence"]
                questions.append(Question(q["kind"], q["text"], q["answer"], (start, end), q["age"], q["form"]))
                stream.append(index)
                candidates.append(tuple(q["candidates"]))
        return cls(questions, np.array(stream, np.int64), candidates, float(tasks[0]["fps"]))

    def groups(self) -> list[Group]:
        """Return the non-empty groups: all questions, memory, each kind, and each age of the evidence."""
        kinds = np.array([q.kind for q in self.questions])
        age = np.array([q.age for q in self.questions]) * self.fps
        found = [
            Group("all", "all questions", "total", np.ones(len(kinds), bool)),
            Group("memory", "memory (first, was there, how many)", "total", np.isin(kinds, MEMORY)),
        ]
        found += [Group(kind, title, "kind", kinds == kind) for kind, title in TITLES.items()]
        past = np.isin(kinds, PAST)
        for low, high in AGES:
            last = high < 10**9
            title = f"{low} to {high - 1} frames ago" if last else f"{low} frames ago or more"
            name = f"age {low}-{high - 1}" if last else f"age {low}+"
            found.append(Group(name, title, "age", past & (age >= low) & (age < high)))
        return [group for group in found if group.members.any()]

    def guess(self, group: Group) -> float:
        """Return the guess level of a group (see `hermes.eval.scoring.guess_level`)."""
        rows = [
            ScoredReply(
                int(self.stream[i]), self.questions[i], "", False, False, self.candidates[i]
            )  # only the truth counts
            for i in np.flatnonzero(group.members)
        ]
        return guess_level(rows)


def summarise(plan: LabPlan, tasks: Tasks, found: Records) -> dict[str, Any]:
    """Summarise the measurements of a plan.

    Args:
        plan: The plan.
        tasks: Tasks by stream.
        found: Measurements by stream and cell, complete for the plan.

    Returns:
        For JSON: `setup`, `groups`, `cells`, `comparisons`, `expectations`. Cells are in the order of
        `hermes.policies.fidelity.GROUPS`. Everything except `times` is deterministic.
    """
    asked = AskedQuestion.of(tasks, plan.streams)
    groups = asked.groups()
    weights = bootstrap_weights(plan.streams)
    right: dict[Cell, Bools] = {}
    cells = []
    for cell in sorted(plan.cells, key=lambda cell: tuple(GROUPS).index(cell.fidelity)):
        records = [found[index, cell] for index in range(plan.streams)]
        answers = _answers(records)
        if answers is not None:
            right[cell] = _each(asked, answers, is_correct)
        scores = _scores(asked, groups, answers, right.get(cell), weights)
        cells.append(_cell(plan, cell, records) | scores | _evidence(records, right.get(cell)))
    _name_runs(cells)
    return {
        "setup": {
            "model": plan.model,
            "streams": plan.streams,
            "frames": plan.frames,
            "seed": plan.seed,
            "tempo": plan.tempo,
            "frames_per_second": asked.fps,
            "full_tokens": plan.full,
            "questions": len(asked.questions),
            "reference": plan.reference,
            "frames_per_chunk": PUBLISHED_CHUNK,
        },
        "groups": [
            {"id": g.id, "title": g.title, "sort": g.sort, "n": int(g.members.sum()), "guess": _round(asked.guess(g))}
            for g in groups
        ],
        "cells": cells,
        "comparisons": compare(plan, asked, groups, right, weights),
        "expectations": _expectations(plan, asked, groups, right, weights),
    }


def _answers(records: Sequence[dict[str, Any]]) -> list[str] | None:
    """All answers in order; None if a stream could not be processed."""
    if any("error" in record for record in records):
        return None
    return [text for record in records for text in record["answers"]]


def _each(asked: AskedQuestion, answers: Sequence[str], test: Callable[[Question, str], bool]) -> Bools:
    return np.array([test(q, text) for q, text in zip(asked.questions, answers, strict=True)], bool)


def _sums(asked: AskedQuestion, values: Bools, members: Bools, streams: int) -> npt.NDArray[np.float64]:
    """Sum of the values of a group's questions in each stream [streams]."""
    counted = np.bincount(asked.stream[members], weights=values[members].astype(np.float64), minlength=streams)
    return counted.astype(np.float64)


def _scores(
    asked: AskedQuestion,
    groups: Sequence[Group],
    answers: list[str] | None,
    right: Bools | None,
    weights: npt.NDArray[np.float64],
) -> dict[str, Any]:
    if answers is None or right is None:
        return {"accuracy": {}}
    streams = weights.shape[1]
    every = np.ones(len(right), bool)
    accuracy = {}
    for group in groups:
        low, high = mean_interval(
            _sums(asked, right, group.members, streams), _sums(asked, every, group.members, streams), weights
        )
        value = float(right[group.members].mean())
        accuracy[group.id] = {"value": _round(value), "low": _round(low), "high": _round(high)}
        if group.id == "count":
            near = _each(asked, answers, is_near)[group.members]
            accuracy[group.id]["within_one"] = _round(float(near.mean()))
    return {"accuracy": accuracy}


def _evidence(records: Sequence[dict[str, Any]], right: Bools | None) -> dict[str, Any]:
    """Count the wrong answers by their evidence attribution."""
    if right is None:
        return {}
    outcomes = np.array([word for record in records for word in record["outcomes"]])
    return {"outcomes": {word: int((outcomes[~right] == word).sum()) for word in OUTCOMES}}


def _cell(plan: LabPlan, cell: Cell, records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    about = {
        "policy": cell.policy,
        **cell.description,
        "budget": cell.budget,
        "share": _round(cell.budget / plan.full) if cell.budget is not None else 1.0,
    }
    errors = [record["error"] for record in records if "error" in record]
    if errors:
        return about | {"error": errors[0], "streams_failed": len(errors)}
    resident = np.array([record["resident"] for record in records], np.float64)
    read = np.array([record["read"] for record in records], np.float64)
    times = [record["times"] for record in records]
    first = [seconds for row in times for seconds in row["first_token"]]
    return about | {
        "memory": {
            "resident_tokens": _round(float(resident.mean()), 1),
            "resident_most": int(resident.max()),
            "read_tokens": _round(float(read.mean()), 1),
            "read_most": int(read.max()),
            "archive_bytes": max(record["archive_bytes"] for record in records),
            "moved_bytes": max(record["moved_bytes"] for record in records),
        },
        "times": {
            "first_token_ms": _round(1000 * float(np.median(first)), 2),
            "frames_per_second": _round(float(np.median([plan.frames / row["push"] for row in times])), 1),
            "cell_seconds": _round(float(np.median([row["cell"] for row in times])), 3),
            "runs": list(dict.fromkeys(row.get("run", "") for row in times)),
        },
    }


def _name_runs(cells: Sequence[dict[str, Any]]) -> None:
    """Name the runs of the command that measured the times A, B, C, … in the order of the cells."""
    letters: dict[str, str] = {}
    for times in (cell["times"] for cell in cells if "times" in cell):
        times["runs"] = "+".join(letters.setdefault(run, _letter(len(letters))) for run in times["runs"])


def _letter(number: int) -> str:
    """Return A to Z, then A1 to Z1, and so on."""
    return f"{chr(ord('A') + number % 26)}{number // 26 or ''}"


def several_runs(summary: Mapping[str, Any]) -> bool:
    """Whether the times come from several runs of the command, so that they are not all comparable."""
    return len({run for cell in summary["cells"] if "times" in cell for run in cell["times"]["runs"].split("+")}) > 1


def compare(
    plan: LabPlan,
    asked: AskedQuestion,
    groups: Sequence[Group],
    right: Mapping[Cell, Bools],
    weights: npt.NDArray[np.float64],
) -> list[dict[str, Any]]:
    """Compare every policy with the reference at each budget, on all questions and on memory questions.

    Args:
        plan: The plan; a policy without a budget is compared at every budget of the reference.
        asked: The questions.
        groups: From `AskedQuestion.groups`.
        right: Mask of the correctly answered questions of each cell.
        weights: From `bootstrap_weights`.

    Returns:
        For JSON: the difference in accuracy (policy minus reference) with its interval, the numbers of questions that only
        one of the two answered correctly, McNemar's exact p, and p after Holm's correction over all rows.
    """
    rows: list[dict[str, Any]] = []
    every = np.ones(len(asked.questions), bool)
    streams = weights.shape[1]
    for cell in (c for c in right if c.policy == plan.reference):
        for other in right:
            if other.policy == plan.reference or (
                other.budget != cell.budget and None not in (other.budget, cell.budget)
            ):
                continue
            for group in groups:
                if group.sort != "total":
                    continue
                mine, theirs = right[other], right[cell]
                ours, others, total = (_sums(asked, row, group.members, streams) for row in (mine, theirs, every))
                low, high = difference_interval(ours, others, total, weights)
                only = int((mine & ~theirs)[group.members].sum())
                lost = int((theirs & ~mine)[group.members].sum())
                rows.append(
                    {
                        "policy": other.policy,
                        "reference": plan.reference,
                        "budget": cell.budget if cell.budget is not None else other.budget,
                        "group": group.id,
                        "difference": _round((only - lost) / int(group.members.sum())),
                        "low": _round(low),
                        "high": _round(high),
                        "only_policy": only,
                        "only_reference": lost,
                        "p": mcnemar_exact(only, lost),
                    }
                )
    for row, corrected in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = corrected
    return rows


def _expectations(
    plan: LabPlan,
    asked: AskedQuestion,
    groups: Sequence[Group],
    right: Mapping[Cell, Bools],
    weights: npt.NDArray[np.float64],
) -> list[dict[str, Any]]:
    members = {group.id: group.members for group in groups if group.sort == "total"}
    every = np.ones(len(asked.questions), bool)
    totals = {name: _sums(asked, every, chosen, plan.streams) for name, chosen in members.items()}
    cells: dict[str, list[Cell]] = {}
    for cell in right:
        cells.setdefault(cell.policy, []).append(cell)

    def sums(cell: Cell, group: str) -> npt.NDArray[np.float64]:
        return _sums(asked, right[cell], members[group], plan.streams)

    return expectations(plan, cells, sums, totals, weights)


def _round(value: float, digits: int = 4) -> float:
    return round(value, digits)
