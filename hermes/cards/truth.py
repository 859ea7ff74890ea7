"""True answers, with their evidence, to typed questions about cards.

Parses questions with the phrases that generate them (`hermes.cards.phrases`): text in, kind and card out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from hermes.cards.phrases import PHRASES
from hermes.cards.timeline import COLOURS, PLACES, SHAPES, Event
from hermes.text import normal_words
from hermes.worlds.questions import NOTHING, as_text, capital, count_answer, list_answer
from hermes.worlds.truth import Truth, truth_with

_KINDS: Final = MappingProxyType(
    {"colour-of": "attribute", "shape-of": "attribute", "count-x": "count"}
    | {form: form.split("-", 1)[0] for form in PHRASES if form.startswith(("now", "first"))}
)
_CARD: Final = ("card", "cards", "object", "objects")
_SINGULAR: Final = MappingProxyType({"crosses": "cross"} | {shape + "s": shape for shape in SHAPES})
_SPELLING: Final = MappingProxyType({"color": "colour", "center": "centre", "an": "a"})
_PLACES: Final = MappingProxyType({place.replace("-", " "): place for place in PLACES})


@dataclass(frozen=True)
class _Card:
    """Properties by which a question identifies a card; None if not mentioned."""

    colour: str | None = None
    shape: str | None = None
    place: str | None = None

    def names(self, event: Event) -> bool:
        pairs = ((self.colour, event.colour), (self.shape, event.shape), (self.place, event.place))
        return all(named is None or named == true for named, true in pairs)


@dataclass(frozen=True)
class _CardPast:
    """The events up to and including frame `at`."""

    seen: tuple[Event, ...]
    at: int
    card: _Card

    @property
    def now(self) -> Event | None:
        return self.seen[-1] if self.seen and self.at < self.seen[-1].end else None

    @property
    def found(self) -> tuple[Event, ...]:
        return tuple(event for event in self.seen if self.card.names(event))

    @property
    def only(self) -> Event | None:
        """The only matching event; None if there are none or several."""
        found = self.found
        return found[0] if len(found) == 1 else None


_Reading = tuple[str, tuple[Event, ...]]
"""A true answer and its evidence."""


def truth_of(text: str, events: Iterable[Event], at: int, fps: float) -> Truth | None:
    """Return the true answer to a question and its evidence.

    Args:
        text: The question; case and punctuation are ignored.
        events: Events of the stream, in order of time.
        at: Index of the last frame seen when the question is asked.
        fps: Frames per second of `events` and `at`.

    Returns:
        None if the question is not about cards, or has no well-defined answer because its card was shown several times or
        never.
    """
    understood = _understand(text)
    if understood is None or at < 0:
        return None
    form, card = understood
    past = _CardPast(tuple(event for event in events if event.start <= at), at, card)
    reading = _READ[form](past)
    if reading is None:
        return None
    answer, evidence = reading
    return truth_with(_KINDS.get(form, form), form, answer, evidence, at, fps, every=form != "exists")


def read_events(listed: Iterable[Mapping[str, Any]], fps: float) -> list[Event]:
    """Convert the events of a clip's file (`colour`, `shape`, `where`, `start` and `end` in seconds) to frames."""
    return [
        Event(
            str(e["colour"]),
            str(e["shape"]),
            str(e["where"]),
            round(float(e["start"]) * fps),
            round(float(e["end"]) * fps),
        )
        for e in listed
    ]


# Reading a question ----------------------------------------------------------------------------------------------------


def _words(text: str) -> list[str]:
    return [_SPELLING.get(word, word) for word in normal_words(text)]


def _understand(text: str) -> tuple[str, _Card] | None:
    """Return the form of a question and its card; None if the question is unknown."""
    words = _words(text)
    form = _PLAIN.get(tuple(words))
    if form is not None:
        return form, _Card()
    for before, after, form in _NAMED:
        middle = words[len(before) : len(words) - len(after)]
        if middle and words == [*before, *middle, *after]:
            card = _card(middle)
            if card is not None:
                return form, card
    return None


