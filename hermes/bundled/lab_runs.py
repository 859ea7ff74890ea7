"""The lab runs that ship with the demo: what each is made of, and the check that it shows what its title says.

The list `labs` of `assets/runs/index.json` defines them (see `hermes.bundled.recipes`). Each names a clip, two to four
memories and questions, and for every question which memory must be "right" or "wrong"; one that is not named there may
say anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hermes.assets import RUNS
from hermes.bundled.recipes import AnyRecipe, first_that_fits, read_list, shared_parts
from hermes.lab.plan import Cell
from hermes.lab.recording import RecordedLane, record_lab, write_lab
from hermes.recording import Progress, find_clip
from hermes.trace import LabRecorder, RunTurn
from hermes.trace.head import is_right
from hermes.view import StreamSettings

if TYPE_CHECKING:
    from hermes.backbones.base import Backbone

EXPECTATIONS: Final = ("right", "wrong")


@dataclass(frozen=True, kw_only=True)
class LabRecipe(AnyRecipe):
    """How one bundled lab run is made.

    Attributes:
        policies: Names of the memories.
        expected: For each question, what the answer of a memory must be, by its name: one of `EXPECTATIONS`.
    """

    policies: tuple[str, ...]
    expected: tuple[Mapping[str, str], ...]


def read_recipes(folder: Path = RUNS) -> list[LabRecipe]:
    """The recipes of lab runs that a folder's index lists; none where it has no such list.

    Raises:
        HermesError: There is no index, or it does not say what it should.
    """
    return read_list(folder, "labs", _recipe, may_lack=True)


def _recipe(entry: Mapping[str, Any]) -> LabRecipe:
    policies = tuple(str(name) for name in entry["policies"])
    expected = tuple(dict(question.get("expect", {})) for question in entry["questions"])
    for wish in expected:
        if not set(wish) <= set(policies) or not set(wish.values()) <= set(EXPECTATIONS):
            raise ValueError(f"{entry['id']} expects what is not known, or of a memory that does not take part")
    return LabRecipe(policies=policies, expected=expected, **shared_parts(entry))


def make(
    model: Backbone, recipe: LabRecipe, folder: Path, progress: Callable[[Cell], Progress] | None = None
) -> tuple[Path, tuple[RecordedLane, ...]]:
    """Record a bundled lab run and check it. One that fails the check leaves no file, and an older one stays as it is.

    Returns:
        The file, and the memories with their answers.

    Raises:
        RunCheckError: With none of the budgets the answers are what they must be; the message lists them.
    """
    clip = find_clip(recipe.clip)

    def attempt(budget: int) -> tuple[tuple[LabRecorder, tuple[RecordedLane, ...]], list[str]]:
        settings = StreamSettings(budget=budget, fps=recipe.fps, chunk=1, speed=float("inf"))
        recorder = LabRecorder(len(recipe.policies), recipe.largest)
        lanes = record_lab(model, clip, settings, recipe.policies, recipe.questions, recorder, progress)
        turns = dict(zip(recipe.policies, (lane.turns for lane in lanes), strict=True))
        return (recorder, lanes), check(turns, recipe.expected)

    budget, (recorder, lanes) = first_that_fits(recipe, attempt)
    path = recipe.path(folder)
    write_lab(recorder, path, model, clip, lanes, id=recipe.id, **recipe.texts_at(budget, model))
    return path, lanes


def check(turns: Mapping[str, Sequence[RunTurn]], expected: Sequence[Mapping[str, str]]) -> list[str]:
    """What is not as it must be, a few words each; empty where all is well.

    Args:
        turns: The answers of each memory, by its name.
        expected: For each question, what the answer of a memory must be, by its name.
    """
    problems = []
    for name, answers in turns.items():
        if len(answers) != len(expected):
            problems.append(f"{name} gave {len(answers)} answers to {len(expected)} questions")
            continue
        for turn, wishes in zip(answers, expected, strict=True):
            wish = wishes.get(name)
            if wish is None:
                continue
            if turn.truth is None or turn.state != "done":
                problems.append(f"{name} gave no answer to “{turn.question}” at {turn.at:g} s, or nobody knows it")
            elif is_right(turn) != (wish == "right"):
                problems.append(f"{name} answered “{turn.question}” at {turn.at:g} s with “{turn.answer}”")
    return problems
