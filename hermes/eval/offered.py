"""Which kinds of questions the model of everyday objects answers well enough to be offered, from its evaluation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from hermes.things.questions import KINDS, SUGGESTED

SETS: Final = ("known", "fixed")  # the first of these that was measured counts
CLOSED: Final = 0.5  # share of the questions that guessing gets wrong
RULE: Final = (
    "A kind of question is offered in the page if, with known cut-outs and the full cache, the model answers at least half "
    "of the questions that guessing gets wrong."
)


def offered_kinds(results: Mapping[str, Any]) -> list[str]:
    """Return the kinds of questions to offer, in the order of `KINDS`.

    Args:
        results: `results` of `evaluation.json`.
    """
    kinds = next(results[name][0]["kinds"] for name in SETS if name in results)
    chances = {kind: (row["accuracy"], row["guess"]) for kind, row in kinds.items()}
    return [kind for kind in KINDS if kind in chances and _is_useful(*chances[kind])]


def _is_useful(accuracy: float, guess: float) -> bool:
    return guess < 1 and (accuracy - guess) / (1 - guess) >= CLOSED


def write_offered(folder: Path, results: Mapping[str, Any]) -> list[str]:
    """Write the offered kinds, and the suggested questions of these kinds, to `hermes.json` of a model folder.

    Args:
        folder: Model folder.
        results: `results` of its `evaluation.json`.

    Returns:
        The offered kinds.
    """
    path = folder / "hermes.json"
    about = json.loads(path.read_text(encoding="utf-8"))
    about["offered_questions"] = offered_kinds(results)
    about["suggested"] = [text for text, kind in SUGGESTED if kind in about["offered_questions"]]
    path.write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return list(about["offered_questions"])
