"""The glossary (`assets/glossary.json`): terms that the page explains on hover, focus or tap."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hermes.errors import HermesError


class GlossaryError(HermesError):
    """Invalid glossary."""


@dataclass(frozen=True)
class Term:
    """One term of the glossary.

    Attributes:
        term: The term.
        forms: Other forms, such as the plural.
        meaning: Explanation in one or two sentences.
        auto: Whether captions mark it automatically. Ambiguous words ("key") are marked by hand.
    """

    term: str
    forms: tuple[str, ...]
    meaning: str
    auto: bool = True

    def card(self) -> dict[str, Any]:
        """Return the term for the page."""
        return {"term": self.term, "forms": list(self.forms), "meaning": self.meaning, "auto": self.auto}


def read_glossary(path: Path) -> list[Term]:
    """Read the glossary.

    Raises:
        GlossaryError: An entry has no meaning, or two entries share a form.
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
    """Return all forms of all terms, in lower case."""
    return {form.lower() for term in terms for form in (term.term, *term.forms)}
