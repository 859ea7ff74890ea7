"""The lab of a visitor, on the real engine: what the browser is told, and what is refused."""

from __future__ import annotations

import base64
import json
import time

import numpy as np
import pytest
from test_side_by_side import CLIP

from hermes.engine import Engine, StreamSettings
from hermes.policies import POLICIES
from hermes.session import StreamSession
from ui.clips import read_clips
from ui.lab import Lab, choices, offer
from ui.lab_lanes import MOST_COLUMNS, Axis, held, spots
from ui.models import Shelf

RUN = {"action": "start", "clip": "quick-tour", "budget": 128, "speed": 0}


@pytest.fixture(scope="module")
def engine():
    running = Engine()
    yield running
    running.close()


@pytest.fixture(scope="module")
def clips():
    return {clip.id: clip for clip in read_clips(CLIP.parent)}


@pytest.fixture
def lab(engine, clips):
    made = Lab(StreamSettings(), Shelf(engine), clips)
    yield made
    made.close()


def wait(lab, until, seconds=60.0):
    end = time.monotonic() + seconds
    while not until(state := lab.look(-1)):
        assert time.monotonic() < end, state
        time.sleep(0.02)
    return state


def test_one_question_goes_to_all(lab):
    assert lab.look(-1)["state"] == "empty"
    lab.do(RUN | {"policies": ["hermes", "sliding-window", "full"]})
    state = wait(lab, lambda told: told["state"] == "ended" and told["frames"] >= 79)
    json.dumps(state, allow_nan=False)
    assert [lane["name"] for lane in state["lanes"]] == ["hermes", "sliding-window", "full"]
    assert state["frame"]["index"] == state["frames"]
    assert "frame" not in lab.look(state["frames"])
    lab.do({"action": "ask", "question": "What was the first card?"})
    state = wait(lab, lambda told: len(told["asked"]) == 1)
    asked = state["asked"][0]
    assert asked["truth"] == "Red circle."
    assert len(asked["replies"]) == 3
    for lane, reply in zip(state["lanes"], asked["replies"], strict=True):
        assert lane["state"] == "done"
        assert lane["answer"] == reply["said"]
        assert lane["verdict"]["right"] == reply["right"] == (reply["said"] == "Red circle.")
        assert lane["verdict"]["sentence"]
        assert lane["moved"] == lane["archive"] == 0
        assert lane["first_ms"] > 0
        assert len(base64.b64decode(lane["held"])) == lane["layers"] * state["columns"]
        assert len(base64.b64decode(lane["spots"])) == state["columns"]
    hermes, window, full = state["lanes"]
    assert (hermes["resident"], window["resident"], full["resident"]) == (128, 128, 16 * state["frames"])
    assert (hermes["tiers"] is None, window["tiers"]) == (False, None)
    assert window["verdict"]["outcome"] == "evicted"
    lab.do({"action": "end"})
    assert lab.look(-1)["lanes"] == []


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        (RUN | {"policies": ["hermes"]}, "two to four"),
        (RUN | {"policies": "hermes"}, "two to four"),
        (RUN | {"policies": ["hermes", "<b>"]}, "no policy or preset"),
        (RUN | {"policies": ["hermes", "full"], "clip": "../secret"}, "not bundled"),
        (RUN | {"policies": ["hermes", "full"], "budget": 10**9}, "from the lists"),
        (RUN | {"policies": ["hermes", "full"], "speed": "fast"}, "from the lists"),
        ({"action": "ask", "question": "What was first?"}, "Start a run first"),
    ],
)
def test_what_cannot_be_done_is_told(lab, wish, says):
    lab.do(wish)
    assert says in lab.look(-1)["notice"]["text"]
    assert lab.look(-1)["state"] == "empty"


def test_another_run_frees_the_one_before(lab, engine):
    for _ in range(3):
        lab.do(RUN | {"policies": ["sliding-window", "full"]})
    assert len(engine._streams) == 1
    lab.close()
    assert engine._streams == []


def test_columns_are_frames_until_there_are_too_many():
    assert Axis.of(10, 20.0, 2.0) == Axis(40, 40)
    assert Axis.of(10, None, 2.0) == Axis(10, 10)
    long = Axis.of(10, 1800.0, 2.0)
    assert long == Axis(3600, MOST_COLUMNS)
    assert long.of_frames(3600)[[0, 22, 23, 3599]].tolist() == [0, 0, 1, MOST_COLUMNS - 1]


def test_what_is_held_and_read_by_column(tiny_model, noise):
    session = StreamSession(tiny_model, policy="sliding-window", budget=3 * tiny_model.tokens_per_frame)
    session.push(*noise(8))
    "".join(session.ask("What?", max_new_tokens=2))
    snapshot = session.snapshot()
    axis = Axis(16, 8)  # two frames a column, half the clip seen
    shares = held(snapshot, axis)
    assert shares.shape == (tiny_model.num_layers, 8)
    assert np.array_equal(shares[0], [0, 0, 127, 254, 255, 255, 255, 255])
    looked = spots(snapshot, axis)
    assert looked.max() == 255
    assert not looked[:2].any()
    assert not looked[4:].any()


def test_what_is_offered(clips):
    names = [row["name"] for row in choices(POLICIES)]
    assert len(set(names)) == len(names)
    assert {"hermes", "full", "hermes-no-smoothing"} <= set(names)
    made = offer(clips, POLICIES)
    json.dumps(made)
    assert made["clips"][0]["questions"]
