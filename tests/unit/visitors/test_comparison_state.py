"""Requests for the state of a comparison, as the server's middleware answers them."""

from __future__ import annotations

import asyncio
import json
import threading

import httpx
import pytest
from beside import beside
from patience import PATIENCE

import hermes
from hermes.assets import RUNS
from hermes.serving.engine import Engine, StreamSettings
from hermes.trace import read_lab
from ui.page.comparison_state import COMPARISON, ComparisonState
from ui.page.handlers import Handlers
from ui.page.update_stream import MAX_BYTES
from ui.runs.runs import ENDING
from ui.settings.model_loader import ModelLoader
from ui.visitors.registry import Quota, Sessions
from ui.visitors.visitor import Visitor

JSON = {"content-type": "application/json"}
KEY = "session-this-visitor"
ME = {"session": "this-visitor"}
RECORDED = RUNS / f"first-card-side-by-side{ENDING}"


async def others(scope, receive, send):
    del scope, receive
    await send({"type": "http.response.start", "status": 418, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def exchange(poll, talk):
    """What `talk(client)` returns with a client of the middleware."""

    async def run():
        transport = httpx.ASGITransport(app=ComparisonState(others, poll))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1/below/") as client:
            return await talk(client)

    return beside(lambda: asyncio.run(run()))


@pytest.fixture
def handlers(bundled_clips, bundled_runs, tmp_path):
    engine = Engine()
    given = (StreamSettings(), ModelLoader(engine), bundled_clips, hermes.POLICIES, bundled_runs, tmp_path)
    made = Handlers(Sessions(lambda: Visitor(*given), Quota(visitors=1), tmp_path))
    made.sessions.own(KEY).lab.open(read_lab(RECORDED))
    yield made
    made.leave(KEY)
    engine.close()


def test_the_state_is_json_and_a_known_picture_is_not_sent_again(handlers):
    async def talk(client):
        first = await client.post(COMPARISON, json=ME | {"frame": -1})
        assert (first.status_code, first.headers["content-type"]) == (200, "application/json")
        assert len(first.json()["lanes"]) == 3
        again = await client.post(COMPARISON, json=ME | {"frame": first.json()["frame"]["index"]})
        assert "frame" not in again.json()
        assert again.json()["run"] == first.json()["run"]
        without_place = await client.post(COMPARISON, json={"session": "another-visitor", "frame": -1})
        assert (without_place.status_code, without_place.content) == (204, b"")

    exchange(handlers.poll_lab, talk)


def test_a_visitor_occupies_one_thread(handlers):
    entered, free = threading.Event(), threading.Event()

    def slow(shown, key):
        if key == KEY:
            entered.set()
            assert free.wait(PATIENCE)
        return handlers.poll_lab(shown, key)

    async def talk(client):
        waiting = asyncio.create_task(client.post(COMPARISON, json=ME))
        try:
            await asyncio.to_thread(entered.wait, PATIENCE)
            assert (await client.post(COMPARISON, json=ME)).status_code == 204
            assert (await client.post(COMPARISON, json={"session": "another-visitor"})).status_code == 204  # no place
        finally:
            free.set()
        assert len((await waiting).json()["lanes"]) == 3
        assert (await client.post(COMPARISON, json=ME)).status_code == 200

    exchange(slow, talk)


def test_a_fault_is_logged_and_the_next_request_is_answered(handlers, caplog):
    faults = [RuntimeError("a fault in a comparison")]

    def poll(shown, key):
        if faults:
            raise faults.pop()
        return handlers.poll_lab(shown, key)

    async def talk(client):
        assert (await client.post(COMPARISON, json=ME)).status_code == 500
        assert (await client.post(COMPARISON, json=ME)).status_code == 200

    exchange(poll, talk)
    assert "Could not read the state of a comparison" in caplog.text


def test_other_requests_are_refused_or_passed_on(handlers):
    async def talk(client):
        assert (await client.get(COMPARISON)).status_code == 405
        assert (await client.post(COMPARISON, data={"session": "this-visitor"})).status_code == 415
        for body in ("", "[]", "{", json.dumps({"frame": 1}), json.dumps(ME | {"frame": "x" * MAX_BYTES})):
            assert (await client.post(COMPARISON, content=body, headers=JSON)).status_code == 400, body[:20]
        for odd in ("1", None, 1e300, [], {}):
            assert (await client.post(COMPARISON, json=ME | {"frame": odd})).status_code == 200, odd
        assert (await client.post("hermes-live-other", json=ME)).status_code == 418

    exchange(handlers.poll_lab, talk)
