"""One visitor whose page sends everything at once, a server with one place, and texts that no file can hold."""

from __future__ import annotations

import base64
import json
import threading
from random import Random

import cv2
import numpy as np
import pytest
from patience import PATIENCE, until

import hermes
from hermes import trace
from hermes.serving.engine import Engine, StreamSettings
from ui.page.handlers import Handlers
from ui.settings.model_loader import ModelLoader
from ui.visitors.registry import Quota, Sessions
from ui.visitors.visitor import Visitor
from ui.visitors.waiting_line import WaitingLine

KEY, OTHER, THIRD = ("tab-" + letter * 40 for letter in "abc")
START = {"action": "start", "kind": "clip", "id": "first-card"}
LAB = {"action": "start", "clip": "first-card", "policies": ["hermes", "sliding-window"], "budget": 64, "speed": 0}
PICTURE = base64.b64encode(cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))[1].tobytes()).decode()


@pytest.fixture
def page(tmp_path, request, pocket, bundled_clips, bundled_runs):
    """Handlers of a server; parametrize indirectly with the number of streams."""
    engine = Engine(max_streams=getattr(request, "param", 16), loader=lambda *_: pocket)
    loader = ModelLoader(engine)
    loader.ensure("pocket")
    line, stop = WaitingLine(engine), threading.Event()
    line.keep_serving(stop)
    # Clips last long enough not to end by themselves before a busy machine has done the next step.
    made = (StreamSettings(speed=1.0), loader, bundled_clips, hermes.POLICIES, bundled_runs, tmp_path, {}, line)
    sessions = Sessions(lambda: Visitor(*made), Quota(), tmp_path)
    yield Handlers(sessions)
    stop.set()
    for key in list(sessions.visitors()):
        sessions.close(key)
    assert engine._streams == []
    assert engine._worker.is_alive()
    engine.close()


def player(page, key=KEY):
    return page.poll({}, key)[0]


def plays(page, key=KEY):
    """Whether a visitor's clip plays. A stream that starts after waiting leaves the queue a moment later."""
    message = player(page, key)
    return (message["source"]["kind"], message["state"], message["waiting"]) == ("clip", "playing", None)


def turns(page, key=KEY):
    return page.sessions.get(key).conversation.message()["turns"]


def ask(page, question, key=KEY):
    return json.loads(list(page.ask({"question": question}, key))[-1])["turns"][-1]


ACTIONS = {
    "start": lambda page, _: page.act(START, KEY),
    "camera": lambda page, _: page.act({"action": "start", "kind": "camera"}, KEY),
    "frame": lambda page, i: page.camera_frame({"jpeg": PICTURE, "number": i}, KEY),
    "restart": lambda page, i: page.act({"action": "restart", "order": i}, KEY),
    "pause": lambda page, i: page.act({"action": "pause", "order": i}, KEY),
    "resume": lambda page, _: page.act({"action": "resume"}, KEY),
    "stop": lambda page, _: page.act({"action": "stop"}, KEY),
    "speed": lambda page, _: page.act({"action": "speed", "speed": 0}, KEY),
    "record": lambda page, _: page.act({"action": "record"}, KEY),
    "save": lambda page, _: page.act({"action": "stop-recording"}, KEY),
    "seek": lambda page, i: page.act({"action": "seek", "seconds": i}, KEY),
    "ask": lambda page, _: list(page.ask({"question": "What is shown now?"}, KEY)),
    "halt": lambda page, _: page.halt({}, KEY),
    "policy": lambda page, _: page.settings(KEY, policy="sliding-window"),
    "budget": lambda page, _: page.settings(KEY, policy="hermes", budget=96),
    "setting": lambda page, _: page.try_it({"name": "smoothing", "value": False}, KEY),
    "run": lambda page, i: page.poll({"open": {"n": i, "id": next(iter(page.sessions.own(KEY)._runs._runs))}}, KEY),
    "poll": lambda page, i: json.dumps(
        page.poll({"seq": i, "frame": i, "page": f"page {i % 2}"}, KEY), allow_nan=False
    ),
    "detail": lambda page, i: page.detail({"id": i, "kind": "frame", "frame": 0}, KEY),
    "back": lambda page, _: page.back(KEY),
    "lab": lambda page, _: page.lab_action(LAB, KEY),
    "lab ask": lambda page, _: page.lab_action({"action": "ask", "question": "What is shown now?"}, KEY),
    "lab record": lambda page, _: page.lab_action({"action": "record"}, KEY),
    "lab save": lambda page, _: page.lab_action({"action": "stop-recording"}, KEY),
    "lab end": lambda page, _: page.lab_action({"action": "end"}, KEY),
    "lab poll": lambda page, i: page.poll_lab({"frame": i}, KEY),
    "lesson": lambda page, _: page.sessions.enter_guest(KEY),
    "leave lesson": lambda page, _: page.sessions.leave_guest(KEY),
    "disconnect": lambda page, _: page.sessions.own(KEY).disconnect(),
    "reconnect": lambda page, _: page.sessions.own(KEY).reconnect(),
}


