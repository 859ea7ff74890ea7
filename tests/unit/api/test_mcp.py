"""The tools of MCP, called by the official client, and by hostile ones."""

from __future__ import annotations

import asyncio
import json
import re
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from beside import beside
from held import Held
from patience import PATIENCE, until
from served_page import serve

from hermes.assets import CLIPS
from hermes.errors import HermesError
from ui.flags import check, parse
from ui.visitors.connections import key_of_token
from ui.visitors.registry import Quota

pytest.importorskip("mcp")
from mcp import Client

from ui.api.mcp_tools import MAX_ANSWERS, McpTools

QUOTA = Quota(reload_seconds=0.2, per_client=4)
TOOLS = {"watch_video", "ask_about_video", "list_memory", "close_video"}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serve(tmp_path_factory.mktemp("server"), QUOTA, clips=CLIPS, mcp=True) as page:
        yield page


@pytest.fixture(autouse=True)
def _no_visitor_remains(served):
    yield
    for key in served[1].sessions.visitors():
        served[1].sessions.close(key)


@contextmanager
def closing(served):
    """Waits until nothing is left of the visitors that the test creates and closes."""
    sessions = served[1].sessions
    yield sessions
    until(lambda: len(sessions) == 0)
    until(lambda: not sessions.connections._held)
    until(lambda: not sessions.connections._clients)


def talk(served, conversation, **options):
    """Run `conversation(call)`, where `call(tool, **arguments)` returns a result or an error as text."""

    async def run():
        async with Client(f"{served[0]}mcp", **options) as client:

            async def call(tool, **arguments):
                result = await client.call_tool(tool, arguments, read_timeout_seconds=PATIENCE)
                return result.content[0].text if result.is_error else result.structured_content

            return await conversation(call, client)

    return beside(lambda: asyncio.run(run()))


def upload(served, data, **headers):
    files = {"files": ("../../film.webm", data)}
    return httpx.post(f"{served[0]}mcp/upload", files=files, headers=headers, timeout=PATIENCE)


def test_a_clip_is_watched_asked_about_and_closed(served):
    async def conversation(call, client):
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == TOOLS
        assert "counting (" in tools["watch_video"].description
        for tool in tools.values():
            described = tool.input_schema["properties"].values()
            assert tool.description
            assert all(value.get("description") for value in described), tool.name
            assert tool.output_schema
        watched = await call("watch_video", clip="counting", policy="hermes", budget=300)
        while watched["state"] == "playing":
            watched |= await call("list_memory", handle=watched["handle"])
        assert (watched["state"], watched["duration"]) == ("ended", 45)
        handle = watched["handle"]
        answer = await call("ask_about_video", handle=handle, question="What was the first card?")
        assert answer["answer"]
        assert answer["seconds"] == watched["seconds"]
        shares = [frame["share"] for frame in answer["attended"]]
        assert shares
        assert shares == sorted(shares, reverse=True)
        memory = await call("list_memory", handle=handle, most_frames=3)
        assert (memory["policy"], memory["budget"], memory["frames_seen"]) == ("hermes", 300, 90)
        assert {layer["tier"] for layer in memory["layers"]} == {"sensory", "working", "long-term"}
        every = await call("list_memory", handle=handle, most_frames=200)
        assert len(memory["frames"]) == 3
        assert memory["frames_omitted"] == len(every["frames"]) - 3
        tokens = [frame["tokens"] for frame in every["frames"]]
        assert sum(tokens) <= sum(layer["tokens"] for layer in memory["layers"]) <= 300 * len(memory["layers"])
        assert sorted(frame["tokens"] for frame in memory["frames"]) == sorted(tokens)[-3:]
        assert await call("close_video", handle=handle) == {"result": "Closed."}
        assert "unknown or has expired" in await call("list_memory", handle=handle)

    with closing(served):
        talk(served, conversation)


