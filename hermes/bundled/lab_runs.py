"""The bundled lab runs: their recipes, and the check that a recording matches its title.

The list `labs` of `assets/runs/index.json` defines them (see `hermes.bundled.recipes`). Each recipe names a clip, two to
four memories and questions, and for every question which memories must be "right" or "wrong"; other answers are not checked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hermes.assets import RUNS
from hermes.bundled.captions import lab_caption
from hermes.bundled.recipes import AnyRecipe, first_that_fits, read_list, shared_parts
from hermes.lab.plan import Cell
from hermes.lab.recording import RecordedLane, record_lab, write_lab
from hermes.recording import Progress, find_clip
from hermes.trace import LabRecorder, RunTurn, read_lab
from hermes.trace.head import is_right
from hermes.view import StreamSettings

if TYPE_CHECKING:
    from hermes.backbones.base import Backbone

EXPECTATIONS: Final = ("right", "wrong")


@dataclass(frozen=True, kw_only=True)
class LabRecipe(AnyRecipe):
    """Recipe of one bundled lab run.

    Attributes:
        policies: Names of the memories.
        expected: For each question, one of `EXPECTATIONS` by the name of a memory.
    """

    policies: tuple[str, ...]
    expected: tuple[Mapping[str, str], ...]


def read_recipes(folder: Path = RUNS) -> list[LabRecipe]:
    """Read the recipes of lab runs from a folder's index; the list may be missing.

    Raises:
        HermesError: The index is missing or invalid.
    """
    return read_list(folder, "labs", _recipe, may_lack=True)


def _recipe(entry: Mapping[str, Any]) -> LabRecipe:
    policies = tuple(str(name) for name in entry["policies"])
    expected = tuple(dict(question.get("expect", {})) for question in entry["questions"])
    for answers in expected:
        if not set(answers) <= set(policies) or not set(answers.values()) <= set(EXPECTATIONS):
            raise ValueError(f"{entry['id']} has an unknown expectation, or one for a memory that is not in the run")
    return LabRecipe(policies=policies, expected=expected, **shared_parts(entry))


def make(
    model: Backbone, recipe: LabRecipe, folder: Path, progress: Callable[[Cell], Progress] | None = None
) -> tuple[Path, tuple[RecordedLane, ...]]:
    """Record a bundled lab run with its caption and check it. If the check fails, an existing file is left unchanged.

    Returns:
        The file, and the memories with their answers.

    Raises:
        RunCheckError: The answers do not meet the expectations at any budget; the message lists them.
    """
    clip = find_clip(recipe.clip, recipe.fps)

    def attempt(budget: int) -> tuple[tuple[LabRecorder, tuple[RecordedLane, ...]], list[str]]:
        settings = StreamSettings(budget=budget, fps=recipe.fps, chunk=1, speed=float("inf"))
        recorder = LabRecorder(len(recipe.policies), recipe.largest)
        lanes = record_lab(model, clip, settings, recipe.policies, recipe.questions, recorder, progress)
        turns = dict(zip(recipe.policies, (lane.turns for lane in lanes), strict=True))
        return (recorder, lanes), check(turns, recipe.expected)

    budget, (recorder, lanes) = first_that_fits(recipe, attempt)
    path = recipe.path(folder)
    texts = {"id": recipe.id, **recipe.texts_at(budget, model)}
    write_lab(recorder, path, model, clip, lanes, **texts)
    look = lab_caption(read_lab(path, trusted=True), recipe.open_at)
    write_lab(recorder, path, model, clip, lanes, **texts, look=look)
    return path, lanes


def check(turns: Mapping[str, Sequence[RunTurn]], expected: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the violated expectations, a short phrase each.

    Args:
        turns: The answers of each memory, by its name.
        expected: For each question, one of `EXPECTATIONS` by the name of a memory.
    """
    problems = []
    for name, answers in turns.items():
        if len(answers) != len(expected):
            problems.append(f"{name} gave {len(answers)} answers to {len(expected)} questions")
            continue
        for turn, expectations in zip(answers, expected, strict=True):
            expectation = expectations.get(name)
            if expectation is None:
                continue
            if turn.truth is None or turn.state != "done":
                problems.append(
                    f"{name} gave no answer to “{turn.question}” at {turn.at:g} s, or the true answer is unknown"
                )
            elif is_right(turn) != (expectation == "right"):
                problems.append(f"{name} answered “{turn.question}” at {turn.at:g} s with “{turn.answer}”")
    return problems
