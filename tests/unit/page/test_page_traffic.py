"""Over HTTP: uploads and recordings can be fetched only by their visitor, and not after the visitor has left."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import socket
from pathlib import Path

import httpx
import pytest
from beside import beside
from gradio.utils import get_upload_folder
from patience import until
from served_page import Tab, serve

from hermes.errors import HermesError
from ui.page.traffic import LEAVE, LONGEST_SESSION, MAX_BYTES, whole_body
from ui.visitors import registry
from ui.visitors.connections import TAB_HEADER, key_of_token
from ui.visitors.registry import Quota

FILM = Path(__file__).parents[2] / "data" / "variable_rate.mp4"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serve(tmp_path_factory.mktemp("server")) as page:
        yield page


def leave(tab, served):
    """Send what a browser sends when a tab is closed or reloaded, and wait until the visitor is gone."""
    httpx.post(f"{tab.client.base_url}{LEAVE}", content=tab.token).raise_for_status()
    until(lambda: tab.key not in served[1].sessions.visitors())


@pytest.fixture
def open_tab(served):
    address, handlers = served
    tabs = []

    def make():
        tabs.append(Tab(address))
        return tabs[-1]

    yield make
    for tab in tabs:
        handlers.sessions.close(tab.key)
        tab.client.close()


def test_equal_uploads_are_separate_and_deleted_when_their_visitor_leaves(open_tab, served):
    first, second = open_tab(), open_tab()
    data = FILM.read_bytes()
    (one,), (two,) = first.upload(data).json(), second.upload(data).json()
    assert one != two
    assert second.client.get(f"gradio_api/file={two}").content == data
    leave(first, served)
    assert first.client.get(f"gradio_api/file={one}").status_code in (403, 404)
    assert second.client.get(f"gradio_api/file={two}").content == data
    leave(second, served)
    assert second.client.get(f"gradio_api/file={two}").status_code in (403, 404)
    left = [path for path in Path(get_upload_folder()).rglob("*") if path.is_file() and path.read_bytes() == data]
    assert left == []


def test_a_recording_is_deleted_when_its_visitor_leaves(open_tab, served):
    tab, handlers = open_tab(), served[1]
    (path,) = tab.upload(FILM.read_bytes()).json()

    def player():
        return handlers.poll({}, tab.key)[0]

    handlers.act({"action": "start", "kind": "upload", "path": path, "name": "film.mp4"}, tab.key)
    until(lambda: player()["frames"], lambda: str(player()["notice"]))
    handlers.act({"action": "record"}, tab.key)
    seen = player()["frames"]
    until(lambda: player()["frames"] > seen)
    handlers.act({"action": "stop-recording"}, tab.key)
    recorded = player()["recorded"]
    assert len(tab.client.get(recorded["url"]).content) == recorded["bytes"]
    leave(tab, served)
    until(lambda: tab.client.get(recorded["url"]).status_code in (403, 404))  # files are deleted after the place


def test_a_visitor_cannot_play_the_upload_of_another(open_tab, served):
    first, second = open_tab(), open_tab()
    (path,) = first.upload(b"private").json()
    handlers = served[1]
    handlers.act({"action": "choose", "kind": "upload", "path": path, "name": "mine.mp4"}, second.key)
    assert "not uploaded here" in handlers.poll({}, second.key)[0]["notice"]["text"]
    assert path not in handlers.sessions.own(second.key).uploads


@pytest.mark.parametrize("headers", [{}, {TAB_HEADER: "0" * 32}, {TAB_HEADER: "../../x"}])
def test_uploads_without_a_visitor_are_rejected(served, headers, monkeypatch):
    monkeypatch.setattr(registry, "CONNECTION_SECONDS", 0.1)
    address, handlers = served
    before = len(handlers.sessions)
    answer = httpx.post(f"{address}gradio_api/upload", files={"files": ("a.mp4", b"x")}, headers=headers)
    assert answer.status_code == 403
    assert len(handlers.sessions) == before


def test_an_upload_may_arrive_before_the_first_poll(open_tab, served):
    tab, handlers = open_tab(), served[1]
    handlers.sessions.close(tab.key)
    with tab.client.stream("GET", "gradio_api/heartbeat/a-session"):  # connected, without a place
        assert tab.upload(b"an early file").status_code == 200


def test_invented_sessions_take_no_places(served):
    address, handlers = served
    before = len(handlers.sessions)
    for _ in range(20):
        body = {"data": [], "fn_index": 0, "session_hash": secrets.token_hex(6)}
        httpx.post(f"{address}gradio_api/queue/join", json=body, timeout=60)
    assert len(handlers.sessions) == before


@pytest.mark.parametrize("body", ["", "x", "0" * 31, "0" * 10_000])
def test_only_a_token_closes_a_tab(served, body):
    assert httpx.post(f"{served[0]}{LEAVE}", content=body).status_code == 400


def test_a_closed_tab_frees_its_place_immediately(open_tab, served):
    tab = open_tab()
    assert tab.player["state"] == "empty"
    assert tab.key in served[1].sessions.visitors()
    leave(tab, served)
    assert tab.key not in served[1].sessions.visitors()
    assert "not connected" in served[1].poll({}, tab.key)[0]["notice"]["text"], (
        "its open update stream makes no new place"
    )


FORM = {"video": ("a.mp4", b"a video from a client without a page")}


@pytest.mark.parametrize(
    ("method", "path", "more"),
    [
        ("POST", "gradio_api/process_recording", {"files": FORM}),
        ("POST", "gradio_api/component_server", {"files": FORM, "data": {"session_hash": "a-page"}}),
        ("POST", "gradio_api/run/act", {"json": {"data": []}}),
        ("POST", "gradio_api/api/act/", {"json": {"data": []}}),
        ("POST", "gradio_api/call/act", {"json": {"data": []}}),
        ("POST", "gradio_api/stream/an-event", {"json": {}}),
        ("POST", "gradio_api/vibe-edit", {"json": {"prompt": "x"}}),
        ("POST", "login", {"data": {"username": "x", "password": "y"}}),
        ("PUT", "gradio_api/upload", {"files": FORM}),
        ("GET", "gradio_api/deep_link?session_hash=a-page", {}),
        ("GET", "gradio_api/file=http://127.0.0.1:9/x", {}),
        ("GET", "gradio_api/proxy=http://127.0.0.1:9/", {}),
        ("GET", "gradio_api/dev/reload", {}),
        ("GET", "gradio_api/openapi.json", {}),
        ("GET", "gradio_api/queue/status", {}),
        ("GET", "gradio_api/upload_progress?upload_id=x", {}),
        ("GET", "monitoring/summary", {}),
        ("GET", "pwa_icon/4000", {}),
        ("GET", "openapi.json", {}),
        ("GET", "logout", {}),
    ],
)
def test_only_the_routes_of_the_page_are_served(served, method, path, more):
    before = sorted(Path(get_upload_folder()).rglob("*"))
    assert httpx.request(method, served[0] + path, timeout=60, **more).status_code == 404
    assert sorted(Path(get_upload_folder()).rglob("*")) == before


@pytest.mark.parametrize("path", ["", "config", "theme.css", "gradio_api/info", "gradio_api/app_id", "favicon.ico"])
def test_the_routes_of_the_page_are_served(served, path):
    assert httpx.get(served[0] + path, timeout=60).status_code == 200


def test_a_body_that_is_too_large_is_refused(served):
    body = b'{"data": ["' + b"x" * MAX_BYTES + b'"]}'
    answer = httpx.post(f"{served[0]}gradio_api/queue/join", content=body, timeout=60)
    assert answer.status_code == 413


def test_an_upload_that_is_too_large_leaves_nothing(open_tab, served, monkeypatch):
    tab = open_tab()
    monkeypatch.setattr(served[1].sessions, "quota", Quota(upload_mb=0))
    before = sorted(Path(get_upload_folder()).rglob("*"))
    files = [("files", (f"{i}.mp4", bytes(40_000))) for i in range(4)]  # each is small enough, all together are not
    answer = tab.client.post("gradio_api/upload", files=files)
    assert (answer.status_code, "maximum allowed size" in answer.text) == (413, True)
    assert sorted(Path(get_upload_folder()).rglob("*")) == before


def test_an_upload_whose_connection_is_lost_leaves_nothing(open_tab, served):
    tab = open_tab()
    folder = Path(get_upload_folder())
    before = sorted(folder.rglob("*"))
    head = (
        f"POST /gradio_api/upload HTTP/1.1\r\nHost: x\r\n{TAB_HEADER}: {tab.token}\r\nContent-Length: 9000000\r\n"
        'Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\nContent-Disposition: form-data; name="files"; '
        'filename="a.mp4"\r\n\r\n'
    )
    address = httpx.URL(served[0])
    with contextlib.ExitStack() as stack:
        for _ in range(Quota().uploads):
            connection = stack.enter_context(socket.create_connection((address.host, address.port)))
            connection.sendall(head.encode() + bytes(2_000_000))
        until(lambda: tab.client.post("gradio_api/upload", files={}).status_code == 429)
    until(lambda: tab.client.post("gradio_api/upload", files={}).status_code == 400)
    assert sorted(folder.rglob("*")) == before


PART = b'--b\r\nContent-Disposition: form-data; name="files"; filename="%s"\r\n\r\nhello\r\n'
FIELD = b'--b\r\nContent-Disposition: form-data; name="%d"\r\n\r\nx\r\n'
END = b"--b--\r\n"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        END,
        b"no form",
        FIELD % 1 + END,
        PART % b"a.mp4" + b"--bb no boundary",
        PART % b"a.mp4" + b"--b\r\nX: no name\r\n\r\nx\r\n" + END,
        PART % b"a.mp4" + b"--b\r\nX: " + b"x" * 20_000 + b"\r\n\r\n\r\n" + END,
        PART % b"a.mp4" + b"".join(FIELD % i for i in range(100)) + END,
        b"".join(PART % b"%d.mp4" % i for i in range(Quota().uploads + 1)) + END,
        b"\0" * 1000,
    ],
)
def test_a_malformed_upload_is_refused_and_leaves_nothing(open_tab, body):
    tab, folder = open_tab(), Path(get_upload_folder())
    before = sorted(folder.rglob("*"))
    answer = tab.client.post(
        "gradio_api/upload?upload_id=x", content=body, headers={"content-type": "multipart/form-data; boundary=b"}
    )
    assert answer.status_code == 400
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("charset", ["punycode", "idna", "utf-8; charset=idna", '"latin-1"'])
def test_a_form_in_another_encoding_is_refused(open_tab, charset):
    """Python decodes punycode in quadratic time, and reports errors of idna by another exception than those of others."""
    kind = f"multipart/form-data; boundary=b; charset={charset}"
    answer = open_tab().client.post("gradio_api/upload", content=PART % b"a..b" + END, headers={"content-type": kind})
    assert (answer.status_code, answer.text) == (400, "The form must be in UTF-8.")


def test_a_body_in_many_parts_is_joined():
    async def read(parts):
        async def receive():
            return parts.pop(0)

        return await whole_body(receive)

    part = {"type": "http.request", "body": b"x", "more_body": True}
    parts = [part] * 999 + [{"type": "http.request", "body": b"y"}]
    assert beside(lambda: asyncio.run(read(parts))) == b"x" * 999 + b"y"
    assert beside(lambda: asyncio.run(read([part, {"type": "http.disconnect"}]))) is None


def test_names_of_sessions_are_short(open_tab):
    tab = open_tab()
    for length, status in ((LONGEST_SESSION, 200), (LONGEST_SESSION + 1, 403)):
        body = {"data": [], "fn_index": 10**6, "session_hash": "s" * length}
        answer = tab.client.post("gradio_api/cancel", json={**body, "event_id": "none"})
        assert answer.status_code == status
    assert tab.client.get(f"gradio_api/heartbeat/{'s' * (LONGEST_SESSION + 1)}").status_code == 403


def test_a_connection_whose_stream_cannot_resume_is_not_counted_permanently(served, monkeypatch):
    """Otherwise the visitor would count as connected after its page has gone."""
    sessions = served[1].sessions

    def fail(_key):
        raise HermesError("The stream was lost.")

    monkeypatch.setattr(sessions, "connected", fail)
    token = secrets.token_hex(16)
    with contextlib.suppress(httpx.HTTPError):
        httpx.get(f"{served[0]}gradio_api/heartbeat/a-session", headers={TAB_HEADER: token}, timeout=60)
    assert not sessions.connections.is_live(key_of_token(token))


def test_names_of_uploads_are_only_names(open_tab, served):
    """A file is stored below the folder of its visitor whatever its name is."""
    tab, handlers = open_tab(), served[1]
    folder = handlers.sessions.own(tab.key).files.path
    names = [
        "..",
        ".",
        "",
        "/etc/passwd",
        "..\\..\\a.mp4",
        "-i",
        "%d.mp4",
        "x" * 300 + ".mp4",
        "\u202e4pm.exe",
        "NUL.mp4",
    ]
    stored = []
    for name in [*(name.encode() for name in names), b"M\xfcnchen.mp4", b"a\0b\n.mp4"]:
        answer = tab.client.post(
            "gradio_api/upload",
            content=PART % name + END,
            headers={"content-type": "multipart/form-data; boundary=b; charset=utf-8"},
        )
        assert answer.status_code == 200, name
        path = Path(answer.json()[0])
        assert path.is_relative_to(folder)
        assert path.read_bytes() == b"hello"
        assert path.name.isprintable()
        stored.append(path.name)
    assert stored[:7] == ["file", "file", "file", "passwd", "a.mp4", "-i", "%d.mp4"]
    assert stored[-2] == "München.mp4"


def test_a_page_uploads_a_few_files_at_once(open_tab, served, monkeypatch):
    tab = open_tab()
    monkeypatch.setattr(served[1].sessions, "quota", Quota(uploads=0))
    assert tab.upload(b"one too many").status_code == 429


@pytest.mark.parametrize("path", ["\0", "../../etc/passwd", "/etc/passwd", "x" * 100_000, [], {"path": "/etc/passwd"}])
def test_a_path_that_is_no_upload_is_refused(open_tab, served, path):
    tab, handlers = open_tab(), served[1]
    wish = {"kind": "upload", "path": path, "name": "a.mp4"}
    handlers.act({"action": "start", **wish}, tab.key)
    assert handlers.poll({}, tab.key)[0]["notice"]["text"] in (
        "This file was not uploaded here. Choose it again.",
        "Choose a video file first.",
    )
    handlers.lab_action({"action": "open-file", **wish}, tab.key)
    assert "not uploaded here" in json.loads(handlers.poll_lab({}, tab.key))["notice"]["text"]
