"""Questions about a stream of cards, with their true answers and the location of the evidence.

A question is asked after a frame; only frames up to and including that frame count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

import numpy as np

from hermes.cards.phrases import PHRASES, UNKNOWN_FRAMES
from hermes.cards.timeline import COLOURS, PLACES, SHAPES, Event
from hermes.text import normal_words
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

REFUSAL: Final = "I only know coloured cards."
KINDS: Final = ("now", "before", "first", "exists", "after", "attribute", "place", "count")
EXTRA_KINDS: Final = ("when", "list", "other")


_SINGULAR: Final = {"cards": "card", "crosses": "cross"} | {shape + "s": shape for shape in SHAPES}
_ALL = 10**9


def _card(event: Event | None) -> str:
    return NOTHING if event is None else f"{capital(event.colour)} {event.shape}."


def _where(place: str) -> str:
    return capital(as_text(place)) + "."


class _CardsSeen(Past[Event]):
    """The cards up to one moment."""

    def ask(self, kind: str, form: str, answer: str, events: list[Event] | None = None, **words: str) -> Question:
        named = (_SINGULAR.get(word, word) for word in words.get("x", "").split())
        subject = tuple(word for word in named if word != "card")
        return self.question(kind, form, self.phrase(PHRASES[form]).format(**words), answer, events, subject)

    def unique(self, key: Callable[[Event], object]) -> list[Event]:
        counts = Counter(key(event) for event in self.seen)
        return [event for event in self.seen if counts[key(event)] == 1]


def _ask_now(past: _CardsSeen) -> Question:
    form = ("now", "now", "now-colour", "now-shape", "now-place")[int(past.rng.integers(5))]
    if past.now is None:
        return past.ask("now", form, NOTHING)
    where = as_text(past.now.place)
    answer = {
        "now": f"{capital(past.now.colour)} {past.now.shape}, {where}.",
        "now-colour": f"{capital(past.now.colour)}.",
        "now-shape": f"{capital(past.now.shape)}.",
        "now-place": _where(past.now.place),
    }[form]
    return past.ask("now", form, answer, [past.now])


def _ask_before(past: _CardsSeen) -> Question:
    earlier = past.seen[:-1] if past.now is not None else past.seen
    event = earlier[-1] if earlier else None
    return past.ask("before", "before", _card(event), [event] if event else None)


def _ask_first(past: _CardsSeen) -> Question:
    if not past.seen:
        return past.ask("first", "first", NOTHING)
    first = past.seen[0]
    form = ("first", "first", "first-colour", "first-shape", "first-place")[int(past.rng.integers(5))]
    answer = {
        "first": _card(first),
        "first-colour": f"{capital(first.colour)}.",
        "first-shape": f"{capital(first.shape)}.",
        "first-place": _where(first.place),
    }[form]
    return past.ask("first", form, answer, [first])


def _ask_exists(past: _CardsSeen) -> Question:
    rng = past.rng
    colours, shapes = {e.colour for e in past.seen}, {e.shape for e in past.seen}
    pairs = {(e.colour, e.shape) for e in past.seen}
    wanted, level = bool(rng.random() < 0.5), int(rng.integers(4))
    everything = [(c, s) for c in COLOURS for s in SHAPES]
    if level == 0:
        options = [c for c in COLOURS if (c in colours) == wanted]
        text, hits = "card", lambda e, c: e.colour == c
        word = options[int(rng.integers(len(options)))] if options else None
        if word is not None:
            events = [e for e in past.seen if hits(e, word)]
            return past.ask("exists", "exists", "Yes." if wanted else "No.", events[-1:], x=f"{word} {text}")
    if level == 1:
        options = [s for s in SHAPES if (s in shapes) == wanted]
        if options:
            shape = options[int(rng.integers(len(options)))]
            events = [e for e in past.seen if e.shape == shape]
            return past.ask("exists", "exists", "Yes." if wanted else "No.", events[-1:], x=shape)
    if not pairs:
        wanted = False
    if wanted:
        event = past.pick(past.seen)
        return past.ask("exists", "exists", "Yes.", [event], x=f"{event.colour} {event.shape}")
    absent = [p for p in everything if p not in pairs]
    # The hardest negatives combine a colour and a shape that were shown on different cards.
    near = [p for p in absent if p[0] in colours and p[1] in shapes]
    options_p = near if near and rng.random() < 0.6 else absent
    if not options_p:
        event = past.pick(past.seen)
        return past.ask("exists", "exists", "Yes.", [event], x=f"{event.colour} {event.shape}")
    colour, shape = options_p[int(rng.integers(len(options_p)))]
    return past.ask("exists", "exists", "No.", None, x=f"{colour} {shape}")


def _ask_after(past: _CardsSeen) -> Question | None:
    options = past.unique(lambda e: (e.colour, e.shape))
    if not options:
        return None
    event = past.pick(options)
    place = past.seen.index(event)
    if place + 1 == len(past.seen) and past.rng.random() < 0.7 and len(options) > 1:
        event = past.pick([e for e in options if e is not event])
        place = past.seen.index(event)
    following = past.seen[place + 1] if place + 1 < len(past.seen) else None
    evidence = [event, following] if following else [event]
    return past.ask("after", "after", _card(following), evidence, x=f"{event.colour} {event.shape}")


def _ask_attribute(past: _CardsSeen) -> Question | None:
    colour_by_shape = past.unique(lambda e: e.shape)
    by_place = past.unique(lambda e: e.place)
    by_both = past.unique(lambda e: (e.shape, e.place))
    shape_by_colour = past.unique(lambda e: e.colour)
    choices: list[tuple[str, str, Event]] = []
    if colour_by_shape:
        event = past.pick(colour_by_shape)
        choices += [("colour-of", event.shape, event)] * 3
    if by_both:
        event = past.pick(by_both)
        choices += [("colour-of", f"{event.shape} at the {as_text(event.place)}", event)]
    if by_place:
        event = past.pick(by_place)
        choices += [("colour-of", f"card at the {as_text(event.place)}", event)]
    if shape_by_colour:
        event = past.pick(shape_by_colour)
        choices += [("shape-of", f"{event.colour} card", event)] * 2
    if not choices:
        return None
    form, name, event = choices[int(past.rng.integers(len(choices)))]
    answer = event.colour if form == "colour-of" else event.shape
    return past.ask("attribute", form, capital(answer) + ".", [event], x=name)


def _ask_place(past: _CardsSeen) -> Question | None:
    options: list[tuple[str, Event]] = []
    pairs, shapes, colours = (
        past.unique(lambda e: (e.colour, e.shape)),
        past.unique(lambda e: e.shape),
        past.unique(lambda e: e.colour),
    )
    if pairs:
        event = past.pick(pairs)
        options += [(f"{event.colour} {event.shape}", event)] * 3
    if shapes:
        event = past.pick(shapes)
        options += [(event.shape, event)]
    if colours:
        event = past.pick(colours)
        options += [(f"{event.colour} card", event)]
    if not options:
        return None
    name, event = options[int(past.rng.integers(len(options)))]
    return past.ask("place", "place", _where(event.place), [event], x=name)


def _ask_count(past: _CardsSeen) -> Question:
    choice = int(past.rng.integers(4))
    if choice < 2:
        return past.ask("count", "count", count_answer(len(past.seen)), past.seen)
    if choice == 2:
        colour = COLOURS[int(past.rng.integers(len(COLOURS)))]
        if past.seen and past.rng.random() < 0.6:
            colour = past.pick(past.seen).colour
        found = [e for e in past.seen if e.colour == colour]
        return past.ask("count", "count-x", count_answer(len(found)), found, x=f"{colour} cards")
    shape = past.pick(past.seen).shape if past.seen else SHAPES[0]
    found = [e for e in past.seen if e.shape == shape]
    plural = shape + ("es" if shape == "cross" else "s")
    return past.ask("count", "count-x", count_answer(len(found)), found, x=plural)


def _ask_when(past: _CardsSeen) -> Question | None:
    options = past.unique(lambda e: (e.colour, e.shape))
    if not options or past.at < 11:
        return None
    event = past.pick(options)
    part = (event.start + min(event.end, past.at + 1)) / 2 / (past.at + 1)
    answer = "Early." if part < 1 / 3 else "In the middle." if part < 2 / 3 else "Late."
    return past.ask("when", "when", answer, [event], x=f"{event.colour} {event.shape}")


def _ask_list(past: _CardsSeen) -> Question | None:
    answer = list_answer([f"{e.colour} {e.shape}" for e in past.seen])
    return None if answer is None else past.ask("list", "list", answer, past.seen)


def _ask_other(past: _CardsSeen) -> Question:
    return past.question("other", "other", other_text(past, PHRASES["other"], UNKNOWN_FRAMES), REFUSAL, None)


_ASK: Final[dict[str, Callable[[_CardsSeen], Question | None]]] = {
    "now": _ask_now, "before": _ask_before, "first": _ask_first, "exists": _ask_exists, "after": _ask_after,
    "attribute": _ask_attribute, "place": _ask_place, "count": _ask_count, "when": _ask_when, "list": _ask_list,
    "other": _ask_other,
}  # fmt: skip


def ask(stream: Timeline[Event], at: int, kind: str, rng: np.random.Generator) -> Question | None:
    """Return a question of a kind after frame `at`; None if none is well-defined, for example without a unique card."""
    return _ASK[kind](_CardsSeen.of(stream, at, rng))


def ask_all(stream: Timeline[Event], at: int, rng: np.random.Generator, extra: bool = False) -> list[Question]:
    """Return one question of every kind that can be asked after frame `at`.

    Args:
        stream: The stream with its events.
        at: Index of the last frame seen.
        rng: Source of randomness for cards and phrasings.
        extra: Whether to include the kinds of `EXTRA_KINDS`.

    Returns:
        Questions in the order of `KINDS`, without the kinds that have no well-defined question.
    """
    past = _CardsSeen.of(stream, at, rng)
    asked = [_ASK[kind](past) for kind in (*KINDS, *EXTRA_KINDS)[: None if extra else len(KINDS)]]
    return [question for question in asked if question is not None]


def every_word() -> list[str]:
    """Return all words of questions and answers, lower-case and sorted, for the tokenizer."""
    words: set[str] = set()
    for phrases in (*PHRASES.values(), UNKNOWN_FRAMES):
        for phrase in phrases:
            words.update(normal_words(phrase.replace("{x}", " ").replace("{u}", " ")))
    words.update(normal_words(REFUSAL), COLOURS, SHAPES, PLACES, (s + "s" for s in SHAPES), ("crosses", "cards", "at"))
    words.update(normal_words("early in the middle late nothing yes no more than"), (str(n) for n in range(MOST + 1)))
    return sorted(words)