def test_the_script_in_the_documentation(served):
    text = (Path(__file__).parents[3] / "docs" / "api.md").read_text("utf-8")
    (script,) = [found for found in re.findall(r"```python\n(.*?)```", text, re.S) if "from mcp" in found]
    assert script.count("http://127.0.0.1:7860/") == 1
    code = compile(script.replace("http://127.0.0.1:7860/", served[0]), "api.md", "exec")
    printed = []
    with closing(served):
        beside(lambda: exec(code, {"print": printed.append}))  # noqa: S102
    answer, memory = printed
    assert answer["answer"]
    assert (memory["budget"], len(memory["frames"])) == (300, 5)


def test_an_upload_is_watched_once_and_is_deleted(served):
    async def conversation(call, _client):
        given = await asyncio.to_thread(upload, served, (CLIPS / "counting.webm").read_bytes())
        assert given.status_code == 200
        handle = given.json()["upload"]
        (path,) = sessions.own(key_of_token(handle)).uploads
        watched = await call("watch_video", upload=handle, frames_per_second=0.2)
        assert (watched["handle"], watched["source"]) == (handle, "film.webm")
        assert watched["frames_seen"] > 0
        await call("close_video", handle=handle)
        return path

    with closing(served) as sessions:
        path = talk(served, conversation, mode="legacy")  # the protocol before 2026-07-28
        assert not Path(path).exists()


def test_errors_are_sentences_and_leave_nothing(served):
    secret = "f" * 32
    calls = [
        ("watch_video", {}, "either a clip or an upload"),
        ("watch_video", {"clip": "counting", "upload": secret}, "either a clip or an upload"),
        ("watch_video", {"clip": "nothing"}, "no such clip"),
        ("watch_video", {"clip": "../clips/counting"}, "no such clip"),
        ("watch_video", {"clip": str(CLIPS / "counting.webm")}, "no such clip"),
        ("watch_video", {"upload": "/etc/passwd"}, "unknown or has expired"),
        ("watch_video", {"upload": "http://127.0.0.1:1/film.mp4"}, "unknown or has expired"),
        ("watch_video", {"upload": secret}, "unknown or has expired"),
        ("watch_video", {"clip": "counting", "policy": "nothing"}, "There is no policy “nothing”"),
        ("watch_video", {"clip": "counting", "frames_per_second": 1000}, "to 30 frames"),
        ("watch_video", {"clip": "counting", "frames_per_second": 5e-324}, "must be 0.001 to 30 frames"),
        ("watch_video", {"clip": "counting", "budget": -1}, "greater than or equal to 0"),
        ("watch_video", {"clip": ["counting"]}, "valid string"),
        ("ask_about_video", {"handle": secret, "question": "What?"}, "unknown or has expired"),
        ("ask_about_video", {"handle": "\0", "question": "What?"}, "unknown or has expired"),
        ("ask_about_video", {"question": "What?"}, "Field required"),
        ("list_memory", {"handle": secret}, "unknown or has expired"),
        ("list_memory", {"handle": secret * 10}, "at most 64"),
        ("list_memory", {"handle": secret, "most_frames": 10**9}, "less than or equal to 200"),
        ("close_video", {"handle": secret}, "unknown or has expired"),
    ]

    async def conversation(call, _client):
        for tool, arguments, complaint in calls:
            assert complaint in await call(tool, **arguments), (tool, arguments)
        watched = await call("watch_video", clip="counting", frames_per_second=0.2)
        for question, complaint in ((" ", "is empty"), ("?" * 9000, "too long")):
            assert complaint in await call("ask_about_video", handle=watched["handle"], question=question)
        await call("close_video", handle=watched["handle"])

    with closing(served):
        talk(served, conversation)


def test_answers_and_starts_have_threads_of_their_own_and_are_refused_without_one(served, monkeypatch):
    asked = Held(McpTools._ask)
    monkeypatch.setattr(McpTools, "_ask", lambda *given: asked(*given))  # noqa: PLW0108 - binds the object
    short = {"clip": "counting", "frames_per_second": 0.2}

    async def conversation(call, _client):
        watched = await call("watch_video", **short)
        question = {"handle": watched["handle"], "question": "What is shown?"}
        answers = [asyncio.create_task(call("ask_about_video", **question)) for _ in range(MAX_ANSWERS + 1)]
        done, waiting = await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
        assert [f"{MAX_ANSWERS} questions are being answered" in one.result() for one in done] == [True]
        assert (await call("list_memory", handle=watched["handle"]))["frames_seen"], "other tools are served meanwhile"
        asked.go_on.set()
        await asyncio.wait(waiting)
        assert "answer" in await call("ask_about_video", **question)
        await call("close_video", handle=watched["handle"])

    with closing(served):
        talk(served, conversation)


