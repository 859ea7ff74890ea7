"""The time limit of webcam streams while visitors wait, with a clock of the test."""

from __future__ import annotations

import numpy as np
import pytest
from patience import until
from visitors import visitors

from hermes.serving.engine import Engine
from ui.flags import parse, read_options
from ui.visitors.waiting_line import WaitingLine
from ui.visitors.webcam_limit import WARNING_SECONDS, WebcamLimit

LIMIT = 300.0
SLOW = 0.1
"""Speed of a clip that does not end during a test."""


class Clock:
    """A clock that the test sets."""

    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_the_oldest_webcams_end_after_a_warning_and_only_as_many_as_visitors_wait(clock):
    limit = WebcamLimit(LIMIT, clock)
    webcams = {"a": clock.now - 200, "b": clock.now - 1000, "c": clock.now}
    assert limit.overdue(0, webcams) == []
    assert limit.seconds_left("b") is None, "no visitor waits"
    assert limit.overdue(1, webcams) == []
    assert (limit.seconds_left("b"), limit.seconds_left("a")) == (WARNING_SECONDS, None)
    assert limit.overdue(2, webcams) == []
    assert limit.seconds_left("a") is None, "it ends in 100 seconds, which is too early for a warning"
    clock.now += WARNING_SECONDS - 1
    assert limit.overdue(2, webcams) == []
    assert (limit.seconds_left("b"), limit.seconds_left("a")) == (1, WARNING_SECONDS)
    clock.now += 1
    assert limit.overdue(2, webcams) == ["b"]
    del webcams["b"]
    assert limit.overdue(0, webcams) == []
    assert limit.seconds_left("a") is None, "the warning is withdrawn"
    clock.now += 1000
    assert limit.overdue(1, webcams) == []
    assert limit.seconds_left("a") == WARNING_SECONDS, "there is a new warning"


def test_without_a_limit_no_webcam_ends(clock):
    limit = WebcamLimit(0.0, clock)
    assert limit.overdue(9, {"a": clock.now - 1e6}) == []
    assert limit.seconds_left("a") is None


@pytest.mark.parametrize(
    ("given", "seconds"), [((), 300), (("--webcam-minutes", "0"), 0), (("--webcam-minutes", "7"), 420)]
)
def test_the_flag(given, seconds, monkeypatch):
    monkeypatch.delenv("HERMES_WEBCAM_MINUTES", raising=False)
    assert 60 * read_options(parse(list(given))).webcam_minutes == seconds
    monkeypatch.setenv("HERMES_WEBCAM_MINUTES", "-1")
    with pytest.raises(SystemExit):
        parse([])


@pytest.fixture
def line(clock, tiny_folder):
    engine = Engine(max_streams=1)
    engine.load(str(tiny_folder))
    yield WaitingLine(engine, clock, LIMIT)
    engine.close()


@pytest.fixture
def make(line, tiny_folder, rolling_ball):
    with visitors(line._engine, tiny_folder, rolling_ball, line=line) as new:
        yield new


def state(visitor):
    return visitor.poll(None, -1)[0]


def serve(line):
    for thread in line.serve():
        thread.join(60)


def film(visitor, seconds, clock):
    """Send a picture, as often as it takes."""
    clock.now += seconds
    visitor.stream.offer(np.full((48, 64, 3), 90, np.uint8))


def test_a_webcam_makes_way_for_a_visitor_who_waits_and_keeps_its_memory(make, line, clock):
    webcam, other = make(), make(speed=SLOW)
    webcam.start(webcam.source({"kind": "camera"}))
    film(webcam, 3000, clock)
    until(lambda: state(webcam)["frames"] == 1)
    serve(line)
    assert state(webcam)["state"] == "playing", "no visitor waits"
    other.start(other.source({"kind": "clip", "id": "film"}))
    serve(line)
    assert (state(webcam)["state"], state(webcam)["ends_in"], state(other)["ends_in"]) == ("playing", 60, None)
    clock.now += 50
    webcam.transport("pause")
    webcam.transport("resume")
    webcam.restart()
    webcam.start(other.source({"kind": "clip", "id": "film"}))
    webcam.start(webcam.source({"kind": "camera"}))
    serve(line)
    assert state(webcam)["ends_in"] == 10, "neither a restart nor another source extends its time"
    film(webcam, 0, clock)
    until(lambda: state(webcam)["frames"] == 1)
    clock.now += 10
    serve(line)
    until(lambda: serve(line) or state(other)["state"] == "playing")
    ended = state(webcam)
    assert (ended["state"], ended["ends_in"]) == ("ended", None)
    assert (
        "Other visitors are waiting, so your webcam stream ended after 5 minutes. Your memory stays"
        in ended["notice"]["text"]
    )
    assert list(webcam.ask("What is shown?"))[-1]["turns"][-1]["state"] == "done"
    assert webcam.slot.webcam_ended
    webcam.start(webcam.source({"kind": "camera"}))
    assert state(webcam)["waiting"] == {"place": 1, "of": 1}
    other.transport("stop")
    until(lambda: serve(line) or state(webcam)["state"] == "playing")
    assert not webcam.slot.webcam_ended
    other.start(other.source({"kind": "clip", "id": "film"}))
    serve(line)
    assert state(webcam)["ends_in"] is None, "its time is reset with its new slot"


def test_a_clip_does_not_end_because_others_wait(make, line, clock):
    first, other = make(speed=SLOW), make()
    first.start(first.source({"kind": "clip", "id": "film"}))
    other.start(other.source({"kind": "clip", "id": "film"}))
    clock.now += 10 * LIMIT
    serve(line)
    clock.now += 10 * LIMIT
    serve(line)
    assert (state(first)["state"], state(other)["waiting"]) == ("playing", {"place": 1, "of": 1})
