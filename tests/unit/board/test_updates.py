"""The update stream over HTTP: a server on 127.0.0.1 plays a recorded run, and a client receives its updates."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import uvicorn

import hermes
from hermes.serving.engine import Engine, StreamSettings
from ui.page import update_stream
from ui.page.handlers import Handlers
from ui.page.update_stream import (
    BUSY_SECONDS,
    IDLE_SECONDS,
    MAX_BYTES,
    MORE_SECONDS,
    REQUESTS,
    THREADS,
    UPDATES,
    Updates,
    pause,
)
from ui.settings.model_loader import ModelLoader
from ui.visitors.registry import Quota, Sessions
from ui.visitors.visitor import Visitor

BROKEN = "a-broken-page"


@pytest.fixture(scope="module")
def served(bundled_clips, bundled_runs):
    """Address of a server, its handlers and its middleware. Looks for the key `BROKEN` raise."""
    engine = Engine()
    folder = Path("/nowhere")
    given = (StreamSettings(), ModelLoader(engine), bundled_clips, hermes.POLICIES, bundled_runs, folder)
    sessions = Sessions(lambda: Visitor(*given), Quota(), folder)
    handlers = Handlers(sessions)

    def look(shown, key):
        if key == f"session-{BROKEN}":
            raise RuntimeError("a fault in one visitor's look")
        return handlers.poll(shown, key)

    async def others(scope, receive, send):
        del receive
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b"not here"})

    updates = Updates(others, look)
    server = uvicorn.Server(uvicorn.Config(updates, host="127.0.0.1", port=0, log_level="warning", lifespan="off"))
    ready = threading.Event()
    startup = server.startup

    async def started(*arguments, **named):
        await startup(*arguments, **named)
        ready.set()

    server.startup = started
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert ready.wait(60)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}/below/", handlers, updates
    server.should_exit = server.force_exit = True
    thread.join(30)
    engine.close()


@pytest.fixture
def client(served):
    with httpx.Client(base_url=served[0], timeout=60) as made:
        yield made


def shows(key, run="first-card-hermes", *, play=False, **more):
    opened = {"n": 1, "id": run, "seconds": 30.0, "play": play}
    board = {"mode": "kept", "first": 0, "stop": 0, "pictures": 13}
    return {"session": key, "seq": None, "frame": -1, "board": board, "hidden": False, "open": opened, **more}


def events(response) -> Iterator[dict]:
    for line in response.iter_lines():
        if line:
            assert line.startswith("data: ")
            yield json.loads(line[6:])


def settled(client, key):
    """A page with a paused run whose pictures have all arrived: what it shows."""
    page = shows(key)
    while True:
        with client.stream("POST", UPDATES, json=page) as response:
            for update in events(response):
                page["open"] = None
                if "frame" in update["player"]:
                    page["frame"] = update["player"]["frame"]["index"]
                if update["board"] is None:
                    return page
                page["seq"] = update["board"]["seq"]
                if len(update["board"].get("thumbs", ())) < 4:
                    return page


def test_a_response_to_a_hidden_page_ends_after_one_update(client):
    page = shows("a-hidden-page", play=True, hidden=True)
    with client.stream("POST", UPDATES, json=page) as response:
        assert len(list(events(response))) == 1
    with client.stream("POST", UPDATES, json={**page, "open": None, "hidden": False}) as response:
        arriving = events(response)
        next(arriving)
        client.post(REQUESTS, json={**page, "open": None})  # the page becomes hidden
        assert len(list(arriving)) <= 2


def test_a_playing_run_arrives_as_one_chain_of_changes(client, monkeypatch):
    monkeypatch.setattr(update_stream, "MAX_UPDATES", 4)  # sixteen take four seconds
    page, requests, boards = shows("a-playing-page", play=True), 0, []
    while requests < 2 or len(boards) < 6:
        requests += 1
        with client.stream("POST", UPDATES, json=page) as response:
            assert response.status_code == 200
            assert response.headers["content-type"].startswith("text/event-stream")
            received = list(events(response))
        assert 1 <= len(received) <= 4
        for update in received:
            assert update["player"]["source"]["kind"] == "run"
            if "frame" in update["player"]:
                page["frame"] = update["player"]["frame"]["index"]
            if update["board"] is not None:
                boards.append(update["board"])
                page["seq"] = update["board"]["seq"]
        page["open"] = None
    assert boards[0]["base"] is None
    assert [board["base"] for board in boards[1:]] == [board["seq"] for board in boards[:-1]]


def test_a_request_is_answered_by_the_running_response(client):
    page = settled(client, "a-curious-page")
    with client.stream("POST", UPDATES, json=page) as response:
        received = events(response)
        first = next(received)
        assert first["board"] is None  # it shows everything already
        wanted = {**page, "board": {**page["board"], "mode": "importance"}}
        assert client.post(REQUESTS, json=wanted).status_code == 204
        changed = next(update for update in received if update["board"])
        assert changed["board"]["base"] == page["seq"]
        assert changed["board"]["scores"]["of"] == "importance"
        assert client.post(REQUESTS, json={**wanted, "seq": None}).status_code == 204  # it could not apply the change
        assert next(update for update in received if update["board"])["board"]["base"] is None


def test_a_newer_response_ends_the_one_before(client):
    page = settled(client, "a-doubled-page")
    with client.stream("POST", UPDATES, json=page) as old:
        received = events(old)
        assert next(received)
        with client.stream("POST", UPDATES, json=page) as new:
            assert next(events(new))
            assert not list(received)


def test_a_page_that_leaves_is_forgotten(client, served):
    _, _, updates = served
    page = settled(client, "a-leaving-page")
    with (
        httpx.Client(base_url=client.base_url, timeout=60) as leaving,
        leaving.stream("POST", UPDATES, json=page) as response,
    ):
        received = events(response)
        assert next(received)
        assert f"session-{page['session']}" in updates._pages
    while (
        f"session-{page['session']}" in updates._pages
    ):  # updates of another page pass the time; the test's time limit ends it
        with client.stream("POST", UPDATES, json=shows("another-page", play=True)) as response:
            received = events(response)
            while f"session-{page['session']}" in updates._pages and next(received, None):
                pass


def test_an_error_in_one_response_ends_only_that_response(client, caplog):
    with client.stream("POST", UPDATES, json=shows(BROKEN)) as response:
        assert not list(events(response))
    assert "Could not build an update" in caplog.text
    with client.stream("POST", UPDATES, json=shows("a-sound-page")) as response:
        assert next(events(response))["player"]["state"] == "paused"


def test_a_look_never_waits_for_the_model(client, served):
    _, handlers, _ = served
    session = "a-streaming-page"
    key = f"session-{session}"
    page = shows(session)
    page["open"] = None
    visitor = handlers.sessions.get(key)
    visitor.start(visitor.source({"kind": "clip", "id": "quick-tour"}))
    with client.stream("POST", UPDATES, json=page) as response:
        received = events(response)
        while next(received)["player"]["frames"] < 1:
            pass
    with visitor.stream._lock:  # as during a step of the model, until the page has received updates
        for _ in range(2):
            with client.stream("POST", UPDATES, json=page) as response:
                assert next(events(response))["player"]["state"] == "playing"
    handlers.sessions.close(key)


def test_a_slow_visitor_does_not_delay_the_others(client, served, monkeypatch):
    monkeypatch.setattr(update_stream, "MAX_UPDATES", 1)  # the last response ends after its first update
    _, handlers, _ = served
    visitor = handlers.sessions.get("session-a-slow-page")
    pages = [shows("a-slow-page", open={"n": i + 10, "id": "first-card-hermes"}) for i in range(2 * THREADS)]
    with ThreadPoolExecutor(len(pages)) as browsers:
        with visitor.state.lock:  # as while a file is opened
            asked = [browsers.submit(client.post, UPDATES, json=page) for page in pages]
            with client.stream("POST", UPDATES, json=shows("a-fast-page")) as response:
                assert next(events(response))["player"]["state"] == "paused"
            handlers.sessions.close("session-a-slow-page")
        assert [answer.result().status_code for answer in asked] == [200] * len(pages)


def test_without_a_place_the_page_shows_a_message(client, served, monkeypatch):
    _, handlers, _ = served
    monkeypatch.setattr(handlers.sessions, "quota", Quota(visitors=0))
    with client.stream("POST", UPDATES, json=shows("one-too-many")) as response:
        update = next(events(response))
    assert update["board"] is None
    assert "places are taken" in update["player"]["notice"]["text"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[1]", 400),
        (b"[" * 5000, 400),
        (b"{}", 400),
        (b'{"session": 7}', 400),
        (b'{"session": "ab"}', 400),
        (b'{"session": "' + b"a" * 100 + b'"}', 400),
        (b'{"session": "a-page", "more": "' + b"a" * MAX_BYTES + b'"}', 400),
    ],
)
@pytest.mark.parametrize("name", [UPDATES, REQUESTS])
def test_other_requests_are_refused(client, name, body, status):
    json_type = {"content-type": "application/json"}
    assert client.post(name, content=body, headers=json_type).status_code == status
    assert (
        client.post(name, content=b'{"session": "a-page"}', headers={"content-type": "text/plain"}).status_code == 415
    )
    assert client.get(name).status_code == 405


def test_a_request_without_a_running_response_conflicts(client):
    assert client.post(REQUESTS, json={"session": "unknown-session"}).status_code == 204


@pytest.mark.parametrize(
    "odd",
    [{"seq": "x"}, {"frame": None}, {"board": 3}, {"open": "run"}, {"open": {"n": [], "id": 5}}, {"hidden": "yes"}],
)
def test_odd_values_count_as_not_given(client, odd):
    with client.stream("POST", UPDATES, json={**shows("an-odd-page"), **odd}) as response:
        assert next(events(response))["player"]["state"] in ("paused", "empty")


def test_everything_else_passes(client):
    assert client.get("./").text == "not here"


def test_how_long_until_the_next_look():
    assert pause({"state": "playing"}, None) == BUSY_SECONDS
    assert pause({"state": "paused", "answering": True}, None) == BUSY_SECONDS
    assert pause({"state": "empty", "loading": {"text": "…"}}, {"seq": 1}) == BUSY_SECONDS
    assert pause({"state": "ended"}, None) == IDLE_SECONDS
    assert pause({"state": "playing"}, {"thumbs": dict.fromkeys("abcd")}) == MORE_SECONDS