@pytest.mark.parametrize("seed", range(2))
def test_all_actions_at_once(page, seed, caplog):
    """No deadlock, no error, and the visitor can continue."""
    raised, together = [], threading.Barrier(6)

    def fire(number):
        rng = Random(10 * seed + number)  # noqa: S311 - no secrets
        names = [*ACTIONS, *rng.sample(list(ACTIONS), 10)]
        rng.shuffle(names)
        together.wait(PATIENCE)
        for i, name in enumerate(names, 1):
            try:
                ACTIONS[name](page, i)
            except hermes.HermesError:
                pass  # a setting that does not apply now
            except Exception as error:  # noqa: BLE001 - any is a failure
                raised.append((name, error))

    threads = [threading.Thread(target=fire, args=(number,), daemon=True) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * PATIENCE)
    assert not any(thread.is_alive() for thread in threads)
    assert raised == []
    assert [record.getMessage() for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")] == []
    assert not any(turn["state"] == "writing" for turn in turns(page))
    page.sessions.leave_guest(KEY)
    page.act({"action": "speed", "speed": 4}, KEY)
    page.act(START, KEY)
    until(lambda: player(page)["frames"] >= 4 and player(page)["state"] == "playing")
    assert ask(page, "What is shown now?")["state"] == "done"
    page.act({"action": "stop"}, KEY)
    until(lambda: player(page)["state"] == "ended")


@pytest.mark.parametrize("page", [1], indirect=True)
def test_a_class_with_one_live_slot(page):
    page.act(START, KEY)
    until(lambda: player(page)["frames"] >= 2)
    page.lab_action(LAB, KEY)
    assert "All live slots are busy" in json.loads(page.poll_lab({}, KEY))["notice"]["text"]
    page.act(START, OTHER)
    page.act(START, THIRD)
    assert [player(page, key)["waiting"] for key in (KEY, OTHER, THIRD)] == [
        None, {"place": 1, "of": 2}, {"place": 2, "of": 2},
    ]  # fmt: skip
    page.poll({"open": {"n": 1, "id": next(iter(page.sessions.own(OTHER)._runs._runs))}}, OTHER)
    assert player(page, OTHER)["run"], "a recording can be watched meanwhile"
    assert player(page, OTHER)["waiting"] == {"place": 1, "of": 2}
    page.act({"action": "restart"}, KEY)
    until(lambda: player(page)["frames"] >= 2)
    assert player(page, OTHER)["waiting"], "a stream keeps its slot when it restarts"

    page.act({"action": "stop"}, KEY)
    until(lambda: plays(page, OTHER))
    state = player(page, OTHER)
    assert (state["source"]["kind"], state["returned"]) == ("clip", 1), "the page shows the stream, not the recording"
    assert "Your stream has started" in state["notice"]["text"]
    until(lambda: player(page, THIRD)["waiting"] == {"place": 1, "of": 1})
    assert ask(page, "What is shown now?")["state"] == "done", "the memory of the first stream can still be asked"

    page.sessions.close(OTHER)
    until(lambda: plays(page, THIRD))
    page.act({"action": "restart"}, KEY)
    assert player(page)["waiting"] == {"place": 1, "of": 1}
    page.act({"action": "leave-queue"}, KEY)
    assert player(page)["waiting"] is None
    page.act({"action": "stop"}, THIRD)
    until(lambda: player(page, THIRD)["state"] == "ended")
    page.act({"action": "restart"}, KEY)
    until(lambda: plays(page))


@pytest.mark.parametrize("page", [1], indirect=True)
def test_a_page_that_is_left_frees_its_slot_at_once_and_waits_when_it_returns(page):
    page.act(START, KEY)
    until(lambda: player(page)["frames"] >= 2)
    page.act(START, OTHER)
    page.sessions.left(KEY)
    until(lambda: plays(page, OTHER))
    page.sessions.connected(KEY)
    state = player(page)
    assert (state["state"], state["waiting"]) == ("paused", {"place": 1, "of": 1})
    frames = state["frames"]
    assert frames >= 2
    page.act({"action": "stop"}, OTHER)
    until(lambda: player(page)["state"] == "playing" and player(page)["frames"] > frames)


def lab_state(page, key=KEY):
    return json.loads(page.poll_lab({}, key))


@pytest.mark.parametrize("page", [1], indirect=True)
def test_a_comparison_neither_overtakes_the_queue_nor_keeps_a_slot_while_it_is_paused(page):
    page.lab_action(LAB | {"speed": 1}, KEY)
    until(lambda: lab_state(page)["state"] == "playing")
    page.lab_action({"action": "pause"}, KEY)
    page.act(START, OTHER)
    assert player(page, OTHER)["waiting"] == {"place": 1, "of": 1}
    page.sessions.own(KEY).slot.set_away(away=True)  # its page is away, so that it need not wait for a minute
    until(lambda: plays(page, OTHER))
    page.sessions.own(KEY).slot.set_away(away=False)
    page.lab_action({"action": "resume"}, KEY)
    assert "All live slots are busy" in lab_state(page)["notice"]["text"]
    assert lab_state(page)["state"] == "paused"

    page.act(START, THIRD)
    page.sessions.own(THIRD).slot.set_away(away=True)
    page.act({"action": "stop"}, OTHER)
    until(lambda: player(page, OTHER)["state"] == "ended")
    page.lab_action({"action": "resume"}, KEY)
    until(lambda: lab_state(page)["state"] == "playing")
    page.lab_action({"action": "end"}, KEY)
    page.act({"action": "restart"}, OTHER)
    page.sessions.own(THIRD).slot.set_away(away=False)
    page.lab_action(LAB, KEY)
    assert lab_state(page)["state"] == "empty", "a visitor waits"


def test_odd_questions_and_names_while_recording(page, tmp_path):
    """What cannot be written to a file is refused when it is asked, and the recording can be saved and opened."""
    page.act(START, KEY)
    until(lambda: player(page)["frames"] >= 2)
    page.act({"action": "record"}, KEY)
    until(lambda: player(page)["recording"]["moments"])
    assert "valid Unicode" in ask(page, "What \ud800 is shown?")["answer"]
    assert ask(page, "\x00\x1b[31mWhat is\u202e shown\u2028 now?")["state"] == "done"
    assert ask(page, "x" * 9000)["state"] == "error"
    seen = player(page)["frames"]
    until(lambda: player(page)["frames"] > seen or player(page)["state"] == "ended")
    visitor = page.sessions.own(KEY)
    upload = visitor.files.folder / "film.mp4"
    upload.write_bytes(b"a film")
    visitor.uploads[str(upload)] = "film.mp4"
    page.sessions.take_upload(KEY, str(upload), "a\ud800\x07\u202e film" + "m" * 9000)
    assert visitor.uploads[str(upload)] == "a film" + "m" * 194
    page.act({"action": "stop-recording"}, KEY)
    assert player(page)["notice"] is None
    (path,) = (path for path in tmp_path.rglob("*.hermesrun"))
    run = trace.read(path)
    asked = [turn.question for turn in run.head.chat]
    assert asked == ["\x00\x1b[31mWhat is\u202e shown\u2028 now?"]
    json.dumps(turns(page))
