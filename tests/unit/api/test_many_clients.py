"""Clients that forge identities, open many pages, or send slowly: other visitors are not affected."""

from __future__ import annotations

import contextlib
import json
import socket

import httpx
import pytest
from patience import PATIENCE, until
from served_page import Tab, serve

from ui.page import traffic
from ui.page.update_stream import UPDATES
from ui.visitors.connections import MAX_OWNED, TAB_HEADER, SessionOwners
from ui.visitors.registry import Quota


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serve(tmp_path_factory.mktemp("server")) as page:
        yield page


@pytest.fixture
def open_tab(served):
    address, handlers = served
    tabs = []

    def make(**headers):
        tabs.append(Tab(address, **headers))
        return tabs[-1]

    yield make
    for tab in tabs:
        handlers.sessions.close(tab.key)
        tab.client.close()


# Forged identities ----------------------------------------------------------------------------------------------------


def event(session, **more):
    return {"data": [], "fn_index": 0, "session_hash": session, **more}


@pytest.mark.parametrize("forged", ["another token", "no token", "an invalid token"])
def test_a_visitor_cannot_use_the_session_of_another(open_tab, served, forged):
    address, handlers = served
    victim, session = open_tab(), f"victim-{forged.replace(' ', '-')}"
    joined = victim.client.post("gradio_api/queue/join", json=event(session))
    assert joined.status_code == 200
    tokens = {"another token": open_tab().token, "an invalid token": "0" * 31}
    headers = {TAB_HEADER: tokens[forged]} if forged in tokens else {}
    stranger = httpx.Client(base_url=address, headers=headers, timeout=PATIENCE)
    tricks = [
        stranger.get("gradio_api/queue/data", params={"session_hash": session}),
        stranger.get("gradio_api/queue/data/", params={"session_hash": session}),
        stranger.get(f"gradio_api/heartbeat/{session}"),
        stranger.post("gradio_api/queue/join", json=event(session)),
        stranger.post(
            "gradio_api/queue/join", content=json.dumps(event(session)).replace("session_h", "session\\u005fh")
        ),
        stranger.post("gradio_api/queue/join", json=event("mine") | {"session_hash": session}),
        stranger.post("gradio_api/cancel", json=event(session, event_id=joined.json()["event_id"])),
    ]
    assert [answer.status_code for answer in tricks] == [403] * len(tricks)
    for first, second in (("mine", session), (session, "mine"), ("", session)):
        several = f"gradio_api/queue/data?session_hash={first}&session%5Fhash={second}"
        assert stranger.get(several).status_code == 400, "Gradio would use the last one"
    # The victim still receives its message.
    with victim.client.stream("GET", "gradio_api/queue/data", params={"session_hash": session}) as stream:
        assert any("process_completed" in line for line in stream.iter_lines())
    assert len(handlers.sessions) >= 1
    stranger.close()


def test_a_session_does_not_stand_for_the_visitor_who_uses_it(open_tab, served):
    """The update stream takes a session only from clients without a token, and it names another visitor then."""
    address, handlers = served
    victim = open_tab()
    victim.client.post("gradio_api/queue/join", json=event("victims-session"))
    handlers.sessions.own(victim.key).notify("error", "a private message")
    for headers in ({}, {TAB_HEADER: victim.token[:-1]}, {TAB_HEADER: victim.token.upper() + "0"}):
        shown = {"session": "victims-session", "seq": None, "frame": -1}
        with httpx.stream("POST", f"{address}{UPDATES}", json=shown, headers=headers, timeout=PATIENCE) as answer:
            assert answer.status_code == 400 or "private" not in next(answer.iter_lines())
    assert victim.key in handlers.sessions.visitors()


def test_odd_events_are_refused(open_tab):
    tab = open_tab()
    for body in (b"", b"{", b"[" * 100_000, b"[]", b"null", b'{"session_hash": 5}', b'{"session_hash": ["a"]}'):
        assert tab.client.post("gradio_api/queue/join", content=body).status_code in (400, 422), body[:20]
    for number in ("NaN", "-Infinity", "1e999", "9" * 5000):
        body = json.dumps(event("odd")).replace('"data": []', f'"data": [], "event_data": {{"id": {number}}}')
        assert tab.client.post("gradio_api/queue/join", content=body).status_code == 400, number[:20]
        assert tab.client.post(UPDATES, content=body, headers={"content-type": "application/json"}).status_code == 400