def _card(words: Sequence[str]) -> _Card | None:
    """Parse a card's name: an optional colour, a shape or "card", an optional place ("at the top left")."""
    name, place = list(words), None
    if "at" in name:
        cut = name.index("at")
        place = _PLACES.get(" ".join(name[cut + 1 :]).removeprefix("the "))
        name = name[:cut]
        if place is None:
            return None
    colour = name.pop(0) if name and name[0] in COLOURS else None
    if len(name) != 1:
        return None
    noun = _SINGULAR.get(name[0], name[0])
    if noun not in SHAPES and noun not in _CARD:
        return None
    return _Card(colour, noun if noun in SHAPES else None, place)


def _plain() -> dict[tuple[str, ...], str]:
    return {
        tuple(_words(phrase)): form
        for form, phrases in PHRASES.items()
        if form in _READ
        for phrase in phrases
        if "{x}" not in phrase
    }


def _named() -> list[tuple[list[str], list[str], str]]:
    """Words before and after the card's name, and the form; longest first, since some phrases share a prefix."""
    found = []
    for form, phrases in PHRASES.items():
        for phrase in phrases:
            if form in _READ and "{x}" in phrase:
                before, after = phrase.split("{x}")
                found.append((_words(before), _words(after), form))
    return sorted(found, key=lambda entry: -len(entry[0]) - len(entry[1]))


# Answers ---------------------------------------------------------------------------------------------------------------


def _place(event: Event) -> str:
    return as_text(event.place)


def _name(event: Event | None) -> str:
    return NOTHING if event is None else f"{capital(event.colour)} {event.shape}."


def _now(say: Callable[[Event], str]) -> Callable[[_CardPast], _Reading | None]:
    return lambda past: (NOTHING, ()) if past.now is None else (say(past.now), (past.now,))


def _first(say: Callable[[Event], str]) -> Callable[[_CardPast], _Reading | None]:
    return lambda past: (say(past.seen[0]), past.seen[:1]) if past.seen else (NOTHING, ())


def _of_one(say: Callable[[Event], str]) -> Callable[[_CardPast], _Reading | None]:
    return lambda past: (say(past.only), (past.only,)) if past.only else None


def _before(past: _CardPast) -> _Reading:
    earlier = past.seen[:-1] if past.now is not None else past.seen
    return _name(earlier[-1] if earlier else None), earlier[-1:]


def _exists(past: _CardPast) -> _Reading:
    return ("Yes." if past.found else "No.", past.found)


def _after(past: _CardPast) -> _Reading | None:
    if past.only is None:
        return None
    place = past.seen.index(past.only)
    following = past.seen[place + 1 : place + 2]
    return _name(following[0] if following else None), (past.only, *following)


def _count(past: _CardPast) -> _Reading:
    return count_answer(len(past.found)), past.found


def _when(past: _CardPast) -> _Reading | None:
    event = past.only
    if event is None:
        return None
    part = (event.start + min(event.end, past.at + 1)) / 2 / (past.at + 1)
    return ("Early." if part < 1 / 3 else "In the middle." if part < 2 / 3 else "Late."), (event,)


def _list(past: _CardPast) -> _Reading | None:
    answer = list_answer([f"{event.colour} {event.shape}" for event in past.seen])
    return None if answer is None else (answer, past.seen)


_READ: Final[Mapping[str, Callable[[_CardPast], _Reading | None]]] = MappingProxyType(
    {
        "now": _now(lambda e: f"{capital(e.colour)} {e.shape}, {_place(e)}."),
        "now-colour": _now(lambda e: f"{capital(e.colour)}."),
        "now-shape": _now(lambda e: f"{capital(e.shape)}."),
        "now-place": _now(lambda e: f"{capital(_place(e))}."),
        "before": _before,
        "first": _first(_name),
        "first-colour": _first(lambda e: f"{capital(e.colour)}."),
        "first-shape": _first(lambda e: f"{capital(e.shape)}."),
        "first-place": _first(lambda e: f"{capital(_place(e))}."),
        "exists": _exists,
        "after": _after,
        "colour-of": _of_one(lambda e: f"{capital(e.colour)}."),
        "shape-of": _of_one(lambda e: f"{capital(e.shape)}."),
        "place": _of_one(lambda e: f"{capital(_place(e))}."),
        "count": _count,
        "count-x": _count,
        "when": _when,
        "list": _list,
    }
)
_PLAIN: Final = MappingProxyType(_plain())
_NAMED: Final = tuple(_named())
