"""What a lesson is, and what its file in `assets/lessons` may say; `ui.lessons.reader` reads it.

A file that names an unknown clip, run, policy, setting, view, figure or term is refused with a sentence that says where.

    {"id": "kv-cache", "number": 1, "title": …, "about": …, "minutes": 5, "steps": [
      {"title": …, "text": ["A sentence with a [[term]] of the glossary.", …],
       "needs": ["policy:rekv"], "without": "what to say where that is missing",
       "do": [{"do": "play", "label": "Start the clip", "clip": "first-card", "speed": 4, "settings": {"policy": "full"}},
              {"do": "set", "label": …, "settings": {"smoothing": false}},
              {"do": "ask", "label": …, "question": …},
              {"do": "run", "label": …, "run": "first-card-window", "seconds": 60},
              {"do": "show", "label": …, "view": "layers", "mode": "guidance"}],
       "point": {"view": "layers"},                     shown when the step opens
       "calculator": {"model": "llava-onevision-7b"},    a calculator with this to begin with
       "wait": {"clip": "first-card", "seconds": 60, "policy": "hermes", "question": …, "state": "ended"},
       "predict": {"question": …, "choices": [{"text": …, "right": "small < 2 * large"}, …]},
       "figures": {"small": {"of": "cache_bytes"}, "large": {"of": "held", "event": 0, "tier": "long-term"}},
       "keep": ["small"],                               measured here, for later steps of this lesson
       "reveal": ["It is {small}.", {"if": "small < large", "say": …}]}]}

Conditions are those of `ui.lessons.conditions`, figures those of `ui.lessons.metrics`. A reveal measures all its figures
when it is asked for; which choice is right follows from them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from hermes.errors import HermesError

VIEWS: Final = (
    "filmstrip", "layers", "retention", "life", "answer", "fate", "try",
    "player", "chat", "settings", "meters",
)  # fmt: skip
"""What a step can point at: sections of the board, and the page's other parts."""
STATES: Final = ("playing", "paused", "ended", "failed", "stopped")
SPEEDS: Final = (1, 2, 4, 0)
STREAM_SETTINGS: Final = ("policy", "budget", "guidance", "fps")


class LessonError(HermesError):
    """A lesson file that cannot be used; the message says where and why."""


@dataclass(frozen=True)
class Known:
    """What a lesson may name.

    Attributes:
        clips: Seconds of each bundled clip, by id.
        runs: Ids of the recorded runs.
        policies: Policies by name, each with its `settings`.
        modes: What the figure of layers and frames can show.
        terms: Terms of the glossary and their other forms, in lower case.
    """

    clips: Mapping[str, float]
    runs: Collection[str]
    policies: Mapping[str, Any]
    modes: Collection[str]
    terms: Collection[str]


@dataclass(frozen=True)
class Action:
    """One thing that a step can do on the page.

    Attributes:
        do: "play" a clip into an empty memory, "set" settings, "ask" a question, open a recorded "run", or "show" a part.
        label: The button's words.
        clip: Id of the clip to play.
        speed: Seconds of video a second, 0: as fast as the model can.
        settings: Settings by name: those of the stream (policy, budget, guidance, fps) and of the policy.
        question: What to ask.
        run: Id of the run.
        seconds: Its moment.
        view: What to show: {"view", "mode", "layer", "frame", "seconds"}.
    """

    do: Literal["play", "set", "ask", "run", "show"]
    label: str
    clip: str = ""
    speed: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)
    question: str = ""
    run: str = ""
    seconds: float = 0.0
    view: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class LessonChoice:
    """An answer that the learner can choose; `right` is the condition under which it is the right one, "" never."""

    text: str
    right: str = ""


@dataclass(frozen=True)
class Say:
    """A sentence of a reveal, said if its condition holds ("": always)."""

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
    """Whether what a step needs ("policy:NAME", "run:ID") exists here."""
    kind, _, name = need.partition(":")
    return name in (known.policies if kind == "policy" else known.runs)
