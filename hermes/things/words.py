"""How people write the names of objects: other names, plurals, names of two words. All become one word here."""

from __future__ import annotations

import re
from typing import Final

from hermes.things.objects import NAMES, OBJECTS
from hermes.things.questions import said

SPELLINGS: Final = (
    ("color", "colour"),
    ("what's", "what is"),
    ("where's", "where is"),
    ("who's", "who is"),
    ("center", "centre"),
    ("upper[ -]", "top "),
    ("lower[ -]", "bottom "),
    (r"\bitems?\b", "object"),
    (r"\bthings\b", "objects"),
)


def _names() -> tuple[tuple[str, str], ...]:
    """Patterns and names, longest first, so that no name is read inside a longer one."""
    written = {said(name) for name in NAMES if "-" not in name}  # "glasses" are no more than one glass
    found = []
    for item in OBJECTS:
        names = {said(item.name), *item.also}
        names |= {name + ("es" if name.endswith(("s", "ch", "sh", "x")) else "s") for name in names}
        found += [(name, item.name) for name in names if name not in written]
    found.sort(key=lambda pair: (-len(pair[0]), pair))
    return tuple((rf"(?<![\w-]){re.escape(name)}(?![\w-])", target) for name, target in found)


PATTERNS: Final = (*SPELLINGS, *_names())
"""Patterns, to be replaced in this order in lower-case text."""
_COMPILED: Final = tuple((re.compile(pattern), target) for pattern, target in PATTERNS)


def read_words(text: str) -> list[str]:
    """Lower-case words of a question, without punctuation, every object's name as one word."""
    text = text.lower()
    for pattern, target in _COMPILED:
        text = pattern.sub(target, text)
    return re.findall(r"\w[\w-]*", text)
