"""The lab of a visitor with the real engine: messages to the browser, and rejected requests."""

from __future__ import annotations

import base64
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from patience import PATIENCE, until

import hermes
from hermes.assets import RUNS
from hermes.policies import POLICIES
from hermes.policies.fidelity import GROUPS
from hermes.serving.engine import Engine, StreamSettings
from hermes.trace import read_lab
from ui.explore.explorer import Explorer
from ui.lab import live
from ui.lab.choices import choices, offer
from ui.lab.lab import Lab
from ui.page.handlers import Handlers
from ui.runs.runs import ENDING, lab_card
from ui.settings.model_loader import ModelLoader
from ui.visitors.registry import Quota, Sessions
from ui.visitors.visitor import Visitor

BUNDLED = RUNS / f"first-card-side-by-side{ENDING}"
RUN = {"action": "start", "clip": "quick-tour", "budget": 128, "speed": 0}


@pytest.fixture(scope="module")
def engine():
    running = Engine()
    yield running
    running.close()


@pytest.fixture(scope="module")
def clips(bundled_clips):
    return bundled_clips


@pytest.fixture(scope="module")
def run():
    """The bundled lab run, which tests only read."""
    return read_lab(BUNDLED)


@pytest.fixture
def lab(engine, clips):
    made = Lab(StreamSettings(), ModelLoader(engine), clips)
    yield made
    made.close()


def wait(lab, condition):
    """Wait until the lab's state fulfils a condition; returns that state."""
    seen = {}

    def fulfilled():
        seen["state"] = lab.poll(-1)
        return condition(seen["state"])

    until(fulfilled, lambda: str(seen["state"]))
    return seen["state"]


def test_one_question_is_asked_of_all(lab, monkeypatch):
    assert lab.poll(-1)["state"] == "empty"
    lab.do(RUN | {"policies": ["hermes", "sliding-window", "full"]})
    state = wait(lab, lambda payload: payload["state"] == "ended" and payload["frames"] >= 79)
    json.dumps(state, allow_nan=False)
    assert [lane["name"] for lane in state["lanes"]] == ["hermes", "sliding-window", "full"]
    assert state["frame"]["index"] == state["frames"]
    assert "frame" not in lab.poll(state["frames"])
    lab.do({"action": "ask", "question": "What was the first card?"})
    state = wait(lab, lambda payload: len(payload["asked"]) == 1)
    asked = state["asked"][0]
    assert asked["truth"] == "Red circle."
    assert len(asked["replies"]) == 3
    for lane, reply in zip(state["lanes"], asked["replies"], strict=True):
        assert lane["state"] == "done"
        assert lane["answer"] == reply["answer"]
        assert lane["verdict"]["right"] == reply["right"] == (reply["answer"] == "Red circle.")
        assert lane["verdict"]["sentence"]
        assert lane["moved"] == lane["archive"] == 0
        assert 0 < lane["first"]["low"] == lane["first"]["median"] == lane["first"]["high"]
        assert lane["first"]["count"] == 1
        assert len(base64.b64decode(lane["held"])) == lane["layers"] * state["columns"]
        assert len(base64.b64decode(lane["spots"])) == state["columns"]
    hermes, window, full = state["lanes"]
    assert (hermes["resident"], window["resident"], full["resident"]) == (128, 128, 16 * state["frames"])
    assert (hermes["tiers"] is None, window["tiers"]) == (False, None)
    assert window["verdict"]["outcome"] == "evicted"
    explored_live(lab)
    monkeypatch.setattr(live, "MAX_ASKED", 1)
    lab.do({"action": "ask", "question": "What was the last card?"})
    state = wait(
        lab, lambda payload: not payload["answering"] and payload["asked"][-1]["question"] == "What was the last card?"
    )
    assert len(state["asked"]) == 1, "the oldest question is dropped"
    lab.do({"action": "end"})
    assert lab.poll(-1)["lanes"] == []
    assert explore(Explorer(), lab, source="lane-0").message["error"].startswith("No comparison is open.")


def explore(explorer, lab, **request):
    return explorer.answer({"action": "show", "width": 1000, "height": 500, **request}, None, lab, "HERMES", "")


