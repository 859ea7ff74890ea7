"""Over HTTP: uploads and recordings can be fetched only by their visitor, and not after the visitor has left."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

import httpx
import pytest
from gradio.utils import get_upload_folder

import hermes
from hermes.serving.engine import Engine, StreamSettings
from ui.options import Options
from ui.page.page import build, launch_options
from ui.page.traffic import LEAVE
from ui.page.update_stream import UPDATES
from ui.visitors.connections import TAB_HEADER, key_of_token
from ui.visitors.files import server_folder
from ui.visitors.registry import Quota

FILM = Path(__file__).parents[1] / "data" / "variable_rate.mp4"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A running page and its handlers."""
    engine = Engine()
    with server_folder(tmp_path_factory.mktemp("server")):
        options = Options(StreamSettings(), ("pocket",), any_model=False, clips=Path("/nowhere"), quota=Quota())
        made = build(engine, hermes.POLICIES, options)
        _, address, _ = made.blocks.launch(
            prevent_thread_lock=True, server_name="127.0.0.1", **launch_options(Quota(), made.handlers, made.opening)
        )
        yield address, made.handlers
        made.blocks.close()
    engine.close()


class Tab:
    """A page as the server sees it: the token of its tab, and a connection that is open while it is shown."""

    def __init__(self, address):
        self.token = secrets.token_hex(16)
        self.key = key_of_token(self.token)
        self.client = httpx.Client(base_url=address, headers={TAB_HEADER: self.token}, timeout=60)
        shown = {"session": "not-used", "seq": None, "frame": -1, "board": None, "hidden": False, "open": None}
        self._updates = self.client.stream("POST", UPDATES, json=shown)
        self.first = next(self._updates.__enter__().iter_lines())

    def upload(self, data, name="clip.mp4"):
        return self.client.post("gradio_api/upload", files={"files": (name, data)})

    def leave(self):
        httpx.post(f"{self.client.base_url}{LEAVE}", content=self.token).raise_for_status()


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


def test_equal_uploads_are_apart_and_gone_when_their_visitor_leaves(open_tab):
    first, second = open_tab(), open_tab()
    data = FILM.read_bytes()
    (one,), (two,) = first.upload(data).json(), second.upload(data).json()
    assert one != two
    assert second.client.get(f"gradio_api/file={two}").content == data
    first.leave()
    assert first.client.get(f"gradio_api/file={one}").status_code in (403, 404)
    assert second.client.get(f"gradio_api/file={two}").content == data
    second.leave()
    assert second.client.get(f"gradio_api/file={two}").status_code in (403, 404)
    left = [path for path in Path(get_upload_folder()).rglob("*") if path.is_file() and path.read_bytes() == data]
    assert left == []


def test_a_recording_is_gone_when_its_visitor_leaves(open_tab, served):
    tab = open_tab()
    files = served[1].sessions.own(tab.key).files
    recording = files.path / f"run-{secrets.token_hex(16)}" / "run.hermesrun"
    recording.parent.mkdir(parents=True)
    recording.write_bytes(b"recorded")
    assert tab.client.get(f"gradio_api/file={recording}").content == b"recorded"
    tab.leave()
    assert tab.client.get(f"gradio_api/file={recording}").status_code in (403, 404)


def test_a_visitor_cannot_play_the_upload_of_another(open_tab, served):
    first, second = open_tab(), open_tab()
    (path,) = first.upload(b"private").json()
    handlers = served[1]
    handlers.act({"action": "choose", "kind": "upload", "path": path, "name": "mine.mp4"}, second.key)
    assert "not uploaded here" in handlers.poll({}, second.key)[0]["notice"]["text"]
    assert path not in handlers.sessions.own(second.key).uploads


@pytest.mark.parametrize("headers", [{}, {TAB_HEADER: "0" * 32}, {TAB_HEADER: "../../x"}])
def test_uploads_of_nobody_are_refused(served, headers):
    address, handlers = served
    before = len(handlers.sessions)
    answer = httpx.post(f"{address}gradio_api/upload", files={"files": ("a.mp4", b"x")}, headers=headers)
    assert answer.status_code == 403
    assert len(handlers.sessions) == before


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


def test_a_tab_that_leaves_frees_its_place_at_once(open_tab, served):
    tab = open_tab()
    assert json.loads(tab.first.removeprefix("data: "))["player"]["state"] == "empty"
    assert tab.key in served[1].sessions.visitors()
    tab.leave()
    assert tab.key not in served[1].sessions.visitors()
    assert "not connected" in served[1].poll({}, tab.key)[0]["notice"]["text"], (
        "its open update stream makes no new place"
    )
