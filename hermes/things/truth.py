"""True answers, with their evidence, to typed questions about objects.

Parses questions with the phrases that generate them (`hermes.things.phrases`): text in, kind and object out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from hermes.things.objects import CATEGORY_NAMES, NAMES
from hermes.things.phrases import PHRASES
from hermes.things.timeline import ObjectEvent
from hermes.things.words import read_words
from hermes.worlds.questions import NOTHING, as_text, capital, count_answer, list_answer
from hermes.worlds.truth import Truth, truth_with

_KINDS: Final = MappingProxyType({"now-place": "place", "which": "category"})
_SLOTS: Final = MappingProxyType(
    {
        "{x}": "(?P<name>{names})",
        "{a}": "(?:an? |any )?(?P<name>{names})",
        "{s}": "(?:an?|any) (?P<category>{categories})",
        "{c}": "(?P<category>{categories})",
    }
)


@dataclass(frozen=True)
class _Asked:
    """The events up to and including frame `at`, and the object or category in the question."""

    seen: tuple[ObjectEvent, ...]
    at: int
    name: str | None
    category: str | None

    @property
    def now(self) -> ObjectEvent | None:
        return self.seen[-1] if self.seen and self.at < self.seen[-1].end else None

    @property
    def found(self) -> tuple[ObjectEvent, ...]:
        if self.name is not None:
            return tuple(event for event in self.seen if event.name == self.name)
        return tuple(event for event in self.seen if event.category == self.category)


_Reading = tuple[str, tuple[ObjectEvent, ...]]
"""A true answer and its evidence."""


def truth_of(text: str, events: Iterable[ObjectEvent], at: int, fps: float) -> Truth | None:
    """Return the true answer to a question and its evidence.

    Args:
        text: The question; case and punctuation are ignored, synonyms of objects are understood.
        events: Events of the stream, in order of time.
        at: Index of the last frame seen when the question is asked.
        fps: Frames per second of `events` and `at`.

    Returns:
        None if the question is not about objects, or has no well-defined answer.
    """
    understood = _understand(text)
    if understood is None or at < 0:
        return None
    form, named = understood
    seen = tuple(event for event in events if event.start <= at)
    reading = _READ[form](_Asked(seen, at, named.get("name"), named.get("category")))
    if reading is None:
        return None
    every = form not in ("exists", "category")
    return truth_with(_KINDS.get(form, form), form, *reading, at, fps, every=every)


def kind_of(text: str) -> str | None:
    """Return the kind of a question, one of `hermes.things.questions.KINDS` or "list"; None if it is not about objects."""
    understood = _understand(text)
    return None if understood is None else _KINDS.get(understood[0], understood[0])


def read_events(listed: Iterable[Mapping[str, Any]], fps: float) -> list[ObjectEvent]:
    """Convert the events of a clip's file to frames.

    Args:
        listed: Events with `object`, `where`, `start` and `end` in seconds; `moved` and `later` if the object moves.
        fps: Frames per second of the result.
    """
    found = []
    for event in listed:
        where, end = str(event["where"]), round(float(event["end"]) * fps)
        moved = round(float(event["moved"]) * fps) if "moved" in event else end
        name = "-".join(str(event["object"]).split())
        found.append(
            ObjectEvent(name, where, round(float(event["start"]) * fps), end, moved, str(event.get("later", where)))
        )
    return found


def _understand(text: str) -> tuple[str, dict[str, str]] | None:
    """Return the phrasing family of a question, and its object or category; None if it is unknown."""
    words = " ".join(read_words(text))
    for pattern, form in _PATTERNS:
        if match := pattern.fullmatch(words):
            return form, match.groupdict()
    return None


def _patterns() -> list[tuple[re.Pattern[str], str]]:
    """Return the patterns of all phrases and their families; phrases without a name first."""
    names = "|".join(sorted(map(re.escape, NAMES), key=len, reverse=True))
    categories = "|".join(CATEGORY_NAMES)
    found = []
    for form, phrases in PHRASES.items():
        for phrase in phrases if form in _READ else ():
            slot = next((slot for slot in _SLOTS if slot in phrase), None)
            before, _, after = phrase.partition(slot or "\0")
            middle = _SLOTS[slot].format(names=names, categories=categories) if slot else ""
            parts = (re.escape(" ".join(read_words(before))), middle, re.escape(" ".join(read_words(after))))
            found.append((re.compile(" ".join(part for part in parts if part)), form))
    return sorted(found, key=lambda entry: "(?P<" in entry[0].pattern)


def _sentence(event: ObjectEvent | None) -> str:
    return NOTHING if event is None else f"{capital(as_text(event.name))}."


def _now(asked: _Asked) -> _Reading:
    return _sentence(asked.now), (asked.now,) if asked.now else ()


def _now_place(asked: _Asked) -> _Reading:
    if asked.now is None:
        return NOTHING, ()
    return f"{capital(as_text(asked.now.place_at(asked.at)))}.", (asked.now,)


def _before(asked: _Asked) -> _Reading:
    earlier = asked.seen[:-1] if asked.now is not None else asked.seen
    return _sentence(earlier[-1] if earlier else None), earlier[-1:]


def _first(asked: _Asked) -> _Reading:
    return _sentence(asked.seen[0] if asked.seen else None), asked.seen[:1]


def _exists(asked: _Asked) -> _Reading:
    return ("Yes." if asked.found else "No."), asked.found


def _which(asked: _Asked) -> _Reading | None:
    return (_sentence(asked.found[0]), asked.found) if len(asked.found) == 1 else None


def _after(asked: _Asked) -> _Reading | None:
    if len(asked.found) != 1:
        return None
    (event,) = asked.found
    place = asked.seen.index(event)
    following = asked.seen[place + 1 : place + 2]
    return _sentence(following[0] if following else None), (event, *following)


def _place(asked: _Asked) -> _Reading | None:
    if len(asked.found) != 1:
        return None
    return f"{capital(as_text(asked.found[0].place_at(asked.at)))}.", asked.found


def _count(asked: _Asked) -> _Reading:
    return count_answer(len({event.name for event in asked.seen})), asked.seen


def _list(asked: _Asked) -> _Reading | None:
    answer = list_answer([as_text(event.name) for event in asked.seen])
    return None if answer is None else (answer, asked.seen)


_READ: Final[Mapping[str, Callable[[_Asked], _Reading | None]]] = MappingProxyType(
    {
        "now": _now,
        "now-place": _now_place,
        "before": _before,
        "first": _first,
        "exists": _exists,
        "category": _exists,
        "which": _which,
        "after": _after,
        "place": _place,
        "count": _count,
        "list": _list,
    }
)
_PATTERNS: Final = tuple(_patterns())
