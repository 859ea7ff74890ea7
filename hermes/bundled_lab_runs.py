"""The lab runs that ship with the demo: what each is made of, and the check that it shows what its title says.

The list `labs` of `assets/runs/index.json` names them as data, like the list `runs` (see `hermes.bundled_runs`). Each names
a clip, two to four memories and questions, and for every question which memory must be "right" or "wrong"; one that is not
named there may say anything.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hermes.bundled_runs import ENDING, INDEX, RUNS, RunCheckError, filled
from hermes.clip_run import PlannedQuestion
from hermes.errors import HermesError
from hermes.lab.plan import Cell
from hermes.lab.recording import RecordedLane, record_lab, write_lab
from hermes.live_view import StreamSettings
from hermes.recording import Progress, find_clip
from hermes.trace import ID, LIMIT, LabRecorder, Turn
from hermes.trace.head import is_right

if TYPE_CHECKING:
    from hermes.backbones.base import Backbone

EXPECTATIONS: Final = ("right", "wrong")


@dataclass(frozen=True)
class LabRecipe:
    """How one bundled lab run is made.

    Attributes:
        id: Its name in addresses and of its file.
        texts: `title`, `about` and `look`, with places for the budget.
        clip: Name of the bundled clip.
        policies: Names of the memories.
        budgets: Budgets to try, in this order; the first whose answers fit is taken.
        fps: Frames a second.
        questions: What to ask, and when.
        expected: For each of them, what the answer of a memory must be, by its name: one of `EXPECTATIONS`.
        largest: Bytes that the file may take.
    """

    id: str
    texts: Mapping[str, str]
    clip: str
    policies: tuple[str, ...]
    budgets: tuple[int, ...]
    fps: float
    questions: tuple[PlannedQuestion, ...]
    expected: tuple[Mapping[str, str], ...]
    largest: int = LIMIT


def read_recipes(folder: Path = RUNS) -> list[LabRecipe]:
    """The recipes of lab runs that a folder's index lists; none where it has no such list.

    Raises:
        HermesError: There is no index, or it does not say what it should.
    """
    try:
        listed = json.loads((folder / INDEX).read_text("utf-8")).get("labs", [])
        return [_recipe(entry) for entry in listed]
    except OSError as error:
        raise HermesError(f"There is no list of runs at {folder / INDEX}.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise HermesError(f"The list of lab runs at {folder / INDEX} cannot be read: {error}.") from error


def _recipe(entry: Mapping[str, Any]) -> LabRecipe:
    policies = tuple(str(name) for name in entry["policies"])
    expected = tuple(dict(question.get("expect", {})) for question in entry["questions"])
    for wish in expected:
        if not set(wish) <= set(policies) or not set(wish.values()) <= set(EXPECTATIONS):
            raise ValueError(f"{entry['id']} expects what is not known, or of a memory that does not take part")
    if not ID.fullmatch(entry["id"]):
        raise ValueError(f"“{entry['id']}” is no name")
    return LabRecipe(
        id=entry["id"],
        texts={name: str(entry[name]) for name in ("title", "about", "look")},
        clip=entry["clip"],
        policies=policies,
        budgets=tuple(int(budget) for budget in entry["budgets"]),
        fps=float(entry["fps"]),
        questions=tuple(PlannedQuestion(str(q["text"]), float(q["at"])) for q in entry["questions"]),
        expected=expected,
        largest=min(LIMIT, int(float(entry.get("largest_mb", 9)) * 1e6)),
    )


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
    failures = []
    for budget in recipe.budgets:
        settings = StreamSettings(budget=budget, fps=recipe.fps, chunk=1, speed=float("inf"))
        recorder = LabRecorder(len(recipe.policies), recipe.largest)
        lanes = record_lab(model, clip, settings, recipe.policies, recipe.questions, recorder, progress)
        wrong = check(dict(zip(recipe.policies, (lane.turns for lane in lanes), strict=True)), recipe.expected)
        if wrong:
            failures.append(f"With {budget} tokens a layer: {'; '.join(wrong)}.")
            continue
        places = {"budget": str(budget), "frames": f"{budget / model.tokens_per_frame:g}"}
        texts = {name: filled(text, places) for name, text in recipe.texts.items()}
        path = folder / f"{recipe.id}{ENDING}"
        write_lab(recorder, path, model, clip, lanes, id=recipe.id, **texts)
        return path, lanes
    raise RunCheckError(f"The lab run “{recipe.id}” does not show what its title says. {' '.join(failures)}")


def check(turns: Mapping[str, Sequence[Turn]], expected: Sequence[Mapping[str, str]]) -> list[str]:
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