def test_handles_are_limited_by_address_and_end_when_they_are_idle(served):
    async def conversation(call, _client):
        short = {"clip": "counting", "frames_per_second": 0.1}
        handles = [(await call("watch_video", **short))["handle"] for _ in range(QUOTA.per_client)]
        assert len(set(handles)) == QUOTA.per_client
        assert "open from your network address" in await call("watch_video", **short)
        refused = await asyncio.to_thread(upload, served, b"film")
        assert (refused.status_code, "network address" in refused.text) == (503, True)
        sessions.sweep()
        assert len(sessions) == QUOTA.per_client  # they do not count as disconnected
        sessions.sweep(time.monotonic() + QUOTA.idle_seconds + 1)
        assert "unknown or has expired" in await call("list_memory", handle=handles[0])

    with closing(served) as sessions:
        talk(served, conversation)


def test_a_client_that_leaves_while_it_watches_leaves_nothing(served):
    """It does not know the handle yet, so it cannot close the stream."""

    async def conversation(call, _client):
        watching = asyncio.create_task(call("watch_video", clip="quick-tour", frames_per_second=8))
        while not any(visitor.stream for visitor in sessions.visitors().values()):
            assert not watching.done()
            await asyncio.sleep(0.01)
        watching.cancel()
        while len(sessions):
            await asyncio.sleep(0.01)

    with closing(served) as sessions:
        talk(served, conversation)


def test_uploads_are_those_of_a_page(served, monkeypatch):
    with closing(served) as sessions:
        small = Quota(upload_mb=1)
        monkeypatch.setattr(sessions, "quota", small)
        assert upload(served, b"0" * (2 * 2**20)).status_code in (400, 413)
        given = httpx.post(
            f"{served[0]}mcp/upload", content=b"x", headers={"content-type": "text/plain"}, timeout=PATIENCE
        )
        assert given.status_code == 400
        given = upload(served, b"no film")
        handle = given.json()["upload"]

        async def conversation(call, _client):
            assert "Error executing tool watch_video" in await call("watch_video", upload=handle)
            await call("close_video", handle=handle)

        talk(served, conversation)


def test_web_pages_and_other_methods_are_refused(served):
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    accept = {"accept": "application/json, text/event-stream"}
    with closing(served), httpx.Client(base_url=served[0], timeout=PATIENCE) as client:
        assert client.post("mcp", json=body, headers=accept).status_code == 200
        assert client.post("mcp", json=body, headers={**accept, "origin": served[0].rstrip("/")}).status_code == 403
        assert upload(served, b"film", origin="https://example.org").status_code == 403
        for method in ("GET", "DELETE", "PUT", "OPTIONS"):
            assert client.request(method, "mcp", headers=accept).status_code == 405
        assert client.post("mcp", content=b" " * 300_000, headers=accept).status_code == 413
        for garbage in (b"", b"{", b"[]", b"[" * 100_000, json.dumps({**body, "method": "x" * 1000}).encode()):
            refused = client.post("mcp", content=garbage, headers={**accept, "content-type": "application/json"})
            assert refused.status_code in (200, 400, 404), garbage[:20]
            assert "error" in refused.text


def test_the_token_of_a_page_is_no_handle(served):
    token = "a" * 32
    sessions = served[1].sessions
    sessions.connections.opened(key_of_token(token), "127.0.0.1")
    try:
        sessions.own(key_of_token(token))

        async def conversation(call, _client):
            assert "unknown or has expired" in await call("list_memory", handle=token)

        talk(served, conversation)
    finally:
        sessions.connections.closed(key_of_token(token))


def test_the_flag_needs_live_streams(monkeypatch):
    monkeypatch.delenv("HERMES_CLIP_MODE", raising=False)
    check(parse(["--mcp"]))
    with pytest.raises(HermesError, match="clip mode"):
        check(parse(["--mcp", "--clip-mode"]))
