"""Controller of the lessons: applies the actions of a step and measures its reveal. Independent of Gradio.

A lesson does not change the reader's own stream: it runs in a second visitor (`Sessions.enter_guest`). Leaving the lesson
shows the first visitor again.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from hermes.analysis.cache_cost import DTYPE_BYTES, CacheShape, StateShape
from hermes.errors import HermesError
from hermes.policies.settings import only_changed
from ui.lessons.conditions import Value, fill, holds, write
from ui.lessons.metrics import FIGURES, NotYetError, Sight
from ui.lessons.model import STREAM_SETTINGS, Action, Known, Lesson, LessonError, LessonStep, is_there
from ui.visitors.playback import SPEEDS

if TYPE_CHECKING:
    from ui.visitors.registry import Sessions
    from ui.visitors.visitor import Visitor

logger = logging.getLogger(__name__)

Reply = dict[str, Any]


class _OpeningError(NotYetError):
    """The moment of a step was not open yet. `action` opens it."""

    def __init__(self, action: Action) -> None:
        super().__init__("The page is going to the moment that this step is about.")
        self.action = action


class LessonController:
    """Answers the requests of the lessons panel, for all visitors."""

    def __init__(self, sessions: Sessions, lessons: Sequence[Lesson], known: Known) -> None:
        self._sessions = sessions
        self._lessons = {lesson.id: lesson for lesson in lessons}
        self._known = known
        self._kept: WeakKeyDictionary[Visitor, dict[str, tuple[Value, str]]] = WeakKeyDictionary()
        self._opened: WeakKeyDictionary[Visitor, tuple[str, int]] = WeakKeyDictionary()

    def answer(self, request: Mapping[str, Any], key: str | None) -> Reply:
        """Answer one request: `kind` is "open", "act", "reveal" or "leave". The reply repeats its `id`.

        A reply has `error` if the request failed, and `waiting` if the result is not available yet. With `waiting`, `opened`
        is the action that was done for the reader because its moment was not open.
        """
        reply: Reply = {"id": request.get("id"), "kind": request.get("kind")}
        try:
            return reply | self._do(request, key)
        except _OpeningError as opening:
            return reply | {"waiting": str(opening), "opened": _action(opening.action)}
        except NotYetError as problem:
            return reply | {"waiting": str(problem)}
        except HermesError as problem:
            return reply | {"error": str(problem)}
        except Exception:
            logger.exception("a lesson failed")
            return reply | {"error": "This failed because of an internal error. Try again."}

    def visitor(self, key: str | None) -> Visitor:
        """Return the active visitor: during a lesson its guest, otherwise the visitor itself."""
        return self._sessions.get(key)

    def _do(self, request: Mapping[str, Any], key: str | None) -> Reply:
        kind = request.get("kind")
        if kind == "leave":
            self._sessions.leave_guest(key)
            return {}
        if kind not in ("open", "act", "reveal"):
            raise LessonError("Unknown request.")
        lesson = self._lesson(request)
        visitor = self._sessions.enter_guest(key)
        if kind == "open":
            return {}
        index, step = self._step(lesson, request)
        if kind == "act":
            return self._act(visitor, lesson, index, step, request)
        return self._reveal(visitor, lesson, index, step)

    def _lesson(self, request: Mapping[str, Any]) -> Lesson:
        lesson = self._lessons.get(str(request.get("lesson")))
        if lesson is None:
            raise LessonError("This lesson does not exist.")
        return lesson

    @staticmethod
    def _step(lesson: Lesson, request: Mapping[str, Any]) -> tuple[int, LessonStep]:
        index = request.get("step")
        if not isinstance(index, int) or not 0 <= index < len(lesson.steps):
            raise LessonError("This step does not exist.")
        return index, lesson.steps[index]

    # Actions of a step ---------------------------------------------------------------------------------------------

    def _act(self, visitor: Visitor, lesson: Lesson, index: int, step: LessonStep, request: Mapping[str, Any]) -> Reply:
        number = request.get("action")
        if not isinstance(number, int) or not 0 <= number < len(step.do):
            raise LessonError("This step has no such action.")
        if missing := [need for need in step.needs if not is_there(need, self._known)]:
            raise LessonError(f"This needs {missing[0].partition(':')[2]}, which is not available here.")
        action = step.do[number]
        if action.do == "play":
            self._opened[visitor] = (lesson.id, index)  # in clip mode, Run is pressed by the reader afterwards
            self._play(visitor, action)
        elif action.do == "run":
            self._opened[visitor] = (lesson.id, index)
            visitor.open_run(action.run, action.seconds, play=not action.seconds)
        elif action.do == "set":
            return {"notice": " ".join(self._set(visitor, action.settings))}
        return {}

    def _play(self, visitor: Visitor, action: Action) -> None:
        """Start a clip with an empty memory and the initial settings, overridden by those of the action."""
        visitor.transport("stop")
        fresh = visitor.first_settings
        visitor.change(
            policy=fresh.policy, budget=fresh.budget, guidance=fresh.guidance, fps=fresh.fps, changed=fresh.changed
        )
        self._set(visitor, action.settings)
        visitor.change(speed=SPEEDS[action.speed])
        source = visitor.source({"kind": "clip", "id": action.clip})
        visitor.choose(source)
        visitor.start(source, action.until or None)

    def _set(self, visitor: Visitor, requested: Mapping[str, Any]) -> list[str]:
        """Apply settings: those in `STREAM_SETTINGS` to the stream, all others to its policy. Return the notices."""
        now = visitor.settings
        policy = str(requested.get("policy", now.policy))
        own = self._known.policies[policy].settings
        before = dict(now.changed) if policy == now.policy else {}
        more = {name: value for name, value in requested.items() if name not in STREAM_SETTINGS}
        stream = {name: value for name, value in requested.items() if name in STREAM_SETTINGS}
        return visitor.change(**stream, changed=only_changed(own, before | more, policy))

    def _open(self, visitor: Visitor, lesson: Lesson, index: int) -> None:
        """Open the clip or the recorded run of a step, and raise _OpeningError, because its moment comes later."""
        step = lesson.steps[index]
        number = next(i for i, action in enumerate(step.do) if action.do in ("play", "run"))
        self._act(visitor, lesson, index, step, {"action": number})
        raise _OpeningError(step.do[number])

    # Reveal --------------------------------------------------------------------------------------------

    def _reveal(self, visitor: Visitor, lesson: Lesson, index: int, step: LessonStep) -> Reply:
        sight = Sight.of(visitor)
        self._wait(visitor, lesson, index, step, sight)
        measured, units = self._measure(step, sight)
        kept = self._kept.setdefault(visitor, {})
        for name in step.keep:
            kept[f"{lesson.id}/{name}"] = (measured[name], units[name])
        for name, (value, unit) in kept.items():
            of, _, short = name.partition("/")
            if of == lesson.id and short not in measured:
                measured[short], units[short] = value, unit
        written = {name: write(value, units[name]) for name, value in measured.items()}
        try:
            right = [bool(choice.right) and holds(choice.right, measured) for choice in step.choices]
            sentences = [say for say in step.reveal if not say.condition or holds(say.condition, measured)]
            text = [fill(say.text, written) for say in sentences]
        except KeyError as missing:
            step_number = self._kept_by(lesson, str(missing.args[0]))
            raise NotYetError(
                f"This step compares with a measurement of step {step_number}. Go back and complete that step first."
            ) from None
        return {"right": right, "text": text, "figures": written}

    @staticmethod
    def _kept_by(lesson: Lesson, name: str) -> int:
        return next((i + 1 for i, step in enumerate(lesson.steps) if name in step.keep), 1)

    @staticmethod
    def _measure(step: LessonStep, sight: Sight) -> tuple[dict[str, Value], dict[str, str]]:
        measured: dict[str, Value] = {}
        units: dict[str, str] = {}
        for name, given in step.figures.items():
            figure = FIGURES[given["of"]]
            measured[name] = figure.measure(sight, **{key: value for key, value in given.items() if key != "of"})
            units[name] = figure.unit
        return measured, units

    def _wait(self, visitor: Visitor, lesson: Lesson, index: int, step: LessonStep, sight: Sight) -> None:
        """Raise NotYetError until what the step is about has happened."""
        wait, view = step.wait, sight.view
        if not wait:
            return
        opening = [i for i in range(index + 1) if any(action.do in ("play", "run") for action in lesson.steps[i].do)]
        if opening and self._opened.get(visitor) != (lesson.id, opening[-1]):
            self._open(visitor, lesson, opening[-1])
        if view is None or view.snapshot is None:
            raise NotYetError("The clip is starting.")
        state, clock = wait.get("state"), 0.0 if math.isnan(view.clock) else view.clock
        if state and view.state != state and not (state == "stopped" and view.state in ("ended", "failed")):
            raise NotYetError(f"The clip is at {write(clock, 'seconds')}; the result is available when it ends.")
        until = wait.get("seconds", 0)
        if clock + 1 / visitor.settings.fps <= until and view.state not in ("ended", "failed"):
            raise NotYetError(
                f"The clip is at {write(clock, 'seconds')}; the result is available from {write(until, 'seconds')}."
            )
        question, trace = wait.get("question"), view.snapshot.answer
        if question and view.answering:
            raise NotYetError("The answer is being generated.")
        if question and (trace is None or trace.question != question):
            raise NotYetError(f"Ask “{question}” with the button above.")


def _action(one: Action) -> Reply:
    more = {"question": one.question, "run": one.run, "seconds": one.seconds, "clip": one.clip}
    used = {name: value for name, value in more.items() if value}
    return {"do": one.do, "label": one.label, **used, **({"view": dict(one.view)} if one.view else {})}


def plan(lesson: Lesson, known: Known) -> Reply:
    """Return a lesson for the browser: texts and buttons, without the conditions for the right choices."""

    def step(one: LessonStep) -> Reply:
        missing = [need for need in one.needs if not is_there(need, known)]
        payload: Reply = {"title": one.title, "text": list(one.text)}
        if missing:
            return payload | {"without": one.without}
        return payload | {
            "do": [_action(item) for item in one.do],
            "point": dict(one.point),
            "calculator": dict(one.calculator),
            "question": one.question,
            "choices": [choice.text for choice in one.choices],
        }

    return {
        "id": lesson.id,
        "number": lesson.number,
        "title": lesson.title,
        "about": lesson.about,
        "minutes": lesson.minutes,
        "steps": [step(one) for one in lesson.steps],
    }


def calculator(
    memory: int,
    models: Mapping[str, Mapping[str, Any]],
    pocket: Mapping[str, Any],
    recurrent: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> Reply:
    """Return the data of the calculator: bytes per token of every model by data type, and this machine's memory.

    Recurrent models have the size of their state instead.
    """
    names = ("id", "title", "tokens_per_frame", "dtype", "note")

    def row(model: Mapping[str, Any]) -> Reply:
        shape = CacheShape(model["layers"], model["kv_heads"], model["head_dim"])
        return {name: model[name] for name in names} | {
            "bytes_per_token": {dtype: shape.bytes_per_token(dtype) for dtype in DTYPE_BYTES}
        }

    def state_row(model: Mapping[str, Any]) -> Reply:
        shape = StateShape(model["layers"], model["heads"], model["head_dim"], model["state"])
        return {name: model[name] for name in names} | {
            "state_bytes": {dtype: shape.state_bytes(dtype) for dtype in DTYPE_BYTES}
        }

    rows = [row(model) for model in (*models.values(), pocket)]
    return {"memory": memory, "models": rows + [state_row(model) for model in recurrent.values()]}
