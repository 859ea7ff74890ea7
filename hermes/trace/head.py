"""What a run says of itself: its title, settings, model, machine and conversation. Plain values, checked when read."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from hermes.errors import HermesError
from hermes.live_view import StreamSettings
from hermes.text import normal_words
from hermes.trace.block import DamagedError

FORMAT = "hermes-run"
VERSION = 1
ID = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
LONGEST_TEXT = 4000
MOST_TURNS = 1000
LATEST = 1e7
"""Seconds of a stream after which no event is believed."""
STATES = ("done", "stopped", "error")


@dataclass(frozen=True)
class Turn:
    """A question of the run and what became of it.

    Attributes:
        question: What was asked.
        answer: What was answered; in state "error" why there is no answer.
        at: Stream time when it was asked, in seconds.
        done: Stream time when the answer was complete, in seconds.
        state: "done", "stopped" or "error".
        first_ms: Time to first token, in milliseconds; None: not measured.
        policy: Title of the policy that kept the memory.
        truth: The true answer where it is known; else None.
    """

    question: str
    answer: str
    at: float
    done: float
    state: str = "done"
    first_ms: float | None = None
    policy: str = ""
    truth: str | None = None


@dataclass(frozen=True)
class Head:
    """What is known of a run before its moments are read.

    Attributes:
        id: Its name in addresses: small letters, digits and hyphens; "" for a run without one.
        title: Its name for people.
        about: What it shows, in one or two sentences.
        look: What to look at, in one sentence; "" where nobody wrote it.
        clip_id: The bundled clip that was played; "" for other sources.
        source: Title of what was played.
        created: When it was recorded, UTC, as ISO 8601.
        machine: What it ran on, for people.
        program: Version of this program.
        settings: The settings at the end of the run.
        model: Facts of the model for people: `name`, `title`, `about`, `parameters`, `device`.
        policy: Facts of the policy for people: `name`, `title`, `badge`, `about`.
        chat: Questions and answers, oldest first.
        events: What happens in the clip, as its truth file lists it (`colour`, `shape`, `where`, `start`, `end` of each
            card); empty where nobody knows.
        thinned: Whether moments were left out to keep the file small.
    """

    id: str = ""
    title: str = ""
    about: str = ""
    look: str = ""
    clip_id: str = ""
    source: str = ""
    created: str = ""
    machine: str = ""
    program: str = ""
    settings: StreamSettings = field(default_factory=StreamSettings)
    model: Mapping[str, Any] = field(default_factory=dict)
    policy: Mapping[str, str] = field(default_factory=dict)
    chat: tuple[Turn, ...] = ()
    events: tuple[Mapping[str, Any], ...] = ()
    thinned: bool = False

    def of_memory(self, settings: StreamSettings, policy: Mapping[str, Any], chat: tuple[Turn, ...] = ()) -> Head:
        """What one memory of this lab run says of itself.

        Args:
            settings: What it ran under.
            policy: Facts of its policy for people.
            chat: What it was asked and answered.
        """
        about = f"One memory of the lab run “{self.title}”."
        title = str(policy["title"])
        return replace(self, title=title, about=about, look="", settings=settings, policy=policy, chat=chat)


def is_right(turn: Turn) -> bool:
    """Whether an answer says what the true answer says, case and punctuation aside."""
    return turn.truth is not None and normal_words(turn.answer) == normal_words(turn.truth)


def dump(head: Head, more: Mapping[str, Any], kind: str = FORMAT, version: int = VERSION) -> bytes:
    """A head, and what the file says of its parts, as JSON; `kind` is the format, see `hermes.trace.archive`."""
    content = {"format": kind, "version": version, **asdict(head), **more}
    return json.dumps(content, ensure_ascii=False, indent=1).encode()


def parse(data: bytes) -> tuple[Head, dict[str, Any]]:
    """A head out of JSON, and all that the JSON holds.

    Raises:
        DamagedError: A value is missing or of a kind that does not belong there.
    """
    try:
        content = json.loads(data)
        plain = {name: _text(content[name]) for name in _TEXTS}
        head = Head(
            **plain,
            settings=_settings(content["settings"]),
            model={
                name: _plain(content["model"].get(name)) for name in ("name", "title", "about", "parameters", "device")
            },
            policy={name: _text(content["policy"].get(name, "")) for name in ("name", "title", "badge", "about")},
            chat=tuple(_turn(turn) for turn in content["chat"][:MOST_TURNS]),
            events=tuple(_event(event) for event in content["events"][:MOST_TURNS]),
            thinned=bool(content["thinned"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedError("Its head cannot be read.") from error
    except DamagedError:
        raise
    except HermesError as error:
        raise DamagedError(f"Its settings do not fit: {error}") from error
    if head.id and not ID.fullmatch(head.id):
        raise DamagedError("Its name has letters that a name cannot have.")
    return head, content


_TEXTS = ("id", "title", "about", "look", "clip_id", "source", "created", "machine", "program")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise DamagedError("There is something else where a text belongs.")
    return value[:LONGEST_TEXT]


def _plain(value: Any) -> Any:
    """A text, a finite number, a truth value or nothing."""
    if isinstance(value, str):
        return value[:LONGEST_TEXT]
    if value is None or isinstance(value, bool):
        return value
    return number(value)


def number(value: Any) -> float:
    """A finite number.

    Raises:
        DamagedError: It is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise DamagedError("There is something else where a number belongs.")
    return value


def _event(event: Mapping[str, Any]) -> dict[str, Any]:
    """What happens in the clip, with at least what a truth file says of a card."""
    known = {_text(name): _plain(value) for name, value in event.items()}
    for name in ("colour", "shape", "where"):
        _text(known[name])
    if not 0 <= number(known["start"]) <= number(known["end"]) <= LATEST:
        raise DamagedError("What happens in its clip is at no time.")
    return known


def _settings(values: Mapping[str, Any]) -> StreamSettings:
    known = {item.name: values[item.name] for item in fields(StreamSettings) if item.name in values}
    usual = StreamSettings()
    for name, value in known.items():
        if name == "changed":
            known[name] = tuple((_text(key), _plain(setting)) for key, setting in value)
        elif isinstance(getattr(usual, name), str):
            known[name] = _text(value)
        elif name != "speed" or value != math.inf:
            known[name] = type(getattr(usual, name))(number(value))
    settings = StreamSettings(**known)
    settings.check()
    return settings


def _turn(turn: Mapping[str, Any]) -> Turn:
    first, truth = turn.get("first_ms"), turn.get("truth")
    if turn["state"] not in STATES:
        raise DamagedError("An answer is in a state that is not known.")
    return Turn(
        question=_text(turn["question"]),
        answer=_text(turn["answer"]),
        at=float(number(turn["at"])),
        done=float(number(turn["done"])),
        state=turn["state"],
        first_ms=None if first is None else float(number(first)),
        policy=_text(turn.get("policy", "")),
        truth=None if truth is None else _text(truth),
    )