def test_the_event_stream_of_an_unknown_session_ends_quietly(open_tab, caplog):
    answer = open_tab().client.get("gradio_api/queue/data", params={"session_hash": "unknown"})
    assert "not found" in answer.text.lower() or not answer.text
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_the_owners_of_sessions_are_limited():
    owners = SessionOwners()
    assert owners.claim("first", "a")
    for i in range(MAX_OWNED):
        owners.claim(f"session-{i}", "b")
        if i % 1000 == 0:
            assert not owners.claim("first", "b"), "a session in use is not forgotten"
    assert len(owners._owners) == MAX_OWNED


# Many pages -----------------------------------------------------------------------------------------------------------


def test_one_client_that_opens_seventy_pages_leaves_places_for_others(open_tab, served):
    """Requests through a proxy on this machine carry the address of the client."""
    handlers = served[1]
    quota = Quota()
    tabs = [open_tab() for _ in range(70)]
    refused = [tab for tab in tabs if tab.player["notice"]]
    assert len(tabs) - len(refused) == quota.per_client
    assert all("pages are open from your network address" in tab.player["notice"]["text"] for tab in refused)
    others = [open_tab(**{"x-forwarded-for": f"203.0.113.{i}"}) for i in range(3)]
    assert [tab.player["notice"] for tab in others] == [None] * 3
    for tab in refused:
        tab.client.close()
    until(lambda: not any(handlers.sessions.connections.is_live(tab.key) for tab in refused))
    handlers.sessions.close(next(tab for tab in tabs if tab not in refused).key)
    assert open_tab().player["notice"] is None, "a page that is closed makes room"


def test_a_full_server_has_room_again_once_a_connection_is_lost(open_tab, served, monkeypatch):
    handlers = served[1]
    monkeypatch.setattr(handlers.sessions, "quota", Quota(visitors=2))
    first, second = open_tab(), open_tab()
    assert "All 2 places are taken" in open_tab().player["notice"]["text"]
    first.client.close()
    until(lambda: not handlers.sessions.connections.is_live(first.key))
    until(lambda: handlers.sessions._places[first.key].dropped is not None)
    assert open_tab().player["notice"] is None
    assert first.key not in handlers.sessions.visitors()
    assert second.key in handlers.sessions.visitors()


# Slow clients ---------------------------------------------------------------------------------------------------------


JSON_HEAD = (
    b"POST /gradio_api/queue/join HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n"
)


def connect(address):
    url = httpx.URL(address)
    connection = socket.create_connection((url.host, url.port), timeout=PATIENCE)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def test_clients_that_send_byte_by_byte_do_not_block_others(open_tab, served):
    address = served[0]
    sender = open_tab()
    heads = [
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        JSON_HEAD + b"{",
        f"POST /{UPDATES} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n{{".encode(),
        f"POST /gradio_api/upload HTTP/1.1\r\nHost: x\r\n{TAB_HEADER}: {sender.token}\r\nContent-Length: 99999\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n".encode(),
    ]
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(connect(address)) for _ in range(25) for _ in heads]
        for i, connection in enumerate(slow):
            connection.sendall(heads[i % len(heads)])
        tab = open_tab()
        for _ in range(3):
            for connection in slow:
                with contextlib.suppress(ConnectionError):  # an upload beyond those at once was refused
                    connection.sendall(b"-")
            assert tab.upload(b"a file").status_code == 200
            assert tab.client.get("config").status_code == 200
        assert open_tab().player["state"] == "empty"


def test_a_body_that_never_ends_is_refused_although_every_byte_is_in_time(served, monkeypatch):
    monkeypatch.setattr(traffic, "BODY_SECONDS", 0.5)
    with connect(served[0]) as connection:
        connection.sendall(JSON_HEAD)
        connection.settimeout(0.05)
        answer = b""
        for _ in range(4000):
            connection.sendall(b" ")
            with contextlib.suppress(TimeoutError):
                answer = connection.recv(1000)
                break
    assert b" 408 " in answer.splitlines()[0]
