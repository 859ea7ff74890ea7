"""What recipes of bundled runs have in common: the list that names them, their parts, and trying one budget after the other.

`assets/runs/index.json` lists recipes as data, in the order of the menu: runs of one memory (`hermes.bundled.runs`) and lab
runs (`hermes.bundled.lab_runs`). The texts may hold `{budget}` and `{frames}` (frames that the budget holds).
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
    """A run does not show what its title says."""


@dataclass(frozen=True, kw_only=True)
class AnyRecipe:
    """How a bundled run is made, of one memory or of several.

    Attributes:
        id: Its name in addresses and of its file.
        texts: `title`, `about` and `look`, with places for the budget.
        clip: Name of the bundled clip.
        budgets: Budgets to try, in this order; the first whose answers fit is taken.
        fps: Frames a second.
        questions: What to ask, and when.
        largest: Bytes that the file may take.
    """

    id: str
    texts: Mapping[str, str]
    clip: str
    budgets: tuple[int, ...]
    fps: float
    questions: tuple[PlannedQuestion, ...]
    largest: int = LIMIT

    def path(self, folder: Path) -> Path:
        """Where its file lies in a folder of runs."""
        return folder / f"{self.id}{ENDING}"

    def texts_at(self, budget: int, model: Backbone) -> dict[str, str]:
        """Its texts for a budget, with the places filled in."""
        places = {"{budget}": str(budget), "{frames}": f"{budget / model.tokens_per_frame:g}"}
        texts = dict(self.texts)
        for place, value in places.items():
            texts = {name: text.replace(place, value) for name, text in texts.items()}
        return texts


def shared_parts(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of `AnyRecipe` out of an entry of the list.

    Raises:
        ValueError, KeyError, TypeError: It does not say what it should.
    """
    if not ID.fullmatch(entry["id"]):
        raise ValueError(f"“{entry['id']}” is no name")
    return {
        "id": entry["id"],
        "texts": {name: str(entry[name]) for name in ("title", "about", "look")},
        "clip": entry["clip"],
        "budgets": tuple(int(budget) for budget in entry["budgets"]),
        "fps": float(entry["fps"]),
        "questions": tuple(PlannedQuestion(str(q["text"]), float(q["at"])) for q in entry["questions"]),
        "largest": min(LIMIT, int(float(entry.get("largest_mb", 9)) * 1e6)),
    }


def read_list(
    folder: Path, name: str, recipe_of: Callable[[Mapping[str, Any]], T], *, may_lack: bool = False
) -> list[T]:
    """The recipes in the list `name` of a folder's index; none where it has no such list and `may_lack` it.

    Raises:
        HermesError: There is no index, or it does not say what it should.
    """
    try:
        index = json.loads((folder / INDEX).read_text("utf-8"))
        return [recipe_of(entry) for entry in (index.get(name, []) if may_lack else index[name])]
    except OSError as error:
        raise HermesError(f"There is no list of runs at {folder / INDEX}.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise HermesError(f"The list of runs at {folder / INDEX} cannot be read: {error}.") from error


def first_that_fits(recipe: AnyRecipe, attempt: Callable[[int], tuple[T, list[str]]]) -> tuple[int, T]:
    """Try the budgets of a recipe in their order: `attempt` makes a run with one, and says what is wrong with it.

    Returns:
        The first budget with which nothing is wrong, and what was made.

    Raises:
        RunCheckError: There is none; the message lists what was wrong with each.
    """
    failures = []
    for budget in recipe.budgets:
        made, wrong = attempt(budget)
        if not wrong:
            return budget, made
        failures.append(f"With {budget} tokens a layer: {'; '.join(wrong)}.")
    raise RunCheckError(f"The run “{recipe.id}” does not show what its title says. {' '.join(failures)}")
