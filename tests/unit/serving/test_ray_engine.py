"""Streams on Ray actors: the same answers as in this process, placement, a full cluster, and an actor that is killed."""

from __future__ import annotations

import math
import os
import signal
import threading

import numpy as np
import pytest
from patience import PATIENCE, until

import hermes
from hermes.assets import CLIPS
from hermes.errors import HermesError
from hermes.ray_workers import RayCluster
from hermes.serving.engine import Engine
from hermes.serving.interface import StreamLostError
from hermes.serving.slots import BusyError
from hermes.trace import read_lab
from hermes.view import StreamSettings
from ui.board.cells import Wanted
from ui.lab.lab import Lab
from ui.player.clips import read_clips
from ui.settings.model_loader import ModelLoader
from ui.visitors.autosave import Autosave
from ui.visitors.visitor import Visitor

pytest.importorskip("ray", reason="the optional extra hermes-live[ray] is not installed")

from hermes.serving.ray_engine import RayEngine
from hermes.serving.ray_object import LOST as LOST_COMPARISON
from hermes.serving.ray_stream import LOST

QUESTION = "What was shown first?"
CLIP = CLIPS / "first-card.webm"
FAST = StreamSettings(speed=math.inf, chunk=1, fps=0.5, budget=64)
"""With one frame per chunk, the memory does not depend on when the frames arrive."""


@pytest.fixture(scope="module")
def engine():
    """Two actors with two live slots each."""
    with RayCluster("", 2) as cluster:
        running = RayEngine(cluster, 2, max_streams=2)
        running.load("pocket")
        yield running
        running.close()


@pytest.fixture(scope="module")
def local():
    running = Engine()
    running.load("pocket")
    yield running
    running.close()


def process_of(stream):
    """Return the process in which a stream runs."""
    return stream.replica.actor.call("where", timeout=PATIENCE)[1]


def played(engine, settings=FAST):
    """Return a stream that has played the clip to its end."""
    stream = engine.open(settings)
    stream.play(CLIP, "A clip")
    until(lambda: stream.status().state == "ended")
    return stream


def assert_same_memory(stream, other):
    one, two = (each.view().snapshot.as_dict() for each in (stream, other))
    for name in one.keys() - {"evictions", "answer"}:
        np.testing.assert_array_equal(one[name], two[name], name)


def test_a_stream_on_an_actor_is_that_of_this_process(engine, local, tmp_path):
    remote, here = played(engine), played(local)
    assert_same_memory(remote, here)
    assert "".join(remote.ask(QUESTION)) == "".join(here.ask(QUESTION)) != ""
    view, expected = remote.view(), here.view()
    assert view.snapshot.answer.answer == expected.snapshot.answer.answer
    for name in ("state", "source", "clock", "duration", "frame_index", "frame_jpeg", "dropped", "error"):
        assert getattr(view, name) == getattr(expected, name), name
    assert remote.view().snapshot is view.snapshot, "a snapshot crosses the network once"
    status = remote.status()
    assert (status.snapshot, status.frame_jpeg, status.state) == (None, None, "ended")
    assert remote.thumbnails([0, 3]) == here.thumbnails([0, 3])
    assert remote.file_fps == here.file_fps
    assert len(remote.scores) == len(here.scores) > 0
    assert np.array_equal(remote.token_history(3).held, here.token_history(3).held)

    pictures = remote.save(tmp_path / "saved")
    assert pictures == here.save(tmp_path / "expected")
    restored = engine.open(FAST)
    restored.restore(tmp_path / "saved", "Saved", None, pictures)
    assert_same_memory(restored, here)
    assert restored.status().state == "ended"
    for stream in (remote, restored, here):
        stream.close()
    with pytest.raises(HermesError, match="was closed"):
        remote.ask(QUESTION)


def test_models_and_settings_are_checked_as_in_this_process(engine, local):
    assert engine.layout("pocket", 48, 64) == local.layout("pocket", 48, 64)
    assert engine.load("pocket").parameters == local.load("pocket").parameters
    assert engine.achievable_fps(FAST) > 0
    bad = StreamSettings(policy="hermes", changed=(("no such setting", 1.0),))
    for each in (engine, local):
        with pytest.raises(HermesError) as caught:
            each.check(bad)
        assert type(caught.value).__name__ != "RayTaskError"
        with pytest.raises(HermesError, match="“other” is not loaded"):
            each.open(StreamSettings(model="other"))


def test_streams_are_spread_and_a_full_cluster_refuses(engine):
    freed = threading.Event()
    engine.on_free(freed.set)
    streams = [engine.open(FAST) for _ in range(4)]
    first, second, third, fourth = (process_of(stream) for stream in streams)
    assert first != second
    assert {first, second} == {third, fourth}
    assert engine.free_slots == 0
    assert all(engine.is_live(stream) for stream in streams)
    with pytest.raises(BusyError, match="All live slots are busy"):
        engine.open(FAST)
    taken = engine.open(FAST, streams[0])
    assert process_of(taken) == first, "a visitor stays where it is"
    assert (engine.is_live(streams[0]), engine.is_live(taken)) == (False, True)
    freed.clear()
    for stream in (*streams, taken):
        stream.close()
    assert freed.wait(PATIENCE)
    assert engine.free_slots == 4