def explored_live(lab):
    """Check the figures of a live comparison in the Explore tab."""
    explorer = Explorer()
    pinned = explore(explorer, lab, action="pin", source="lane-0", compare=True).message
    assert [one["title"] for one in pinned["sources"][1:]] == [
        f"Comparison: Quick tour, {title}" for title in ("HERMES", "Sliding window", "Full cache")
    ]
    both = explore(explorer, lab, source="lane-2", compare=True, figure="layers")
    assert both.message["compared"]
    assert both.message["moment"].startswith("Quick tour, Full cache, at 0:39")
    for data, number in zip(both.figure.data, (0, 2), strict=True):
        assert np.array_equal(np.nan_to_num(np.array(data.z)), lab.live.lane(number).snapshot.kept)
    assert "first_run = lab.lanes[0]\nsecond_run = lab.lanes[2]" in both.message["code"]
    assert "# This comparison is live. Press Record" in both.message["code"]
    for figure in ("over-time", "attention-layers", "history"):
        shown = explore(explorer, lab, source="lane-0", figure=figure)
        assert (shown.message["error"], shown.figure is None) == ("", False)
    assert explore(explorer, lab, source="lane-3").message["error"].startswith("This method is not in the comparison.")


# Recording and replay -------------------------------------------------------------------------------------------------


def saved(lab):
    """Path of a lab's last recording."""
    return Path(unquote(lab.poll(-1)["recorded"]["url"].removeprefix("gradio_api/file=")))


def test_a_recording_replays_like_the_live_stream(lab, engine, clips, tmp_path):
    lab._downloads = tmp_path
    lab.do(RUN | {"policies": ["hermes", "sliding-window", "full"]})
    lab.do({"action": "record"})
    wait(lab, lambda payload: payload["state"] == "ended" and payload["frames"] >= 79)
    live = []
    for count, question in ((1, "What was the first card?"), (2, "What is shown now?")):
        lab.do({"action": "ask", "question": question})
        live.append(wait(lab, lambda payload, count=count: len(payload["asked"]) == count))
    assert lab.poll(-1)["recording"]["moments"] > 2
    lab.do({"action": "stop-recording"})
    payload = lab.poll(-1)
    assert payload["recording"] is None
    assert payload["recorded"]["name"].startswith("quick-tour-lab-")
    run = read_lab(saved(lab))
    assert run.head.events
    assert [turn.truth for turn in run.lanes[0].chat] == [one["truth"] for one in live[-1]["asked"]]
    viewer = Lab(StreamSettings(), ModelLoader(engine), clips, live=False)
    viewer.open(run, 1e9, play=False)
    shown = viewer.poll(-1)
    json.dumps(shown, allow_nan=False)
    assert (shown["state"], shown["answering"], shown["frames"]) == ("ended", False, live[-1]["frames"])
    assert shown["asked"] == live[-1]["asked"]
    assert (shown["columns"], shown["duration"]) == (live[-1]["columns"], live[-1]["duration"])
    for replayed, lane in zip(shown["lanes"], live[-1]["lanes"], strict=True):
        looked = [np.frombuffer(base64.b64decode(one.pop("spots")), np.uint8) for one in (replayed, lane)]
        assert np.abs(looked[0].astype(int) - looked[1]).max() <= 1  # attention is stored as float16
        sentences = [one["verdict"].pop("sentence") for one in (replayed, lane)]
        assert sentences[0].split(" got ")[0] == sentences[1].split(" got ")[0]
        assert replayed == lane
    assert shown["frame"]["jpeg"] == live[-1]["frame"]["jpeg"]
    assert shown["run"]["id"] == ""
    viewer.do({"action": "seek", "seconds": run.lanes[0].times[0]})
    begun = viewer.poll(-1)
    assert begun["asked"] == []
    assert {lane["state"] for lane in begun["lanes"]} == {"idle"}
    assert 0 < begun["frames"] < shown["frames"]


def test_a_recording_outlives_its_run_and_is_then_saved(lab, tmp_path):
    lab._downloads = tmp_path
    lab.do(RUN | {"policies": ["sliding-window", "full"]})
    wait(lab, lambda payload: (payload.get("frames") or 0) > 0)
    lab.do({"action": "ask", "question": "What is shown now?"})
    asked = wait(lab, lambda payload: len(payload["asked"]) == 1)["asked"]
    lab.do({"action": "record"})
    lab.do({"action": "record"})
    assert "already" in lab.poll(-1)["notice"]["text"]
    wait(lab, lambda payload: payload["state"] == "ended" and payload["frames"] >= 79)
    lab.do({"action": "end"})
    payload = lab.poll(-1)
    assert (payload["lanes"], payload["recording"]["ended"]) == ([], "the run ended")
    (tmp_path / "a file").write_text("")
    lab._downloads = tmp_path / "a file"
    lab.do({"action": "stop-recording"})
    assert "The recording could not be saved: Not a directory." in lab.poll(-1)["notice"]["text"]
    lab._downloads = tmp_path
    lab.do({"action": "stop-recording"})
    run = read_lab(saved(lab))
    assert [turns[0].question for turns in run.questions] == [one["question"] for one in asked]  # from before it, too
    assert run.lanes[0].frames >= 79
    assert run.lanes[0].times == run.lanes[1].times


