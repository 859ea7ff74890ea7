"""Common parts of the recipes of bundled runs: reading their list, and trying budgets in order.

`assets/runs/index.json` lists the recipes in the order of the menu: runs of one memory (`hermes.bundled.runs`) and lab runs
(`hermes.bundled.lab_runs`). Their texts may contain `{budget}` and `{frames}` (the number of frames that fit the budget).
What a run shows is not written in the recipe: `hermes.bundled.captions` computes it from the recording.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from hermes.errors import HermesError
from hermes.serving.clip_run import PlannedQuestion
from hermes.trace import ID, LIMIT

if TYPE_CHECKING:
    from hermes.backbones.base import Backbone

ENDING: Final = ".hermesrun"
INDEX: Final = "index.json"

T = TypeVar("T")


class RunCheckError(HermesError):
    """A run does not match its title."""


@dataclass(frozen=True, kw_only=True)
class AnyRecipe:
    """Recipe of a bundled run of one or several memories.

    Attributes:
        id: Name in URLs and of the file.
        texts: `title` and `about`, with placeholders for the budget.
        open_at: Stream time in seconds at which the page opens the run.
        clip: Name of the bundled clip.
        budgets: Budgets to try in order; the first that meets the expectations is used.
        fps: Sampled frames per second.
        questions: Questions and the times at which they are asked.
        largest: Upper bound of the file in bytes.
        model: Name of the shipped model.
    """

    id: str
    texts: Mapping[str, str]
    clip: str
    budgets: tuple[int, ...]
    fps: float
    questions: tuple[PlannedQuestion, ...]
    open_at: float = 0.0
    largest: int = LIMIT
    model: str = "pocket"

    def path(self, folder: Path) -> Path:
        """Return the path of its file in a folder of runs."""
        return folder / f"{self.id}{ENDING}"

    def texts_at(self, budget: int, model: Backbone) -> dict[str, str]:
        """Return its texts for a budget, with the placeholders filled in."""
        values = {"{budget}": str(budget), "{frames}": f"{budget / model.tokens_per_frame:g}"}
        texts = dict(self.texts)
        for placeholder, value in values.items():
            texts = {name: text.replace(placeholder, value) for name, text in texts.items()}
        return texts


def shared_parts(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Parse the fields of `AnyRecipe` from an entry of the list.

    Raises:
        ValueError, KeyError, TypeError: The entry is invalid.
    """
    if not ID.fullmatch(entry["id"]):
        raise ValueError(f"“{entry['id']}” is not a valid id")
    return {
        "id": entry["id"],
        "texts": {name: str(entry[name]) for name in ("title", "about")},
        "clip": entry["clip"],
        "budgets": tuple(int(budget) for budget in entry["budgets"]),
        "fps": float(entry["fps"]),
        "questions": tuple(PlannedQuestion(str(q["text"]), float(q["at"])) for q in entry["questions"]),
        "open_at": float(entry.get("open_at", 0.0)),
        "model": str(entry.get("model", "pocket")),
        "largest": min(LIMIT, int(float(entry.get("largest_mb", 9)) * 1e6)),
    }


def read_list(
    folder: Path, name: str, recipe_of: Callable[[Mapping[str, Any]], T], *, may_lack: bool = False
) -> list[T]:
    """Read the recipes in the list `name` of a folder's index; with `may_lack`, a missing list is empty.

    Raises:
        HermesError: The index is missing or invalid.
    """
    try:
        index = json.loads((folder / INDEX).read_text("utf-8"))
        return [recipe_of(entry) for entry in (index.get(name, []) if may_lack else index[name])]
    except OSError as error:
        raise HermesError(f"There is no list of runs at {folder / INDEX}.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise HermesError(f"The list of runs at {folder / INDEX} cannot be read: {error}.") from error


def first_that_fits(recipe: AnyRecipe, attempt: Callable[[int], tuple[T, list[str]]]) -> tuple[int, T]:
    """Try the budgets of a recipe in order; `attempt` records a run and returns it with the violated expectations.

    Returns:
        The first budget without violations, and its run.

    Raises:
        RunCheckError: There is none; the message lists the violations at each budget.
    """
    failures = []
    for budget in recipe.budgets:
        made, wrong = attempt(budget)
        if not wrong:
            return budget, made
        failures.append(f"With {budget} tokens per layer: {'; '.join(wrong)}.")
    raise RunCheckError(f"The run “{recipe.id}” does not match its title. {' '.join(failures)}")
