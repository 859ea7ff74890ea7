"""The opening moment: served with the page, and continued by the visitor whose browser shows it."""

from __future__ import annotations

import json

import pytest

import hermes
from hermes.serving.engine import Engine, StreamSettings
from ui.opening import PICTURES, make_opening
from ui.page.handlers import Handlers
from ui.settings.model_loader import ModelLoader
from ui.visitors.registry import Quota, Sessions
from ui.visitors.visitor import Visitor

SECONDS = 57.0
LOOKING = {"mode": "kept", "pictures": PICTURES}


@pytest.fixture(scope="module")
def engine():
    running = Engine()
    yield running
    running.close()


@pytest.fixture
def opened(engine, bundled_clips, bundled_runs, tmp_path):
    """Handlers of a page with an opening, and the opening."""
    run = next(iter(bundled_runs.values()))
    settings = StreamSettings(model="pocket", policy="hermes", budget=512)
    opening = make_opening(run, SECONDS, bundled_clips, settings, hermes.POLICIES["hermes"])
    given = (settings, ModelLoader(engine), bundled_clips, hermes.POLICIES, bundled_runs, tmp_path)
    sessions = Sessions(lambda: Visitor(*given), Quota(), tmp_path)
    return Handlers(sessions, opening), opening


def poll(handlers, opening, key="tab", **wish):
    """The first request of a browser; return the messages for player and board."""
    reply = opening.payload
    data = {
        "open": {"n": 1, "id": reply["run"], "seconds": reply["seconds"], "play": False, **wish},
        "seq": reply["board"]["seq"],
        "frame": reply["player"]["frame"]["index"],
        "board": LOOKING,
    }
    return handlers.poll(data, key)


def test_it_tells_the_run_where_it_opens(opened):
    _, opening = opened
    reply = json.loads(json.dumps(opening.payload, allow_nan=False))
    assert reply["seconds"] == SECONDS
    assert reply["player"]["position"] == SECONDS
    assert reply["player"]["frame"]["jpeg"]
    assert reply["player"]["run"]["turns"]
    board = reply["board"]
    assert board["base"] is None
    assert board["frames"] == reply["player"]["frames"]
    assert len(board["thumbs"]) >= len(board["film"]["index"]) - 2  # all pictures, where the run kept them
    assert board["answer"]["verdict"]["outcome"]


def test_a_browser_that_shows_it_receives_only_later_changes(opened):
    handlers, opening = opened
    player, board = poll(handlers, opening, shown=opening.key)
    assert player["opened"] == 1
    assert player["restarted"] is False
    assert "frame" not in player  # it shows this picture already
    assert player["run"]["epoch"] == opening.payload["player"]["run"]["epoch"]
    assert board is None  # nothing has happened since
    visitor = handlers.sessions.get("tab")
    visitor.replay.resume()
    visitor.replay.pace(30)
    data = {"seq": opening.payload["board"]["seq"], "frame": -1, "board": LOOKING}
    message = None
    while message is None:
        _, message = handlers.poll(data, "tab")
    assert message["base"] == opening.payload["board"]["seq"]


def test_two_browsers_continue_from_it_independently(opened):
    handlers, opening = opened
    for key in ("one", "two"):
        assert poll(handlers, opening, key, shown=opening.key)[1] is None
    handlers.sessions.get("one").replay.seek(80.0)
    data = {"seq": opening.payload["board"]["seq"], "frame": -1, "board": LOOKING}
    assert handlers.poll(data, "one")[1]["frames"] > opening.payload["board"]["frames"]
    assert handlers.poll(data, "two")[1] is None  # nothing new


@pytest.mark.parametrize("shown", [None, "of another server"])
def test_a_browser_that_shows_something_else_receives_everything(opened, shown):
    handlers, opening = opened
    player, board = poll(handlers, opening, shown=shown)
    assert player["restarted"] is True
    assert player["frame"]["jpeg"]
    assert board["base"] is None