def test_a_comparison_that_ends_while_its_recording_is_saved(lab, tmp_path, monkeypatch):
    entered, free = threading.Event(), threading.Event()
    finish = live.LiveLab.finish_recording

    def slow(self):
        entered.set()
        assert free.wait(PATIENCE)
        return finish(self)

    monkeypatch.setattr(live.LiveLab, "finish_recording", slow)
    lab._downloads = tmp_path
    lab.do(RUN | {"policies": ["sliding-window", "full"]})
    wait(lab, lambda payload: (payload.get("frames") or 0) > 0)
    lab.do({"action": "record"})
    placed = lab.live.run
    with ThreadPoolExecutor(1) as pool:
        saving = pool.submit(lab.do, {"action": "stop-recording"})
        assert entered.wait(PATIENCE)
        lab.do({"action": "end"})
        free.set()
        saving.result(PATIENCE)
    assert read_lab(saved(lab)).lanes[0].frames > 0
    with pytest.raises(hermes.HermesError, match="closed"):
        placed.call("recording_state")  # it was freed then


def test_a_recorded_lab_run_plays_pauses_jumps_and_makes_room_for_a_live_one(engine, clips, run):
    lab = Lab(StreamSettings(), ModelLoader(engine), clips, {run.id: run})
    lab.do({"action": "open", "id": run.id, "seconds": 44, "play": False})
    payload = lab.poll(-1)
    assert (payload["state"], payload["position"], payload["run"]["id"]) == ("paused", 44.0, run.id)
    assert payload["run"]["clip"] == "first-card"
    before = payload["asked"]
    lab.do({"action": "seek", "seconds": run.questions[2][0].at})
    payload = lab.poll(payload["frame"]["index"])
    assert len(payload["asked"]) == len(before) + 1
    hermes, window = payload["lanes"][:2]
    assert (hermes["verdict"]["right"], window["verdict"]["right"]) == (True, False)
    assert [reply["right"] for reply in payload["asked"][-1]["replies"][:2]] == [True, False]
    lab.do({"action": "pace", "speed": 8})
    lab.do({"action": "pace", "speed": 7})
    lab.do({"action": "resume"})
    assert (lab.poll(-1)["state"], lab.poll(-1)["speed"]) == ("playing", 8)
    lab.do({"action": "pause"})
    assert lab.poll(-1)["state"] == "paused"
    lab.do({"action": "ask", "question": "What?"})
    assert "is a recording" in lab.poll(-1)["notice"]["text"]
    lab.do({"action": "record"})
    assert "already a recording" in lab.poll(-1)["notice"]["text"]
    lab.do({"action": "restart"})
    assert lab.poll(-1)["position"] < 44
    lab.do(RUN | {"policies": ["sliding-window", "full"]})
    payload = wait(lab, lambda payload: (payload.get("frames") or 0) > 0)
    assert (payload["run"], len(payload["lanes"])) == (None, 2)
    lab.do({"action": "open", "id": run.id, "seconds": 0})
    assert engine._streams == []
    lab.do({"action": "end"})
    assert lab.poll(-1)["lanes"] == []
    lab.close()


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        ({"action": "open", "id": "../secret"}, "not available here"),
        ({"action": "open", "id": "first-card-side-by-side", "seconds": float("nan")}, "not a number"),
        ({"action": "stop-recording"}, "No recording is in progress"),
        ({"action": "record"}, "nothing to record"),
        (RUN | {"policies": ["hermes", "full"]}, "not available here"),
    ],
)
def test_where_memories_cannot_be_run_only_recorded_runs_are_shown(engine, clips, run, wish, says):
    lab = Lab(StreamSettings(), ModelLoader(engine), clips, {run.id: run}, live=False)
    lab.do(wish)
    assert says in lab.poll(-1)["notice"]["text"]
    assert lab.poll(-1)["state"] == "empty"
    lab.do({"action": "open", "id": run.id, "seconds": 3, "play": False})
    assert lab.poll(-1)["run"]["clip"] == ""  # it cannot be run live here
    assert offer(clips, POLICIES, {run.id: run}, {run.id: 42.0}, live=False) == {
        "clips": [], "policies": [], "budgets": [], "runs": [lab_card(run, 42.0)]
    }  # fmt: skip


