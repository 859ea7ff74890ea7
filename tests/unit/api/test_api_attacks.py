"""Hostile clients of the API: files and URLs of others, unread messages, many calls at once, and calls in any order."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import random
import secrets
import threading

import cv2
import httpx
import numpy as np
import pytest
from gradio.queueing import Queue
from patience import PATIENCE, until
from served_page import Tab, serve

from hermes.assets import CLIPS
from hermes.serving.engine import Engine
from ui.api import endpoints
from ui.page import event_checks
from ui.page.event_checks import RefusedEventError, check_room, parse_event
from ui.page.page import _tune
from ui.player import conversation
from ui.player.conversation import Conversation

MARK = {"_type": "gradio.FileData"}
BLACK = base64.b64encode(cv2.imencode(".jpg", np.zeros((32, 32, 3), np.uint8))[1]).decode()
NOTHING = ["", None, "", 0, 0, 0]
"""Arguments of /start for a stream of pushed frames."""


@pytest.fixture(scope="module")
def engine():
    return Engine()


@pytest.fixture(scope="module")
def served(tmp_path_factory, engine):
    with serve(tmp_path_factory.mktemp("server"), engine=engine, clips=CLIPS) as page:
        yield page


class Program:
    """A client that sends events of one session, and reads their messages when it is asked to."""

    def __init__(self, address):
        self.tab, self.session = Tab(address), secrets.token_hex(8)
        self.client, self.key = self.tab.client, self.tab.key
        dependencies = self.client.get("config").json()["dependencies"]
        self._numbers = {one["api_name"]: one["id"] for one in dependencies if one["api_name"]}

    def send(self, name, *data):
        body = {"data": data, "fn_index": self._numbers[name], "session_hash": self.session}
        return self.client.post("gradio_api/queue/join", json=body)

    @contextlib.contextmanager
    def messages(self):
        with self.client.stream("GET", "gradio_api/queue/data", params={"session_hash": self.session}) as stream:
            yield (json.loads(line[5:]) for line in stream.iter_lines() if line.startswith("data:"))

    def results(self):
        """The results of all events that were sent, or their errors."""
        with self.messages() as messages:
            outputs = [message for message in messages if message["msg"] == "process_completed"]
        return [out["output"]["data"] if out["success"] else out["output"]["error"] for out in outputs]

    def call(self, name, *data):
        assert self.send(name, *data).status_code == 200
        (result,) = self.results()
        return result


@pytest.fixture
def connect(served):
    programs = []

    def make():
        programs.append(Program(served[0]))
        return programs[-1]

    yield make
    for program in programs:
        served[1].sessions.close(program.key)
        program.client.close()


# Files and URLs -------------------------------------------------------------------------------------------------------


def test_files_of_others_and_urls_are_not_passed_on(connect, served):
    client, other = connect(), connect()
    (stranger,) = other.tab.upload((CLIPS / "counting.webm").read_bytes()).json()
    (own,) = client.tab.upload((CLIPS / "counting.webm").read_bytes()).json()
    for path in (
        "http://example.org/film.mp4",
        "https://example.org",
        "file:///etc/passwd",
        "/etc/passwd",
        stranger,
        "",
        None,
        [own],
    ):
        for video in ({"path": path, "meta": MARK}, [{"nested": {"path": path, "url": path, "meta": MARK}}]):
            refused = client.send("start", "", video, "", 0, 0, 0)
            assert (refused.status_code, "not uploaded here" in refused.text) == (403, True), path
    (state,) = client.call("start", "", {"path": own, "meta": MARK}, "", 0, 0.2, 0)
    assert state["source"] == "clip.mp4"
    assert served[1].sessions.uploads(client.key) == (own,)


def test_an_event_with_other_inputs_is_refused_with_a_sentence(connect, caplog):
    client = connect()
    for data in ([], [""], ["", None, "", 0, 0, 0, 0]):
        refused = client.send("start", *data)
        assert refused.status_code == 400
        assert refused.json() == {"detail": f"This event has 6 inputs, but {len(data)} were sent."}
    for index in (10**6, -1, "0", 0.0, True):
        body = {"data": [], "fn_index": index, "session_hash": client.session}
        refused = client.client.post("gradio_api/queue/join", json=body)
        assert (refused.status_code, refused.json()["detail"]) == (404, "This event does not exist on this page.")
    records = [record for record in caplog.records if record.name == "ui.page.traffic"]
    assert len(records) == 8
    assert not any(record.exc_info for record in caplog.records)


def test_a_setting_of_another_type_is_refused_with_a_sentence(connect):
    client = connect()
    config = client.client.get("config").json()
    labels = {one["props"].get("label"): one["id"] for one in config["components"]}
    (index,) = [one["id"] for one in config["dependencies"] if one["inputs"] == [labels["Frame rate"]]]
    body = {"data": [None], "fn_index": index, "session_hash": client.session}
    assert client.client.post("gradio_api/queue/join", json=body).status_code == 200
    (result,) = client.results()
    assert "Choose a value from the list." in json.dumps(result)


def test_the_mark_of_a_file_is_found_however_it_is_written():
    url = '"path": "http://example.org/film"'
    for mark in ("gradio.FileData", "\\u0067radio.FileData", "gradio\\u002eFileData"):
        body = f'{{"data": [{{{url}, "meta": {{"_type": "{mark}"}}}}]}}'.encode()
        with pytest.raises(RefusedEventError, match="not uploaded here"):
            parse_event(body, ["/own"])
        assert parse_event(body.replace(b"http://example.org/film", b"/own"), ["/own"])["data"]
    twice = f'{{"path": "/own", {url}, "meta": {{"_type": "gradio.FileData", "_type": "gradio.FileData"}}}}'
    with pytest.raises(RefusedEventError, match="duplicate"):
        parse_event(twice.encode(), ["/own"])
    for garbage in (b"", b"{", b"\xff", b"[" * 100_000, b"gradio.FileData"):
        with pytest.raises(RefusedEventError, match="not valid JSON"):
            parse_event(garbage, [])


def test_the_tools_of_mcp_are_off_by_default(served):
    assert httpx.post(f"{served[0]}mcp", json={}, timeout=PATIENCE).status_code == 404
    assert httpx.post(f"{served[0]}mcp/upload", files={"files": b"x"}, timeout=PATIENCE).status_code == 404


# Memory ---------------------------------------------------------------------------------------------------------------


def test_a_client_that_reads_no_messages_cannot_fill_the_memory(connect, monkeypatch):
    client, other = connect(), connect()
    monkeypatch.setattr(event_checks, "MAX_UNREAD", 12)

    def refused():
        answer = client.send("options")
        return answer.status_code == 429 and "not read" in answer.text

    until(refused)
    cancel = {"session_hash": client.session, "fn_index": 0, "event_id": "any"}
    assert client.client.post("gradio_api/cancel", json=cancel).status_code == 429
    assert other.call("options")  # others are not affected
    assert len(client.results()) <= 12
    assert client.call("options")


def test_events_in_progress_are_limited(connect, served, monkeypatch):
    client, entered, leave = connect(), threading.Semaphore(0), threading.Event()
    monkeypatch.setattr(event_checks, "MAX_EVENTS", endpoints.MAX_CALLS + 1)
    client.call("start", *NOTHING)
    stream = served[1].sessions.own(client.key).stream
    view = stream.view

    def slow():
        entered.release()
        assert leave.wait(PATIENCE)
        return view()

    monkeypatch.setattr(stream, "view", slow)
    for _ in range(endpoints.MAX_CALLS):
        assert client.send("status").status_code == 200
        assert entered.acquire(timeout=PATIENCE)
    assert client.send("status").status_code == 200  # refused by the endpoint
    with client.messages() as messages:
        errors = (message["output"]["error"] for message in messages if not message.get("success", True))
        assert f"{endpoints.MAX_CALLS} calls have not returned" in next(errors)
    leave.set()


def test_inputs_that_a_component_rejects_are_logged_in_one_line(connect, caplog, capfd):
    client = connect()
    config = client.client.get("config").json()
    kinds = {component["id"]: component["type"] for component in config["components"]}
    forged = [
        {"data": [value] * len(event["inputs"]), "fn_index": event["id"], "session_hash": client.session}
        for event in config["dependencies"]
        if any(kinds[number] == "dropdown" for number in event["inputs"])
        for value in ("no such\nchoice", {"no": "choice"}, [["nested"]], 5)
    ]
    assert forged
    caplog.set_level(logging.WARNING)
    for body in forged:
        assert client.client.post("gradio_api/queue/join", json=body).status_code == 200
    assert len(client.results()) == len(forged)
    written = capfd.readouterr()
    assert "Traceback" not in written.err + written.out
    assert caplog.records
    assert all("\n" not in record.getMessage() and not record.exc_info for record in caplog.records)
    assert client.send("status").status_code == 200  # the page still answers
    assert len(client.results()) == 1


def gradio_queue():
    return Queue(live_updates=False, concurrency_count=1, update_intervals=1, max_size=None, blocks=None)


def test_the_events_of_old_sessions_are_forgotten(monkeypatch):
    monkeypatch.setattr(event_checks, "MAX_SESSIONS", 10)
    queue = gradio_queue()
    queue.pending_messages_per_session["new"] = []
    queue.pending_event_ids_session |= {f"old-{number}": {"event"} for number in range(10)} | {"new": {"event"}}
    check_room(queue, "unknown")
    assert queue.pending_event_ids_session == {"new": {"event"}}


def test_gradio_does_not_summarise_all_earlier_events():
    queue = gradio_queue()
    queue.events_recorded = 1
    with pytest.raises(KeyError):
        queue.compute_analytics_summary([{"function": "status"}])
    _tune(queue)
    queue.events_recorded = 10**6
    assert queue.compute_analytics_summary([{"function": "status"}]) == {"functions": {}}


def test_a_conversation_drops_its_oldest_turns(monkeypatch):
    monkeypatch.setattr(conversation, "MAX_TURNS", 5)
    turns = Conversation()
    turns.begin("open", 0.0, "")
    for number in range(10):
        list(turns.ask(None, f"question {number}", ""))
    assert [turn.question for turn in turns.turns] == ["open", *(f"question {number}" for number in range(6, 10))]


# Calls in any order ---------------------------------------------------------------------------------------------------


def test_calls_in_any_order_end_with_a_sentence_and_leave_nothing(connect, served, engine):
    sessions, free, chance = served[1].sessions, engine.free_slots, random.Random(0)  # noqa: S311
    calls = [
        ("start", NOTHING), ("start", ["counting", *NOTHING[1:]]), ("push", [[BLACK], None]), ("push", [[BLACK] * 16, None]),
        ("ask", ["What is shown now?"]), ("status", []), ("memory", []), ("close", []), ("start", ["nothing", *NOTHING[1:]]),
        ("push", [["A" * 1000], [1.0]]), ("start", ["", None, "hermes", -1, 0, 0]), ("ask", [""]),
    ]  # fmt: skip
    programs = [connect() for _ in range(3)]
    for program in programs:
        for name, data in chance.choices(calls, k=30):
            assert program.send(name, *data).status_code == 200
    for program in programs:
        results = program.results()
        assert len(results) == 30
        complaints = [result for result in results if isinstance(result, str)]
        assert all(
            "internal error" not in complaint and complaint.endswith((".", "`waiting`.")) for complaint in complaints
        )
        assert None not in results
        assert program.call("start", *NOTHING)[0]["state"] == "playing"  # it still works
        program.call("close")
    until(lambda: not any(program.key in sessions.visitors() for program in programs))
    until(lambda: engine.free_slots == free)


def test_a_client_that_leaves_during_an_answer_stops_it(connect, served):
    client = connect()
    client.call("start", "counting", *NOTHING[1:4], 0.5, 0)
    visitor = served[1].sessions.own(client.key)
    until(lambda: client.call("status")[0]["frames_seen"])
    assert client.send("ask", "What was the first card?").status_code == 200
    with client.messages() as messages:
        next(message for message in messages if message["msg"] == "process_generating")
    until(lambda: visitor.conversation._writer is None)
    assert all(turn.state not in conversation.OPEN for turn in visitor.conversation.turns)
    client.session = secrets.token_hex(8)
    again = client.call("ask", "What was the first card?")
    assert not isinstance(again, str), again
    assert again[0]["done"]
    httpx.post(f"{served[0]}hermes-live-leave", content=client.tab.token, timeout=PATIENCE)
    client.client.close()
    until(lambda: client.key not in served[1].sessions.visitors())
