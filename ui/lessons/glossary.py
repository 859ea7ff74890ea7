"""The glossary: `assets/glossary.json`, the words that lessons, captions and settings explain on hover, focus or tap."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hermes.errors import HermesError


class GlossaryError(HermesError):
    """A glossary that cannot be used; the message says why."""


@dataclass(frozen=True)
class Term:
    """One term of the glossary.

    Attributes:
        term: Its name.
        forms: Other forms in which texts use it.
        meaning: What it means, in one or two sentences.
        auto: Whether captions mark it of themselves; words that also mean something else ("key") are marked by hand.
    """

    term: str
    forms: tuple[str, ...]
    meaning: str
    auto: bool = True

    def card(self) -> dict[str, Any]:
        """What the page needs to explain it."""
        return {"term": self.term, "forms": list(self.forms), "meaning": self.meaning, "auto": self.auto}


def read_glossary(path: Path) -> list[Term]:
    """Read the glossary.

    Raises:
        GlossaryError: An entry lacks its meaning, or two entries share a form.
    """
    terms, seen = [], set()
    for entry in json.loads(path.read_text("utf-8"))["terms"]:
        term, meaning = entry.get("term"), entry.get("meaning")
        if not isinstance(term, str) or not isinstance(meaning, str) or not term.strip() or not meaning.strip():
            raise GlossaryError(f"The glossary’s entry “{term}” has no meaning.")
        forms = tuple(entry.get("forms", ()))
        for form in (term, *forms):
            if form.lower() in seen:
                raise GlossaryError(f"Two entries of the glossary explain “{form}”.")
            seen.add(form.lower())
        terms.append(Term(term, forms, meaning, bool(entry.get("auto", True))))
    return terms


def forms_of(terms: list[Term]) -> set[str]:
    """Every form of every term, in lower case."""
    return {form.lower() for term in terms for form in (term.term, *term.forms)}