def test_an_uploaded_lab_run_lands_in_the_lab_and_a_run_in_the_player(engine, clips, run, tmp_path):
    def make():
        return Visitor(StreamSettings(), ModelLoader(engine), clips, POLICIES)

    handlers = Handlers(Sessions(make, Quota(), tmp_path))
    handlers.sessions.get("me")
    window = BUNDLED.with_name(f"first-card-window{ENDING}")
    contents = {"lab": BUNDLED.read_bytes(), "run": window.read_bytes(), "bad": BUNDLED.read_bytes()[:100_000]}

    def upload(name):
        folder = tmp_path / f"hash-{name}"  # Gradio stores each upload in a separate folder
        folder.mkdir(exist_ok=True)
        (folder / f"{name}{ENDING}").write_bytes(contents[name])
        return handlers.sessions.receive_upload("me", str(folder / f"{name}{ENDING}"))

    def act(name):
        handlers.act({"kind": "upload", "path": upload(name), "name": name, "action": "start"}, "me")
        return handlers.poll({}, "me")[0], json.loads(handlers.poll_lab({}, "me"))

    player, shown = act("lab")
    assert (player["lab"], player["run"]) == (1, None)
    assert "opens in the view Compare" in player["notice"]["text"]
    assert shown["run"]["title"] == run.title
    player, _ = act("bad")
    assert "damaged" in player["notice"]["text"]
    player, _ = act("run")
    assert (player["lab"], player["run"]["title"]) == (1, "A sliding window forgets the first card")
    for name, says in (("bad", "damaged"), ("run", "of one memory"), ("../../etc/passwd", "not uploaded here")):
        path = upload(name) if name in contents else str(tmp_path / f"{name}{ENDING}")
        handlers.lab_action({"action": "open-file", "path": path, "name": name}, "me")
        assert says in json.loads(handlers.poll_lab({}, "me"))["notice"]["text"]
    handlers.lab_action({"action": "end"}, "me")
    handlers.lab_action({"action": "open-file", "path": upload("lab"), "name": "lab"}, "me")
    assert len(json.loads(handlers.poll_lab({}, "me"))["lanes"]) == 3
    handlers.leave("me")


def test_a_memory_of_a_recorded_lab_run_is_shown_on_the_board(engine, clips, run, tmp_path):
    def make():
        return Visitor(StreamSettings(), ModelLoader(engine), clips, POLICIES)

    handlers = Handlers(Sessions(make, Quota(), tmp_path))
    lab = handlers.sessions.own("me").lab
    handlers.lab_action({"action": "board", "lane": 0}, "me")
    assert "No comparison is open" in lab.poll(-1)["notice"]["text"]
    lab.open(run, 62.0, play=False)
    for lane in (-1, 3, None, "1"):
        handlers.lab_action({"action": "board", "lane": lane}, "me")
        assert "does not exist" in lab.poll(-1)["notice"]["text"]
    handlers.lab_action({"action": "board", "lane": 1}, "me")
    player, board = handlers.poll({}, "me")
    assert (player["state"], player["position"]) == ("paused", 62.0)
    assert player["run"]["title"] == "Sliding window"
    assert run.title in player["run"]["about"]
    assert board["meters"]["kept"] == 128
    life = handlers.sessions.get("me").detail({"kind": "life", "frame": 3, "layer": 2, "id": 1})
    assert life["of"] == life["moments"].__len__() > 0, "its scores were recorded too"
    assert lab.poll(-1)["run"]["title"] == run.title  # the lab is unchanged
    handlers.leave("me")


# What is refused, and the drawings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        (RUN | {"policies": ["hermes"]}, "two to four"),
        (RUN | {"policies": "hermes"}, "two to four"),
        (RUN | {"policies": ["hermes", "<b>"]}, "no policy or preset"),
        (RUN | {"policies": ["hermes", "full"], "clip": "../secret"}, "not available here"),
        (RUN | {"policies": ["hermes", "full"], "budget": 10**9}, "from the lists"),
        (RUN | {"policies": ["hermes", "full"], "speed": "fast"}, "from the lists"),
        ({"action": "ask", "question": "What was first?"}, "Start a comparison"),
    ],
)
def test_impossible_requests_are_reported(lab, wish, says):
    lab.do(wish)
    assert says in lab.poll(-1)["notice"]["text"]
    assert lab.poll(-1)["state"] == "empty"


def test_another_run_frees_the_one_before(lab, engine):
    for _ in range(3):
        lab.do(RUN | {"policies": ["sliding-window", "full"]})
    assert len(engine._streams) == 1
    lab.close()
    assert engine._streams == []


def test_available_choices(clips):
    names = [row["name"] for row in choices(POLICIES)]
    assert len(set(names)) == len(names)
    assert {"hermes", "full", "hermes-no-smoothing"} <= set(names)
    groups = {row["name"]: row["group"] for row in choices(POLICIES)}
    assert list(dict.fromkeys(groups.values())) == list(GROUPS.values()), "in the order of the results"
    assert (groups["rekv"], groups["hermes-no-smoothing"]) == (GROUPS["re-implemented"],) * 2
    assert (groups["storm"], groups["recurrent-state"]) == (GROUPS["untrained"], GROUPS["surrogate"])
    made = offer(clips, POLICIES)
    json.dumps(made)
    assert made["clips"][0]["questions"]