def test_camera_frames_arrive_and_an_answer_can_be_stopped(engine):
    stream = engine.open(StreamSettings())
    stream.camera()
    frames = [np.full((48, 64, 3), 20 * i, np.uint8) for i in range(4)]
    stream.put(frames, [0.0, 0.5, 1.0, 1.5], PATIENCE)
    pieces = stream.ask(QUESTION)
    assert next(pieces)
    pieces.close()
    until(lambda: not stream.status().answering)
    assert stream.view().snapshot.frames_seen == 4
    with pytest.raises(HermesError, match="cannot follow"):
        stream.put(frames[:1], [0.1], PATIENCE)
    stream.close()


def new_visitor(engine, folder):
    clips = {clip.id: clip for clip in read_clips(CLIPS)}
    loader = ModelLoader(engine)
    loader.ensure("pocket")
    settings = StreamSettings(chunk=1, fps=1.0, budget=64, speed=8.0)
    visitor = Visitor(settings, loader, clips, hermes.POLICIES, downloads=folder / "files")
    visitor.start(visitor.source({"kind": "clip", "id": "first-card"}))
    return visitor


def test_two_visitors_on_two_actors_one_of_which_is_killed(engine, tmp_path):
    key = "tab-" + "a" * 40
    autosave = Autosave(tmp_path / "saved", 100)
    first, second = (new_visitor(engine, tmp_path) for _ in range(2))
    lost, survivor = process_of(first.stream), process_of(second.stream)
    assert lost != survivor
    until(lambda: first.poll(None, -1)[0]["frames"] >= 8)
    first.transport("pause")

    def is_published():
        state, board = first.poll(None, -1)
        return board["frames"] == state["frames"]

    until(is_published)
    state, board = first.poll(None, -1, Wanted(pictures=8))
    assert board["base"] is None
    assert board["thumbs"]
    frames = state["frames"]
    assert "frame" not in first.poll(None, frames - 1)[0], "a picture that the page shows is not sent again"
    answer = list(first.ask(QUESTION))[-1]["turns"][-1]["answer"]
    assert answer
    assert first.detail({"kind": "frame", "frame": 1, "id": 7})["seconds"] == 1.0
    assert first.explore({"action": "show", "figure": "layers", "n": 1}).message["error"] == ""
    autosave.save_if_due(key, first, lambda: {key: first})

    replaced = threading.Event()
    stream = first.stream
    os.kill(lost, signal.SIGKILL)
    until(lambda: first.lost)
    state, board = first.poll(None, -1)
    assert (state["state"], state["freed"], board) == ("failed", True, None)
    assert (state["notice"]["kind"], state["notice"]["text"]) == ("error", LOST)
    assert list(first.ask(QUESTION))[-1]["turns"][-1]["state"] == "error"
    with pytest.raises(StreamLostError):
        stream.pause()
    autosave.save_if_due(key, first, lambda: {key: first})
    assert first.poll(None, -1)[0]["saved"]["questions"] == 1
    first.resume_saved()
    assert process_of(first.stream) == survivor
    state, board = first.poll(None, -1)
    assert (state["state"], state["frames"], state["freed"], board["base"]) == ("paused", frames, False, None)
    assert [turn.answer for turn in first.conversation.turns] == [answer]
    assert list(first.ask(QUESTION))[-1]["turns"][-1]["answer"] == answer
    first.transport("resume")
    until(lambda: first.poll(None, -1)[0]["frames"] > frames)
    assert not second.lost

    engine.on_free(lambda: replaced.set() if engine.free_slots > 2 else None)  # more than the survivor has
    if engine.free_slots <= 2:
        assert replaced.wait(5 * PATIENCE), "the replacement loads its model"
    third = engine.open(FAST)
    assert process_of(third) not in (lost, survivor)
    third.close()
    for visitor in (first, second):
        visitor.close()


def test_a_comparison_runs_on_one_actor_and_is_lost_with_it(engine, local, tmp_path):
    clips = {clip.id: clip for clip in read_clips(CLIPS)}
    start = {
        "action": "start",
        "clip": "quick-tour",
        "policies": ["hermes", "sliding-window"],
        "budget": 64,
        "speed": 0,
    }
    ended = []
    for name, each in (("remote", engine), ("local", local)):
        lab = Lab(StreamSettings(chunk=1, fps=1.0), ModelLoader(each), clips, downloads=tmp_path / name)
        lab.do(start)
        lab.do({"action": "record"})
        until(lambda lab=lab: lab.poll(-1)["state"] == "ended")
        lab.do({"action": "ask", "question": "What was the first card?"})
        until(lambda lab=lab: lab.poll(-1)["asked"] != [])
        state = lab.poll(-1)
        assert "frame" not in lab.poll(state["frames"]), "a picture that the page shows is not sent again"
        lane = lab.live.lane(1)
        assert (len(lane.moments) > 1, lane.snapshot.frames_seen) == (True, state["frames"])
        lab.do({"action": "end"})
        lab.do({"action": "stop-recording"})
        (path,) = (tmp_path / name).glob("*/*")
        ended.append((state["asked"], [lane["held"] for lane in state["lanes"]], read_lab(path).lanes[0].frames))
    assert ended[0] == ended[1]

    lab = Lab(StreamSettings(chunk=1, fps=1.0), ModelLoader(engine), clips, downloads=tmp_path)
    lab.do(start | {"speed": 1})
    until(lambda: lab.poll(-1).get("frames", 0) > 0)
    assert lab.live.holds_slot
    os.kill(lab.live.run.replica.where[1], signal.SIGKILL)
    until(lambda: lab.poll(-1)["state"] == "empty")
    assert lab.poll(-1)["notice"]["text"] == LOST_COMPARISON
    lab.close()
