"""Groups of questions by which the results of a benchmark are broken down, as its publication does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from hermes.benchmarks.catalogue import MVBENCH_TASKS, Benchmark
from hermes.benchmarks.results import Json

Bools = npt.NDArray[np.bool_]
Kind = Literal["total", "task", "duration"]


@dataclass(frozen=True)
class ScoreGroup:
    """A number in the table: the accuracy on some questions, or a weighted mean of such accuracies.

    Attributes:
        name: Identifier in the report.
        title: Display name.
        kind: "total", or by what the questions are broken down.
        parts: Mask of the questions of each part [parts][questions].
        shares: Weight of each part; the weights add up to 1.
    """

    name: str
    title: str
    kind: Kind
    parts: tuple[Bools, ...]
    shares: tuple[float, ...] = (1.0,)

    @property
    def members(self) -> Bools:
        """Mask of all questions of the group."""
        return np.logical_or.reduce(self.parts)


def groups_of(benchmark: Benchmark, rows: Sequence[Json]) -> list[ScoreGroup]:
    """Return the groups of the questions with these records that are not empty."""
    if not rows:
        return []
    every = np.ones(len(rows), bool)
    tasks = np.array([row["task"] for row in rows])
    durations = np.array([row["duration"] for row in rows])
    present = _ordered(tasks, [task for _, names in benchmark.categories for task in names] or MVBENCH_TASKS)
    by_task = {task: tasks == task for task in present}
    groups = [ScoreGroup("all", "all questions", "total", (every,))]
    if benchmark.categories:
        groups += _categories(benchmark, by_task)
    elif benchmark.tasks == "file order" and by_task:
        parts = tuple(by_task.values())
        groups.append(ScoreGroup("tasks", "mean of tasks", "total", parts, (1 / len(parts),) * len(parts)))
    groups += [
        ScoreGroup(f"duration {name}", name, "duration", (durations == name,))
        for name in _ordered(durations, ("short", "medium", "long"))
    ]
    groups += [ScoreGroup(f"task {task}", task, "task", (mask,)) for task, mask in by_task.items()]
    return groups


def _ordered(values: npt.NDArray[np.str_], order: Sequence[str]) -> list[str]:
    """Return the distinct values that are not empty: those of `order` first, then the others by alphabet."""
    found = {str(value) for value in values} - {""}
    return [name for name in order if name in found] + sorted(found - set(order))


def _categories(benchmark: Benchmark, by_task: dict[str, Bools]) -> Iterable[ScoreGroup]:
    """Means of tasks within each category, and the mean of the categories."""
    found: list[tuple[str, list[Bools]]] = []
    for title, tasks in benchmark.categories:
        parts = [by_task[task] for task in tasks if task in by_task]
        if parts:
            found.append((title, parts))
            yield ScoreGroup(title, f"{title}, mean of tasks", "total", tuple(parts), (1 / len(parts),) * len(parts))
    if len(found) == len(benchmark.categories):
        parts = [part for _, own in found for part in own]
        shares = [1 / len(found) / len(own) for _, own in found for _ in own]
        yield ScoreGroup("categories", "mean of the categories", "total", tuple(parts), tuple(shares))
