"""Reads and validates lesson files. See `ui.lessons.model` for the format."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from hermes.errors import HermesError
from hermes.policies.settings import Setting, setting_of
from ui.lessons.conditions import ConditionError, names_in, places_in
from ui.lessons.metrics import FIGURES, published
from ui.lessons.model import (
    SPEEDS,
    STATES,
    STREAM_SETTINGS,
    VIEWS,
    Action,
    Known,
    Lesson,
    LessonChoice,
    LessonError,
    LessonStep,
    Say,
    is_there,
)

STEP_PARTS: Final = (
    "title", "text", "needs", "without", "do", "point", "calculator", "wait", "predict", "figures", "keep", "reveal",
)  # fmt: skip
_TERM = re.compile(r"\[\[([^\]|]+)\]\]")
_STEPS: Final = range(3, 9)


def read_lesson(path: Path, known: Known) -> Lesson:
    """Read one lesson.

    Raises:
        LessonError: The file is not a valid lesson. The message describes the problem and its location.
    """
    try:
        data = json.loads(path.read_text("utf-8"))
    except json.JSONDecodeError as problem:
        raise LessonError(f"Lesson “{path.stem}”: the file is not valid JSON ({problem}).") from None
    return _Reader(path.stem, known).lesson(data)


def read_lessons(folder: Path, known: Known) -> list[Lesson]:
    """Read the lessons of a folder, in order of their numbers.

    Raises:
        LessonError: A file is not a valid lesson, or two lessons have the same number.
    """
    lessons = sorted((read_lesson(path, known) for path in folder.glob("*.json")), key=lambda lesson: lesson.number)
    numbers = [lesson.number for lesson in lessons]
    if len(set(numbers)) < len(numbers):
        raise LessonError("Two lessons have the same number.")
    return lessons


class _Reader:
    """Reads one lesson, and reports the location of errors."""

    def __init__(self, name: str, known: Known) -> None:
        self._name, self._known, self._where = name, known, ""
        self._kept: set[str] = set()

    def fail(self, why: str) -> LessonError:
        return LessonError(f"Lesson “{self._name}”{self._where}: {why}.")

    def only(self, given: Mapping[str, Any], names: Iterable[str], what: str) -> None:
        if not isinstance(given, Mapping):
            raise self.fail(f"{what} is not an object")
        if unknown := sorted(set(given) - set(names)):
            raise self.fail(f"{what} has the unknown key “{unknown[0]}”")

    def text(self, given: Mapping[str, Any], name: str) -> str:
        value = given.get(name)
        if not isinstance(value, str) or not value.strip():
            raise self.fail(f"“{name}” is missing or not a text")
        return self.prose(value)

    def prose(self, value: str) -> str:
        for term in _TERM.findall(value):
            if term.lower() not in self._known.terms:
                raise self.fail(f"“{term}” is not in the glossary")
        return value

    def whole(self, given: Mapping[str, Any], name: str, least: int) -> int:
        value = given.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise self.fail(f"“{name}” is not an integer of at least {least}")
        return value

    def lesson(self, data: Mapping[str, Any]) -> Lesson:
        self.only(data, ("id", "number", "title", "about", "minutes", "steps"), "the lesson")
        if data.get("id") != self._name:
            raise self.fail(f"its id “{data.get('id')}” differs from its file name")
        steps = data.get("steps")
        if not isinstance(steps, list) or len(steps) not in _STEPS:
            raise self.fail(f"a lesson must have {_STEPS.start} to {_STEPS.stop - 1} steps")
        made = tuple(self.step(i, step) for i, step in enumerate(steps))
        self._where = ""
        if not any(step.choices for step in made):
            raise self.fail("it has no prediction")
        return Lesson(
            self._name,
            self.whole(data, "number", 1),
            self.text(data, "title"),
            self.text(data, "about"),
            self.whole(data, "minutes", 1),
            made,
        )

    def step(self, index: int, data: Mapping[str, Any]) -> LessonStep:
        self._where = f", step {index + 1}"
        self.only(data, STEP_PARTS, "the step")
        text = data.get("text")
        if not isinstance(text, list) or not text:
            raise self.fail("“text” is not a list of paragraphs")
        needs = tuple(data.get("needs", ()))
        for need in needs:
            kind, _, name = str(need).partition(":")
            if kind not in ("policy", "run") or not name:
                raise self.fail(f"the requirement “{need}” is neither policy:NAME nor run:ID")
        if needs and not data.get("without"):
            raise self.fail("it has a requirement, but no text for pages without it (“without”)")
        figures = self.figures(data.get("figures", {}))
        question, choices = self.prediction(data.get("predict"), figures)
        if choices and not data.get("reveal"):
            raise self.fail("a prediction without a reveal")
        reveal = tuple(self.say(item, figures) for item in data.get("reveal", ()))
        if reveal and not choices:
            raise self.fail("a reveal without a prediction before it")
        keep = tuple(data.get("keep", ()))
        if missing := sorted(set(keep) - set(figures)):
            raise self.fail(f"it keeps “{missing[0]}”, which is not one of its metrics")
        missing_parts = self.missing(needs)
        step = LessonStep(
            title=self.text(data, "title"),
            text=tuple(self.prose(str(item)) for item in text),
            needs=needs,
            without=self.prose(str(data.get("without", ""))),
            do=tuple(self.action(item, skip=bool(missing_parts)) for item in data.get("do", ())),
            point=self.view(data["point"]) if "point" in data else {},
            calculator=self.calculator(data["calculator"]) if "calculator" in data else {},
            wait=self.wait(data.get("wait", {}), skip=bool(missing_parts)),
            question=question,
            choices=choices,
            figures=MappingProxyType(figures),
            keep=keep,
            reveal=reveal,
        )
        self._kept |= set(keep)
        return step

    def missing(self, needs: Iterable[str]) -> list[str]:
        return [need for need in needs if not is_there(need, self._known)]

    def figures(self, data: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
        if not isinstance(data, Mapping):
            raise self.fail("“figures” is not an object")
        for name, given in data.items():
            of = given.get("of") if isinstance(given, Mapping) else None
            if of not in FIGURES:
                raise self.fail(f"metric “{name}” has the unknown type “{of}”")
            figure, extra = FIGURES[str(of)], set(given) - {"of"}
            if lacking := sorted(set(figure.arguments) - extra):
                raise self.fail(f"metric “{name}” lacks “{lacking[0]}”")
            if unknown := sorted(extra - set(figure.arguments) - set(figure.optional)):
                raise self.fail(f"metric “{name}” has “{unknown[0]}”, which is not an argument of {of}")
            if given.get("tier") not in (None, "sensory", "working", "long-term"):
                raise self.fail(f"metric “{name}” has the unknown tier “{given['tier']}”")
            if of == "cost" and given["model"] not in published():
                raise self.fail(f"metric “{name}” has the unknown model “{given['model']}”")
            if of in ("card_accuracy", "card_loss") and given["policy"] not in self._known.policies:
                raise self.fail(f"metric “{name}” has the unknown policy “{given['policy']}”")
        return {str(name): MappingProxyType(dict(given)) for name, given in data.items()}

    def condition(self, text: object, figures: Mapping[str, Any]) -> str:
        try:
            names = names_in(str(text))
        except ConditionError as problem:
            raise self.fail(str(problem)) from None
        if unknown := sorted(names - set(figures) - self._kept):
            raise self.fail(f"“{text}” compares “{unknown[0]}”, which is not measured")
        return str(text)

    def prediction(self, data: Any, figures: Mapping[str, Any]) -> tuple[str, tuple[LessonChoice, ...]]:
        if data is None:
            return "", ()
        self.only(data, ("question", "choices"), "the prediction")
        choices = data.get("choices")
        if not isinstance(choices, list) or not 2 <= len(choices) <= 5:
            raise self.fail("a prediction must have two to five choices")
        made = []
        for item in choices:
            self.only(item, ("text", "right"), "a choice")
            right = self.condition(item["right"], figures) if "right" in item else ""
            made.append(LessonChoice(self.text(item, "text"), right))
        if not any(choice.right for choice in made):
            raise self.fail("none of its choices can be right")
        return self.text(data, "question"), tuple(made)

    def say(self, data: Any, figures: Mapping[str, Any]) -> Say:
        if isinstance(data, str):
            data = {"say": data}
        self.only(data, ("if", "say"), "a sentence of the reveal")
        text = self.text(data, "say")
        if unknown := sorted(places_in(text) - set(figures) - self._kept):
            raise self.fail(f"a sentence shows “{unknown[0]}”, which is not measured")
        return Say(text, self.condition(data["if"], figures) if "if" in data else "")

    def action(self, data: Any, *, skip: bool) -> Action:
        needed = {"play": ("clip",), "set": ("settings",), "ask": ("question",), "run": ("run",), "show": ("view",)}
        more = {
            "play": ("speed", "until", "settings"),
            "run": ("seconds",),
            "show": ("mode", "layer", "frame", "seconds"),
        }
        kind = data.get("do") if isinstance(data, Mapping) else None
        if kind not in needed:
            raise self.fail(f"the action “{kind}” is not one of {', '.join(needed)}")
        self.only(data, ("do", "label", *needed[kind], *more.get(kind, ())), f"the action “{kind}”")
        if lacking := [name for name in needed[kind] if name not in data]:
            raise self.fail(f"the action “{kind}” lacks “{lacking[0]}”")
        if kind == "play" and data["clip"] not in self._known.clips:
            raise self.fail(f"there is no clip “{data['clip']}”")
        if kind == "run" and not skip and data["run"] not in self._known.runs:
            raise self.fail(f"there is no run “{data['run']}”")
        if kind == "play" and not 0 <= data.get("until", 0) <= self._known.clips[data["clip"]]:
            raise self.fail(f"the clip “{data['clip']}” is not {data['until']} s long")
        if data.get("speed", 1) not in SPEEDS:
            raise self.fail(f"the speed {data['speed']} is not one of {', '.join(map(str, SPEEDS))}")
        return Action(
            do=kind,
            label=self.text(data, "label"),
            clip=str(data.get("clip", "")),
            speed=int(data.get("speed", 1)),
            until=float(data.get("until", 0.0)),
            settings=MappingProxyType(self.settings(data.get("settings", {}), skip=skip)),
            question=str(data.get("question", "")),
            run=str(data.get("run", "")),
            seconds=float(data.get("seconds", 0.0)),
            view=MappingProxyType(self.view(data, "do", "label") if kind == "show" else {}),
        )

    def settings(self, data: Mapping[str, Any], *, skip: bool) -> dict[str, Any]:
        policy = str(data.get("policy", "hermes"))
        if policy not in self._known.policies:
            if skip:
                return dict(data)
            raise self.fail(f"there is no policy “{policy}”")
        own: tuple[Setting, ...] = self._known.policies[policy].settings
        for name, value in data.items():
            if name == "guidance" and value not in ("forward", "embedding"):
                raise self.fail(f"guidance is “forward” or “embedding”, not “{value}”")
            if name in ("budget", "fps") and not (isinstance(value, int | float) and 0 < value <= 16_384):
                raise self.fail(f"“{name}” has the invalid value {value!r}")
            if name not in STREAM_SETTINGS:
                try:
                    setting_of(own, name, policy).checked(value)
                except HermesError as problem:
                    raise self.fail(str(problem).rstrip(".")) from None
        return dict(data)

    def view(self, data: Mapping[str, Any], *more: str) -> dict[str, Any]:
        self.only(data, ("view", "mode", "layer", "frame", "seconds", *more), "“point”")
        if data.get("view") not in VIEWS:
            raise self.fail(f"the page has no part “{data.get('view')}”")
        if data.get("mode") is not None and data["mode"] not in self._known.modes:
            raise self.fail(f"the layers have no mode “{data['mode']}”")
        return {name: value for name, value in data.items() if name not in more}

    def calculator(self, data: Mapping[str, Any]) -> dict[str, Any]:
        self.only(data, ("model", "minutes", "fps"), "the calculator")
        if data.get("model") not in published():
            raise self.fail(f"the calculator has no model “{data.get('model')}”")
        return dict(data)

    def wait(self, data: Mapping[str, Any], *, skip: bool) -> dict[str, Any]:
        self.only(data, ("clip", "run", "seconds", "policy", "question", "state"), "“wait”")
        clip = data.get("clip")
        if not skip and data.get("run") is not None and data["run"] not in self._known.runs:
            raise self.fail(f"it waits for the unknown run “{data['run']}”")
        if clip is not None and clip not in self._known.clips:
            raise self.fail(f"it waits for the unknown clip “{clip}”")
        if clip is not None and data.get("seconds", 0) > self._known.clips[clip]:
            raise self.fail(
                f"it waits for second {data['seconds']} of a clip that is {self._known.clips[clip]:g} s long"
            )
        if not skip and data.get("policy", "hermes") not in self._known.policies:
            raise self.fail(f"it waits for the unknown policy “{data['policy']}”")
        if data.get("state", "ended") not in STATES:
            raise self.fail(f"it waits for the unknown state “{data['state']}”")
        return dict(data)
