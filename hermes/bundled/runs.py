"""The bundled runs of one memory: their recipes, and the check that a recording matches its title.

The list `runs` of `assets/runs/index.json` defines them (see `hermes.bundled.recipes`). Each recipe names a clip, a policy
and questions, and for every question the expected answer: "right", "wrong", "any", or "forgotten" (wrong, but the same
question was answered correctly before; one of the questions marked so is enough).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hermes.assets import RUNS
from hermes.bundled.captions import caption
from hermes.bundled.recipes import AnyRecipe, first_that_fits, read_list, shared_parts
from hermes.recording import Progress, describe, find_clip, record
from hermes.trace import Recorder, RunTurn, read
from hermes.trace.head import is_right
from hermes.view import StreamSettings

if TYPE_CHECKING:
    from hermes.backbones.base import Backbone

EXPECTATIONS: Final = ("right", "wrong", "any", "forgotten")


@dataclass(frozen=True, kw_only=True)
class Recipe(AnyRecipe):
    """Recipe of one bundled run.

    Attributes:
        policy: Name of the policy.
        expected: For each question one of `EXPECTATIONS`.
    """

    policy: str
    expected: tuple[str, ...]


def read_recipes(folder: Path = RUNS) -> list[Recipe]:
    """Read the recipes from a folder's index.

    Raises:
        HermesError: The index is missing or invalid.
    """
    return read_list(folder, "runs", _recipe)


def _recipe(entry: Mapping[str, Any]) -> Recipe:
    expected = tuple(str(question["expect"]) for question in entry["questions"])
    if not set(expected) <= set(EXPECTATIONS):
        raise ValueError(f"{entry['id']} has an unknown expectation")
    return Recipe(policy=entry["policy"], expected=expected, **shared_parts(entry))


def make(
    model: Backbone, recipe: Recipe, folder: Path, progress: Progress | None = None
) -> tuple[Path, tuple[RunTurn, ...]]:
    """Record a bundled run with its caption and check it. If the check fails, an existing file is left unchanged.

    Returns:
        The file, and the questions with their answers.

    Raises:
        RunCheckError: The answers do not meet the expectations at any budget; the message lists them.
    """
    clip = find_clip(recipe.clip, recipe.fps)

    def settings_at(budget: int) -> StreamSettings:
        return StreamSettings(
            model=recipe.model, policy=recipe.policy, budget=budget, fps=recipe.fps, chunk=1, speed=float("inf")
        )

    def attempt(budget: int) -> tuple[tuple[Recorder, tuple[RunTurn, ...]], list[str]]:
        recorder = Recorder(recipe.largest)
        turns = record(model, clip, settings_at(budget), recipe.questions, recorder, progress)
        return (recorder, turns), check(turns, recipe.expected)

    budget, (recorder, turns) = first_that_fits(recipe, attempt)
    path = recipe.path(folder)
    about = describe(model, settings_at(budget), clip, turns, id=recipe.id, **recipe.texts_at(budget, model))
    recorder.write(path, about)
    recorder.write(path, replace(about, look=caption(read(path, trusted=True), recipe.open_at)))
    return path, turns


def check(turns: Sequence[RunTurn], expected: Sequence[str]) -> list[str]:
    """Return the violated expectations, a short phrase each."""
    problems = []
    if len(turns) != len(expected):
        return [f"{len(turns)} answers to {len(expected)} questions"]
    for turn, expectation in zip(turns, expected, strict=True):
        if expectation in ("any", "forgotten"):
            continue
        if turn.truth is None:
            problems.append(f"the true answer to “{turn.question}” at {turn.at:g} s is unknown")
        elif is_right(turn) != (expectation == "right"):
            problems.append(f"at {turn.at:g} s “{turn.question}” was answered “{turn.answer}” (true: “{turn.truth}”)")
    asked_again = [i for i, expectation in enumerate(expected) if expectation == "forgotten"]
    if asked_again and not any(_forgotten(turns, i) for i in asked_again):
        problems.append("every question that was answered correctly before is still answered correctly")
    return problems


def _forgotten(turns: Sequence[RunTurn], index: int) -> bool:
    """Whether a question was answered correctly before and is answered wrongly now."""
    now = turns[index]
    before = [turn for turn in turns[:index] if turn.question == now.question]
    return now.truth is not None and not is_right(now) and any(is_right(turn) for turn in before)
