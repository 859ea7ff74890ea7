"""The runs that ship with the demo: what each is made of, and the check that it shows what its title says.

`assets/runs/index.json` lists them as data, in the order of the menu. Each names a clip, a policy and questions, and for
every question what its answer must be: "right", "wrong", "any" (either), or "forgotten": wrong now, though the same question
was answered rightly before; of those marked so, one is enough. The texts may hold `{budget}` and `{frames}` (frames that the
budget holds). Its list `labs` is read by `hermes.bundled_lab_runs`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hermes.clip_run import PlannedQuestion
from hermes.errors import HermesError
from hermes.live_view import StreamSettings
from hermes.recording import ASSETS, Progress, describe, find_clip, record
from hermes.trace import ID, LIMIT, Recorder, Turn
from hermes.trace.head import is_right

if TYPE_CHECKING:
    from hermes.backbones.base import Backbone

RUNS: Final = ASSETS / "runs"
ENDING: Final = ".hermesrun"
INDEX: Final = "index.json"
EXPECTATIONS: Final = ("right", "wrong", "any", "forgotten")


class RunCheckError(HermesError):
    """A run does not show what its title says."""


@dataclass(frozen=True)
class Recipe:
    """How one bundled run is made.

    Attributes:
        id: Its name in addresses and of its file.
        texts: `title`, `about` and `look`, with places for the budget.
        clip: Name of the bundled clip.
        policy: Name of the policy.
        budgets: Budgets to try, in this order; the first whose answers fit is taken.
        fps: Frames a second.
        questions: What to ask, and when.
        expected: For each of them one of `EXPECTATIONS`.
        largest: Bytes that the file may take.
    """

    id: str
    texts: Mapping[str, str]
    clip: str
    policy: str
    budgets: tuple[int, ...]
    fps: float
    questions: tuple[PlannedQuestion, ...]
    expected: tuple[str, ...]
    largest: int = LIMIT


def read_recipes(folder: Path = RUNS) -> list[Recipe]:
    """The recipes that a folder's index lists.

    Raises:
        HermesError: There is no index, or it does not say what it should.
    """
    try:
        listed = json.loads((folder / INDEX).read_text("utf-8"))["runs"]
        return [_recipe(entry) for entry in listed]
    except OSError as error:
        raise HermesError(f"There is no list of runs at {folder / INDEX}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise HermesError(f"The list of runs at {folder / INDEX} cannot be read: {error}.") from error


def _recipe(entry: Mapping[str, Any]) -> Recipe:
    expected = tuple(str(question["expect"]) for question in entry["questions"])
    if not ID.fullmatch(entry["id"]) or not set(expected) <= set(EXPECTATIONS):
        raise ValueError(f"{entry['id']} has a name or an expectation that is not known")
    return Recipe(
        id=entry["id"],
        texts={name: str(entry[name]) for name in ("title", "about", "look")},
        clip=entry["clip"],
        policy=entry["policy"],
        budgets=tuple(int(budget) for budget in entry["budgets"]),
        fps=float(entry["fps"]),
        questions=tuple(PlannedQuestion(str(q["text"]), float(q["at"])) for q in entry["questions"]),
        expected=expected,
        largest=min(LIMIT, int(float(entry.get("largest_mb", 9)) * 1e6)),
    )


def make(
    model: Backbone, recipe: Recipe, folder: Path, progress: Progress | None = None
) -> tuple[Path, tuple[Turn, ...]]:
    """Record a bundled run and check it. A run that fails the check leaves no file, and an older one stays as it is.

    Returns:
        The file, and the questions with their answers.

    Raises:
        RunCheckError: With none of the budgets the answers are what they must be; the message lists them.
    """
    clip = find_clip(recipe.clip)
    failures = []
    for budget in recipe.budgets:
        settings = StreamSettings(policy=recipe.policy, budget=budget, fps=recipe.fps, chunk=1, speed=float("inf"))
        recorder = Recorder(recipe.largest)
        turns = record(model, clip, settings, recipe.questions, recorder, progress)
        wrong = check(turns, recipe.expected)
        if wrong:
            failures.append(f"With {budget} tokens a layer: {'; '.join(wrong)}.")
            continue
        places = {"budget": str(budget), "frames": f"{budget / model.tokens_per_frame:g}"}
        texts = {name: filled(text, places) for name, text in recipe.texts.items()}
        path = folder / f"{recipe.id}{ENDING}"
        recorder.write(path, describe(model, settings, clip, turns, id=recipe.id, **texts))
        return path, turns
    raise RunCheckError(f"The run “{recipe.id}” does not show what its title says. {' '.join(failures)}")


def check(turns: Sequence[Turn], expected: Sequence[str]) -> list[str]:
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


def _forgotten(turns: Sequence[Turn], index: int) -> bool:
    """Whether a question was answered rightly before, and wrongly now."""
    now = turns[index]
    before = [turn for turn in turns[:index] if turn.question == now.question]
    return now.truth is not None and not is_right(now) and any(is_right(turn) for turn in before)


def filled(text: str, places: Mapping[str, str]) -> str:
    """A text with its `{places}` filled in."""
    for name, value in places.items():
        text = text.replace(f"{{{name}}}", value)
    return text
