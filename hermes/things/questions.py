"""Questions about a stream of objects, with their true answers and the location of the evidence.

A question is asked after a frame; only frames up to and including that frame count.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import numpy as np

from hermes.text import normal_words
from hermes.things.objects import CATEGORIES, CATEGORY_NAMES, NAMES
from hermes.things.phrases import PHRASES, UNKNOWN_FRAMES
from hermes.things.timeline import ObjectEvent
from hermes.worlds.questions import (
    MOST,
    NOTHING,
    Past,
    Question,
    Timeline,
    as_text,
    capital,
    count_answer,
    list_answer,
    other_text,
)
from hermes.worlds.timeline import PLACES

REFUSAL: Final = "I only know everyday objects."
KINDS: Final = ("now", "before", "first", "exists", "category", "after", "place", "count")
EXTRA_KINDS: Final = ("list", "other")
SUGGESTED: Final = (
    ("What is shown now?", "now"),
    ("Where is it?", "place"),
    ("What was shown just before?", "before"),
    ("What was the first object?", "first"),
    ("Was there an animal?", "category"),
    ("Which fruit was there?", "category"),
    ("Was there a cup?", "exists"),
    ("Where was the cup?", "place"),
    ("What came after the cup?", "after"),
    ("How many objects were shown?", "count"),
)
"""Example questions, each with its kind."""


def with_article(name: str) -> str:
    """Return the object's name with its article, as in "Was there a cup?"."""
    if name in ("glasses", "jeans", "bread", "corn", "broccoli"):
        return as_text(name)
    return f"{'an' if name[0] in 'aeiou' else 'a'} {as_text(name)}"


def _sentence(name: str | None) -> str:
    return NOTHING if name is None else f"{capital(as_text(name))}."


class _ObjectsSeen(Past[ObjectEvent]):
    """The objects up to one moment."""

    def ask(
        self,
        kind: str,
        form: str,
        answer: str,
        events: list[ObjectEvent] | None = None,
        subject: str = "",
        **words: str,
    ) -> Question:
        text = self.phrase(PHRASES[form]).format(**words)
        return self.question(kind, form, text, answer, events, (subject,) if subject else ())

    def unique(self) -> list[ObjectEvent]:
        names = [event.name for event in self.seen]
        return [event for event in self.seen if names.count(event.name) == 1]


def _ask_now(past: _ObjectsSeen) -> Question:
    return past.ask("now", "now", _sentence(past.now.name if past.now else None), [past.now] if past.now else None)


def _ask_before(past: _ObjectsSeen) -> Question:
    earlier = past.seen[:-1] if past.now is not None else past.seen
    event = earlier[-1] if earlier else None
    return past.ask("before", "before", _sentence(event.name if event else None), [event] if event else None)


def _ask_first(past: _ObjectsSeen) -> Question:
    first = past.seen[0] if past.seen else None
    return past.ask("first", "first", _sentence(first.name if first else None), [first] if first else None)


def _ask_exists(past: _ObjectsSeen) -> Question:
    names = {event.name for event in past.seen}
    if past.seen and past.rng.random() < 0.5:
        event = past.pick(past.seen)
        return past.ask(
            "exists", "exists", "Yes.", [event], event.name, x=as_text(event.name), a=with_article(event.name)
        )
    absent = [name for name in NAMES if name not in names]
    name = absent[int(past.rng.integers(len(absent)))]
    return past.ask("exists", "exists", "No.", None, name, x=as_text(name), a=with_article(name))


def _ask_category(past: _ObjectsSeen) -> Question:
    kinds = {event.category for event in past.seen}
    if past.seen and past.rng.random() < 0.4:
        once = [e for e in past.seen if sum(o.category == e.category for o in past.seen) == 1]
        if once:
            event = past.pick(once)
            return past.ask("category", "which", _sentence(event.name), [event], event.category, c=event.category)
    wanted = bool(past.rng.random() < 0.5)
    options = [c for c in CATEGORIES if (c.name in kinds) == wanted] or list(CATEGORIES)
    asked = options[int(past.rng.integers(len(options)))]
    found = [event for event in past.seen if event.category == asked.name]
    return past.ask("category", "category", "Yes." if found else "No.", found[-1:] or None, asked.name, s=asked.some)


def _ask_after(past: _ObjectsSeen) -> Question | None:
    options = past.unique()
    if not options:
        return None
    event = past.pick(options)
    if event is past.seen[-1] and len(options) > 1 and past.rng.random() < 0.7:
        event = past.pick([e for e in options if e is not event])
    place = past.seen.index(event)
    following = past.seen[place + 1] if place + 1 < len(past.seen) else None
    evidence = [event, following] if following else [event]
    answer = _sentence(following.name if following else None)
    return past.ask("after", "after", answer, evidence, event.name, x=as_text(event.name))


def _ask_place(past: _ObjectsSeen) -> Question | None:
    if past.rng.random() < 0.35:
        answer = _sentence(past.now.place_at(past.at) if past.now else None)
        return past.ask("place", "now-place", answer, [past.now] if past.now else None)
    options = past.unique()
    if not options:
        return None
    event = past.pick(options)
    return past.ask("place", "place", _sentence(event.place_at(past.at)), [event], event.name, x=as_text(event.name))


def _ask_count(past: _ObjectsSeen) -> Question:
    count = len({event.name for event in past.seen})
    return past.ask("count", "count", count_answer(count), past.seen)


def _ask_list(past: _ObjectsSeen) -> Question | None:
    answer = list_answer([as_text(event.name) for event in past.seen])
    return None if answer is None else past.ask("list", "list", answer, past.seen)


def _ask_other(past: _ObjectsSeen) -> Question:
    return past.question("other", "other", other_text(past, PHRASES["other"], UNKNOWN_FRAMES), REFUSAL, None)


_ASK: Final[dict[str, Callable[[_ObjectsSeen], Question | None]]] = {
    "now": _ask_now, "before": _ask_before, "first": _ask_first, "exists": _ask_exists, "category": _ask_category,
    "after": _ask_after, "place": _ask_place, "count": _ask_count, "list": _ask_list, "other": _ask_other,
}  # fmt: skip


def ask(stream: Timeline[ObjectEvent], at: int, kind: str, rng: np.random.Generator) -> Question | None:
    """Return a question of a kind after frame `at`; None if none is well-defined."""
    return _ASK[kind](_ObjectsSeen.of(stream, at, rng))


def every_word() -> list[str]:
    """Return all words of questions and answers, lower-case and sorted, for the tokenizer; each name is one word."""
    words: set[str] = set()
    for phrase in (*(p for group in PHRASES.values() for p in group), *UNKNOWN_FRAMES):
        words.update(normal_words(re.sub(r"\{\w\}", " ", phrase)))
    words.update(normal_words(REFUSAL), NAMES, CATEGORY_NAMES, PLACES, ("a", "an", "any", "the"))
    words.update(normal_words("nothing yes no more than"), (str(number) for number in range(MOST + 1)))
    return sorted(words)
