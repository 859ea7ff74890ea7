"""Lessons at work without a browser: each is walked through on the real engine with the models that ship."""

from __future__ import annotations

from dataclasses import replace

import pytest
from patience import until

from hermes.assets import ASSETS
from hermes.policies import POLICIES
from hermes.serving.engine import Engine, StreamSettings
from ui.lessons.component import known_here, make_lessons
from ui.lessons.controller import LessonController, plan
from ui.lessons.reader import read_lesson
from ui.settings.model_choice import ModelChoice
from ui.settings.model_loader import ModelLoader
from ui.visitors.registry import Quota, Sessions
from ui.visitors.visitor import Visitor

NAMES = [path.stem for path in sorted((ASSETS / "lessons").glob("*.json"))]
IN_BROWSER = ("eviction", "kv-cache")
"""Lessons that `tests/e2e/test_lessons.py` walks through."""
KEY = "tab"


@pytest.fixture(scope="module")
def engine():
    running = Engine()
    running.load("pocket")
    yield running
    running.close()


@pytest.fixture(scope="module")
def known(bundled_clips):
    return known_here(bundled_clips, {path.stem for path in (ASSETS / "runs").glob("*.hermesrun")}, POLICIES)


@pytest.fixture
def sessions(engine, bundled_clips, bundled_runs, tmp_path):
    loader = ModelLoader(engine)
    loader.ensure("pocket")
    choice = ModelChoice.of_shipped()

    def make():
        return Visitor(StreamSettings(speed=4.0), loader, bundled_clips, POLICIES, bundled_runs, choice=choice)

    registry = Sessions(make, Quota(), tmp_path)
    yield registry
    registry.close(KEY)


def lesson_of(name, known):
    return read_lesson(ASSETS / "lessons" / f"{name}.json", known)


def at_rest(visitor):
    """Whether a jump has ended, so that every frame up to its time was processed."""
    return visitor.stream is not None and visitor.stream.view().state in ("paused", "ended", "failed")


@pytest.mark.parametrize("name", [name for name in NAMES if name not in IN_BROWSER])
def test_every_reveal_can_be_measured(name, sessions, known):
    """Each step is done in turn; every reveal then has a choice that is right, and sentences without gaps."""
    lesson = lesson_of(name, known)
    controller = LessonController(sessions, [lesson], known)
    assert "error" not in controller.answer({"id": 1, "kind": "open", "lesson": name}, KEY)
    for index, step in enumerate(lesson.steps):
        for number, action in enumerate(step.do):
            if action.do in ("ask", "show"):
                assert action.do == "show" or list(sessions.get(KEY).ask(action.question))
                continue
            request = {"id": 2, "kind": "act", "lesson": name, "step": index, "action": number}
            reply = controller.answer(request, KEY)
            assert "error" not in reply, reply
            visitor = sessions.get(KEY)
            until(lambda visitor=visitor: at_rest(visitor))
            if action.until:
                assert action.until - 2 < visitor.stream.view().clock <= action.until
        if not step.choices:
            continue
        reply = controller.answer({"id": 3, "kind": "reveal", "lesson": name, "step": index}, KEY)
        assert "right" in reply, (index + 1, reply)
        assert any(reply["right"]), (index + 1, reply)
        assert reply["text"]
        assert not [line for line in reply["text"] if "{" in line or "nothing to measure" in line]


def test_a_lesson_does_not_change_the_readers_stream(sessions, known):
    own = sessions.get(KEY)
    own.start(own.source({"kind": "clip", "id": "quick-tour"}))
    until(lambda: own.stream.view().frame_index >= 2)
    controller = LessonController(sessions, [lesson_of("eviction", known)], known)
    controller.answer({"id": 1, "kind": "open", "lesson": "eviction"}, KEY)
    guest = sessions.get(KEY)
    assert guest is not own
    assert own.stream.view().state == "paused"
    seen, settings = own.stream.view().frame_index, own.settings
    controller.answer({"id": 2, "kind": "act", "lesson": "eviction", "step": 0, "action": 0}, KEY)
    assert guest.settings.policy == "sliding-window"
    assert (own.settings, own.stream.view().frame_index) == (settings, seen)
    controller.answer({"id": 3, "kind": "leave", "lesson": "eviction", "step": 0}, KEY)
    assert sessions.get(KEY) is own
    assert guest.stream is None  # its memory is freed
    until(lambda: own.stream.view().frame_index > seen)
    assert own.poll(None, -1)[0]["restarted"]


