"""Data model and file format of lessons (`assets/lessons`).

`ui.lessons.reader` rejects files that refer to an unknown clip, run, policy, setting, view, metric or term.

    {"id": "kv-cache", "number": 1, "title": …, "about": …, "minutes": 5, "steps": [
      {"title": …, "text": ["A sentence with a [[term]] of the glossary.", …],
       "needs": ["policy:rekv"], "without": "text to show if that is missing",
       "do": [{"do": "play", "label": "Start the clip", "clip": "first-card", "until": 60, "settings": {"policy": "full"}},
              {"do": "set", "label": …, "settings": {"smoothing": false}},
              {"do": "ask", "label": …, "question": …},
              {"do": "run", "label": …, "run": "first-card-window", "seconds": 60},
              {"do": "show", "label": …, "view": "layers", "mode": "guidance"}],
       "point": {"view": "layers"},                     shown when the step opens
       "calculator": {"model": "llava-onevision-7b"},    a calculator with these initial values
       "wait": {"clip": "first-card", "seconds": 60, "question": …, "state": "ended"},
       "predict": {"question": …, "choices": [{"text": …, "right": "small < 2 * large"}, …]},
       "figures": {"small": {"of": "cache_bytes"}, "large": {"of": "held", "event": 0, "tier": "long-term"}},
       "keep": ["small"],                               measured here, for later steps of this lesson
       "reveal": ["It is {small}.", {"if": "small < large", "say": …}]}]}

See `ui.lessons.conditions` for conditions and `ui.lessons.metrics` for metrics ("figures"). A reveal measures all metrics of
its step when it is requested, and they determine which choice is right.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from hermes.errors import HermesError

VIEWS: Final = (
    "filmstrip", "layers", "retention", "life", "answer", "evidence", "try",
    "player", "chat", "settings", "meters",
)  # fmt: skip
"""Parts of the page that a step can point at: sections of the board, and others."""
STATES: Final = ("playing", "paused", "ended", "failed", "stopped")
SPEEDS: Final = (1, 2, 4, 0)
STREAM_SETTINGS: Final = ("policy", "budget", "guidance", "fps")


class LessonError(HermesError):
    """Invalid lesson file or request."""


@dataclass(frozen=True)
class Known:
    """What lessons can refer to.

    Attributes:
        clips: Length of each bundled clip in seconds, by id.
        runs: Ids of the recorded runs.
        policies: Policies by name, each with its `settings`.
        modes: Display modes of the chart of layers and frames.
        terms: Terms of the glossary and their other forms, in lower case.
    """

    clips: Mapping[str, float]
    runs: Collection[str]
    policies: Mapping[str, Any]
    modes: Collection[str]
    terms: Collection[str]


@dataclass(frozen=True)
class Action:
    """An action of a step.

    Attributes:
        do: "play" a clip into an empty memory, "set" settings, "ask" a question, open a recorded "run", or "show" a part.
        label: Label of the button.
        clip: Id of the clip to play.
        speed: Playback speed; 0 means as fast as the model can.
        settings: Settings by name, of the stream (policy, budget, guidance, fps) and of the policy.
        question: The question to ask.
        until: Time in seconds up to which the clip is processed as fast as the model can, before it pauses; 0: it plays at
            `speed`.
        run: Id of the run.
        seconds: Time at which the run opens, paused; 0: it plays from its start.
        view: The part to show: {"view", "mode", "layer", "frame", "seconds"}.
    """

    do: Literal["play", "set", "ask", "run", "show"]
    label: str
    clip: str = ""
    speed: int = 1
    until: float = 0.0
    settings: Mapping[str, Any] = field(default_factory=dict)
    question: str = ""
    run: str = ""
    seconds: float = 0.0
    view: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class LessonChoice:
    """A choice of a prediction. `right` is the condition for it to be right; "" means never."""

    text: str
    right: str = ""


@dataclass(frozen=True)
class Say:
    """A sentence of a reveal, shown if its condition is true. "" means always."""

    text: str
    condition: str = ""


@dataclass(frozen=True)
class LessonStep:
    """One step; see the file format above."""

    title: str
    text: tuple[str, ...]
    needs: tuple[str, ...] = ()
    without: str = ""
    do: tuple[Action, ...] = ()
    point: Mapping[str, Any] = field(default_factory=dict)
    calculator: Mapping[str, Any] = field(default_factory=dict)
    wait: Mapping[str, Any] = field(default_factory=dict)
    question: str = ""
    choices: tuple[LessonChoice, ...] = ()
    figures: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    keep: tuple[str, ...] = ()
    reveal: tuple[Say, ...] = ()


@dataclass(frozen=True)
class Lesson:
    """One lesson; see the file format above."""

    id: str
    number: int
    title: str
    about: str
    minutes: int
    steps: tuple[LessonStep, ...]


def is_there(need: str, known: Known) -> bool:
    """Return whether a requirement of a step ("policy:NAME" or "run:ID") is available."""
    kind, _, name = need.partition(":")
    return name in (known.policies if kind == "policy" else known.runs)
