"""Metadata of a run: title, settings, model, machine and conversation. Plain values, checked when read."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from hermes.errors import HermesError
from hermes.files.checks import flag, mapping, member, number, seconds, sequence, text, whole
from hermes.files.limits import RUN_LIMITS
from hermes.text import normal_words
from hermes.trace.block import DamagedError
from hermes.view import StreamSettings

FORMAT = "hermes-run"
VERSION = 2
ID = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
MAX_TURNS = 1000
"""Maximum number of turns and of events that are read; later ones are ignored."""
STATES = ("done", "stopped", "error")


@dataclass(frozen=True)
class RunTurn:
    """A question of the run and its answer.

    Attributes:
        question: The question.
        answer: The answer; in state "error" the error message.
        at: Stream time when it was asked, in seconds.
        done: Stream time when the answer was complete, in seconds.
        state: "done", "stopped" or "error".
        first_ms: Time to first token in milliseconds; None: not measured.
        policy: Title of the policy.
        truth: The true answer; None if unknown.
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
    """Metadata of a run.

    Attributes:
        id: Name in URLs: lower-case letters, digits and hyphens; "" if it has none.
        title: Title to display.
        about: Description in one or two sentences.
        look: What to look at, in one sentence; may be empty.
        clip_id: The bundled clip that was played; "" for other sources.
        source: Title of the source.
        created: Time of recording in UTC, ISO 8601.
        machine: Description of the machine.
        program: Version of this program.
        settings: The settings at the end of the run.
        model: Facts about the model to display: `name`, `title`, `about`, `parameters`, `device`.
        policy: Facts about the policy to display: `name`, `title`, `badge`, `about`.
        chat: Questions and answers, oldest first.
        events: Events of the clip from its truth file: `colour`, `shape`, `where`, `start` and `end` of each card, or
            `object`, `where`, `start` and `end` of each object, with `moved` and `later` if it moves; empty if unknown.
        thinned: Whether moments were dropped to keep the file small.
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
    chat: tuple[RunTurn, ...] = ()
    events: tuple[Mapping[str, Any], ...] = ()
    thinned: bool = False

    def of_memory(self, settings: StreamSettings, policy: Mapping[str, Any], chat: tuple[RunTurn, ...] = ()) -> Head:
        """Return the metadata of one memory of this lab run.

        Args:
            settings: Settings of its stream.
            policy: Facts about its policy to display.
            chat: Its questions and answers.
        """
        about = f"One memory of the lab run “{self.title}”."
        title = str(policy["title"])
        return replace(self, title=title, about=about, look="", settings=settings, policy=policy, chat=chat)


def is_right(turn: RunTurn) -> bool:
    """Whether an answer equals the true one, ignoring case and punctuation."""
    return turn.truth is not None and normal_words(turn.answer) == normal_words(turn.truth)


def dump(head: Head, more: Mapping[str, Any], kind: str = FORMAT, version: int = VERSION) -> bytes:
    """Encode a head and the list of the file's parts (`more`) as JSON; `kind` is the format, see `hermes.trace.archive`.

    The oldest turns are left out if there are too many for the readers.
    """
    head = replace(head, chat=head.chat[-MAX_TURNS:])
    content = {"format": kind, "version": version, **asdict(head), **more}
    data = json.dumps(content, ensure_ascii=False, indent=1).encode()
    if len(data) > RUN_LIMITS.json_bytes and head.chat:
        return dump(replace(head, chat=head.chat[len(head.chat) // 2 + 1 :]), more, kind, version)
    return data


def parse(content: Mapping[str, Any]) -> Head:
    """Parse a head from the JSON object at the start of a file.

    Raises:
        InvalidValueError: A value is missing, or has the wrong type or range.
        DamagedError: The settings or the name are invalid.
    """

    def part(name: str) -> Any:
        return member(dict(content), name, "header")

    chat = sequence(part("chat"), "conversation", RUN_LIMITS.events)
    events = sequence(part("events"), "list of events", RUN_LIMITS.events)
    model, policy = mapping(part("model"), "model"), mapping(part("policy"), "policy")
    plain = {name: _text(part(name), name) for name in _TEXTS}
    head = Head(
        **plain,
        settings=_settings(mapping(part("settings"), "settings")),
        model={
            **{name: _text(model.get(name) or "", name) for name in ("name", "title", "about")},
            "parameters": None if model.get("parameters") is None else number(model["parameters"], "parameters", 0),
            "device": _text(model.get("device") or "", "device"),
        },
        policy={name: _text(policy.get(name, ""), name) for name in ("name", "title", "badge", "about")},
        chat=tuple(_turn(mapping(turn, "turn")) for turn in chat[:MAX_TURNS]),
        events=tuple(_event(mapping(event, "event")) for event in events[:MAX_TURNS]),
        thinned=flag(part("thinned"), "header"),
    )
    if len({"object" in event for event in head.events}) > 1:
        raise DamagedError("Its events belong to different worlds.")
    if head.id and not ID.fullmatch(head.id):
        raise DamagedError("Its id has invalid characters.")
    return head


_TEXTS = ("id", "title", "about", "look", "clip_id", "source", "created", "machine", "program")


def _text(value: Any, name: str) -> str:
    return text(value, name, RUN_LIMITS.text)


def _plain(value: Any, name: str) -> Any:
    """Check that a value is a text, a finite number, a bool or None."""
    if isinstance(value, str):
        return _text(value, name)
    if value is None or isinstance(value, bool):
        return value
    return number(value, name)


def _event(event: Mapping[str, Any]) -> dict[str, Any]:
    """Check an event, which has at least the fields of a card or an object in a truth file."""
    known = {_text(name, "event"): _plain(value, "event") for name, value in event.items()}
    for name in ("object", "where") if "object" in known else ("colour", "shape", "where"):
        _text(member(known, name, "event"), name)
    if "moved" in known:
        seconds(known["moved"], "time of a move")
    start, end = (seconds(member(known, name, "event"), f"{name} of an event") for name in ("start", "end"))
    if start > end:
        raise DamagedError("An event ends before it starts.")
    return known


def _settings(values: Mapping[str, Any]) -> StreamSettings:
    known = {item.name: values[item.name] for item in fields(StreamSettings) if item.name in values}
    defaults = StreamSettings()
    for name, value in known.items():
        default = getattr(defaults, name)
        if name == "changed":
            known[name] = tuple(_pair(pair) for pair in sequence(value, "changed settings", RUN_LIMITS.parts))
        elif isinstance(default, str):
            known[name] = _text(value, name)
        elif isinstance(default, int):
            known[name] = whole(value, name)
        elif name != "speed" or value != math.inf:
            known[name] = float(number(value, name))
    settings = StreamSettings(**known)
    try:
        settings.check()
    except HermesError as error:
        raise DamagedError(f"Its settings are invalid. {error}") from error
    return settings


def _pair(pair: Any) -> tuple[str, Any]:
    if not isinstance(pair, list) or len(pair) != 2:
        raise DamagedError("A changed setting is not a name and a value.")
    return _text(pair[0], "name of a setting"), _plain(pair[1], "value of a setting")


def _turn(turn: dict[str, Any]) -> RunTurn:
    first, truth, state = turn.get("first_ms"), turn.get("truth"), turn.get("state")
    if not isinstance(state, str) or state not in STATES:
        raise DamagedError("An answer is in an unknown state.")
    at, done = (seconds(member(turn, name, "turn"), "time of a turn") for name in ("at", "done"))
    if done < at:
        raise DamagedError("An answer was complete before its question was asked.")
    return RunTurn(
        question=_text(member(turn, "question", "turn"), "question"),
        answer=_text(member(turn, "answer", "turn"), "answer"),
        at=at,
        done=done,
        state=state,
        first_ms=None if first is None else float(number(first, "time to first token", 0.0)),
        policy=_text(turn.get("policy", ""), "policy"),
        truth=None if truth is None else _text(truth, "true answer"),
    )