def test_a_reveal_goes_to_its_moment_and_explains_what_is_missing(sessions, known):
    controller = LessonController(sessions, [lesson_of("eviction", known)], known)
    ask = {"id": 1, "kind": "reveal", "lesson": "eviction"}
    assert "right" in controller.answer({**ask, "step": 4}, KEY)  # from the model's card, without a stream
    later = controller.answer({**ask, "step": 1}, KEY)  # the clip belongs to step 1
    assert later["waiting"].startswith("The page is going to the moment")
    assert (later["opened"]["do"], later["opened"]["clip"]) == ("play", "first-card")
    visitor = sessions.get(KEY)
    until(lambda: at_rest(visitor))
    assert visitor.stream.view().clock == pytest.approx(60, abs=0.3)
    assert (
        controller.answer({**ask, "step": 1}, KEY)["waiting"] == "Ask “What was the first card?” with the button above."
    )
    assert "right" in controller.answer({**ask, "step": 0}, KEY)


def test_a_stream_skips_to_a_time_and_continues_at_its_speed(sessions):
    visitor = sessions.get(KEY)
    visitor.start(visitor.source({"kind": "clip", "id": "quick-tour"}), until=6.2)
    until(lambda: visitor.stream.view().state == "paused")
    view = visitor.stream.view()
    assert 5.7 < view.clock <= 6.2
    assert view.snapshot.frames_seen == view.frame_index + 1
    visitor.transport("resume")
    until(lambda: visitor.stream.view().clock > 6.2)
    assert visitor.stream.view().state == "playing"  # at speed 4, not up to the end at once
    visitor.start(visitor.source({"kind": "clip", "id": "quick-tour"}), until=1e6)
    until(lambda: visitor.stream.view().state == "ended")


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"kind": "act", "lesson": "none"}, "This lesson does not exist."),
        ({"kind": "act", "lesson": "eviction", "step": 99}, "This step does not exist."),
        ({"kind": "act", "lesson": "eviction", "step": 0, "action": 7}, "has no such action"),
        ({"kind": "dance", "lesson": "eviction"}, "Unknown request"),
    ],
)
def test_odd_requests_are_refused(request_, message, sessions, known):
    assert (
        message
        in LessonController(sessions, [lesson_of("eviction", known)], known).answer({"id": 1, **request_}, KEY)["error"]
    )


def test_a_policy_that_is_missing_is_explained(known):
    without = replace(known, policies={name: policy for name, policy in POLICIES.items() if name != "rekv"})
    payload = plan(read_lesson(ASSETS / "lessons" / "retrieval.json", without), without)
    assert "not available here" in payload["steps"][0]["without"]
    assert "choices" not in payload["steps"][0]


def test_the_browser_does_not_receive_the_right_choice(known):
    for name in NAMES:
        for step in plan(lesson_of(name, known), known)["steps"]:
            assert all(isinstance(choice, str) for choice in step.get("choices", ()))
            assert not {"right", "figures", "reveal"} & set(step)


def test_a_lesson_without_its_clips_is_left_out(sessions, caplog):
    controller, offer = make_lessons(sessions, {}, (), POLICIES)
    assert [lesson["id"] for lesson in offer["lessons"]] == []
    assert "there is no clip" in caplog.text
    assert controller.answer({"id": 1, "kind": "open", "lesson": "eviction"}, KEY)["error"]


def test_the_calculator_lists_published_models(sessions, bundled_clips):
    _, offer = make_lessons(sessions, bundled_clips, (), POLICIES)
    models = {model["id"]: model for model in offer["calculator"]["models"]}
    assert models["llava-onevision-7b"]["bytes_per_token"]["bfloat16"] == 57_344
    assert offer["calculator"]["memory"] > 0
    assert models["pocket"]["bytes_per_token"]["float32"] > 0
    assert models["video-ma2mba-2.7b"]["state_bytes"]["bfloat16"] == 2 * 64 * (5120 * 128 + 4 * (5120 + 256))
    assert "recurrent" in models["video-ma2mba-2.7b"]["note"]
