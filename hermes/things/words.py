"""Normalisation of objects' names in text: synonyms, plurals and names of two words become one word."""

from __future__ import annotations

import re
from typing import Final

from hermes.things.objects import NAMES, OBJECTS
from hermes.worlds.questions import as_text

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
    """Return patterns and names, longest first, so that no name is matched inside a longer one."""
    written = {as_text(name) for name in NAMES if "-" not in name}  # "glasses" is not the plural of "glass"
    found = []
    for item in OBJECTS:
        names = {as_text(item.name), *item.also}
        names |= {name + ("es" if name.endswith(("s", "ch", "sh", "x")) else "s") for name in names}
        found += [(name, item.name) for name in names if name not in written]
    found.sort(key=lambda pair: (-len(pair[0]), pair))
    return tuple((rf"(?<![\w-]){re.escape(name)}(?![\w-])", target) for name, target in found)


PATTERNS: Final = (*SPELLINGS, *_names())
"""Replacements to apply in this order to lower-case text."""
_COMPILED: Final = tuple((re.compile(pattern), target) for pattern, target in PATTERNS)


def read_words(text: str) -> list[str]:
    """Return the lower-case words of a question without punctuation; each object's name is one word."""
    text = text.lower()
    for pattern, target in _COMPILED:
        text = pattern.sub(target, text)
    return re.findall(r"\w[\w-]*", text)
