"""The runs that ship with the demo: what each is made of, and the check that it shows what its title says.

The list `runs` of `assets/runs/index.json` defines them (see `hermes.bundled.recipes`). Each names a clip, a policy and
questions, and for every question what its answer must be: "right", "wrong", "any" (either), or "forgotten": wrong now,
though the same question was answered rightly before; of those marked so, one is enough.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hermes.assets import RUNS
from hermes.bundled.recipes import AnyRecipe, first_that_fits, read_list, shared_parts
from hermes.recording import Progress, describe, find_clip, record
from hermes.trace import Recorder, RunTurn
from hermes.trace.head import is_right
from hermes.view import StreamSettings

if TYPE_CHECKING:
    from hermes.backbones.base import Backbone

EXPECTATIONS: Final = ("right", "wrong", "any", "forgotten")


@dataclass(frozen=True, kw_only=True)
class Recipe(AnyRecipe):
    """How one bundled run is made.

    Attributes:
        policy: Name of the policy.
        expected: For each question one of `EXPECTATIONS`.
    """

    policy: str
    expected: tuple[str, ...]


def read_recipes(folder: Path = RUNS) -> list[Recipe]:
    """The recipes that a folder's index lists.

    Raises:
        HermesError: There is no index, or it does not say what it should.
    """
    return read_list(folder, "runs", _recipe)


def _recipe(entry: Mapping[str, Any]) -> Recipe:
    expected = tuple(str(question["expect"]) for question in entry["questions"])
    if not set(expected) <= set(EXPECTATIONS):
        raise ValueError(f"{entry['id']} has an expectation that is not known")
    return Recipe(policy=entry["policy"], expected=expected, **shared_parts(entry))


def make(
    model: Backbone, recipe: Recipe, folder: Path, progress: Progress | None = None
) -> tuple[Path, tuple[RunTurn, ...]]:
    """Record a bundled run and check it. A run that fails the check leaves no file, and an older one stays as it is.

    Returns:
        The file, and the questions with their answers.

    Raises:
        RunCheckError: With none of the budgets the answers are what they must be; the message lists them.
    """
    clip = find_clip(recipe.clip)

    def settings_at(budget: int) -> StreamSettings:
        return StreamSettings(policy=recipe.policy, budget=budget, fps=recipe.fps, chunk=1, speed=float("inf"))

    def attempt(budget: int) -> tuple[tuple[Recorder, tuple[RunTurn, ...]], list[str]]:
        recorder = Recorder(recipe.largest)
        turns = record(model, clip, settings_at(budget), recipe.questions, recorder, progress)
        return (recorder, turns), check(turns, recipe.expected)

    budget, (recorder, turns) = first_that_fits(recipe, attempt)
    path = recipe.path(folder)
    about = describe(model, settings_at(budget), clip, turns, id=recipe.id, **recipe.texts_at(budget, model))
    recorder.write(path, about)
    return path, turns


def check(turns: Sequence[RunTurn], expected: Sequence[str]) -> list[str]:
    """What is not as it must be, a few words each; empty where all is well."""
    problems = []
    if len(turns) != len(expected):
        return [f"{len(turns)} answers to {len(expected)} questions"]
    for turn, wish in zip(turns, expected, strict=True):
        if wish in ("any", "forgotten"):
            continue
        if turn.truth is None:
            problems.append(f"the truth of “{turn.question}” at {turn.at:g} s is not known")
        elif is_right(turn) != (wish == "right"):
            problems.append(f"at {turn.at:g} s “{turn.question}” was answered “{turn.answer}” (true: “{turn.truth}”)")
    asked_again = [i for i, wish in enumerate(expected) if wish == "forgotten"]
    if asked_again and not any(_forgotten(turns, i) for i in asked_again):
        problems.append("nothing that was answered rightly before was forgotten at the end")
    return problems


def _forgotten(turns: Sequence[RunTurn], index: int) -> bool:
    """Whether a question was answered rightly before, and wrongly now."""
    now = turns[index]
    before = [turn for turn in turns[:index] if turn.question == now.question]
    return now.truth is not None and not is_right(now) and any(is_right(turn) for turn in before)
