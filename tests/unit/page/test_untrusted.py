"""Events with values of any type: no handler raises, and none reports a fault of the program."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import pytest

import hermes
from hermes.assets import ASSETS
from hermes.serving.engine import Engine, StreamSettings
from hermes.trace import read, read_lab
from ui.page.handlers import FAULT, Handlers
from ui.player.clips import read_clips
from ui.player.conversation import MAX_TURNS, STORED_CHARACTERS, Conversation
from ui.settings.model_loader import ModelLoader
from ui.untrusted import event_data, finite, finite_json, is_one_of
from ui.visitors.registry import Quota, Sessions
from ui.visitors.visitor import Visitor

ODD = [
    None,
    True,
    -1,
    2**63,
    10**400,
    1e308,
    math.nan,
    math.inf,
    "",
    "x",
    "\0",
    "\ud800",
    "../x",
    [],
    [[]],
    {},
    {"a": []},
]
PLAYER = ("choose", "pause", "resume", "stop", "restart", "seek", "pace", "speed", "record", "stop-recording")
LAB = ("start", "ask", "pause", "resume", "end", "record", "stop-recording", "open", "seek", "pace", "board")
FIELDS = ("kind", "id", "path", "name", "seconds", "speed", "clip", "policies", "budget", "question", "lane")


@pytest.fixture(scope="module")
def handlers(tmp_path_factory):
    """Handlers of a visitor who watches a recorded run and a recorded lab run."""
    engine, folder = Engine(), tmp_path_factory.mktemp("files")
    clips = {clip.id: clip for clip in read_clips(ASSETS / "clips")}
    listed = json.loads((ASSETS / "runs" / "index.json").read_text("utf-8"))
    lab_id = listed["labs"][0]["id"]
    runs = {"first-card-window": read(ASSETS / "runs" / "first-card-window.hermesrun")}
    labs = {lab_id: read_lab(ASSETS / "runs" / f"{lab_id}.hermesrun")}

    def make():
        return Visitor(StreamSettings(), ModelLoader(engine), clips, hermes.POLICIES, runs, folder, labs)

    made = Handlers(Sessions(make, Quota(), folder))
    visitor = made.sessions.get("a")
    visitor.open_run("first-card-window", play=False)
    visitor.lab.open(labs[lab_id], play=False)
    yield made
    engine.close()


def reported(handlers):
    player, _ = handlers.poll({}, "a")
    return (player["notice"] or {}).get("text"), (handlers.sessions.own("a").lab.poll(-1)["notice"] or {}).get("text")


@pytest.mark.parametrize("field", FIELDS)
def test_odd_values_are_refused_or_ignored(handlers, field):
    for odd in ODD:
        for action in PLAYER:
            handlers.act({"action": action, field: odd}, "a")
            assert FAULT not in reported(handlers), (action, field, odd)
        for action in LAB:
            handlers.lab_action({"action": action, "clip": "first-card", field: odd}, "a")
            assert FAULT not in reported(handlers), (action, field, odd)


def test_odd_actions_and_details_are_refused_or_ignored(handlers):
    for odd in ODD:
        handlers.act({"action": odd}, "a")
        handlers.lab_action({"action": odd}, "a")
        handlers.camera_frame({"jpeg": odd, "number": 1}, "a")
        handlers.camera_frame({"jpeg": "x", "number": odd}, "a")
        list(handlers.ask({"question": odd}, "a"))
        handlers.poll(dict.fromkeys(("page", "seq", "frame", "board", "open"), odd), "a")
        handlers.poll({"open": {"n": 1, "id": odd, "seconds": odd}}, "a")
        for kind in ("frame", "life", "heads", odd):
            handlers.detail({"kind": kind, "frame": odd, "layer": odd}, "a")
        word = dict.fromkeys(("turn", "first", "stop", "bin"), odd)
        assert FAULT not in str(handlers.detail({"kind": "word", **word}, "a"))
        handlers.halt({"turn": odd, "clear": odd}, "a")
        assert FAULT not in reported(handlers), odd


@pytest.mark.parametrize("odd", [value for value in ODD if not isinstance(value, dict)])
def test_event_data_that_is_no_object_is_empty(odd):
    assert event_data(SimpleNamespace(_data=odd)) == {}


def test_a_conversation_is_limited():
    conversation = Conversation()
    waiting = conversation.begin("Is this answered?", 1.0, "")
    for _ in range(MAX_TURNS + 50):
        list(conversation.ask(None, "?" * 100_000, ""))
    assert len(conversation.turns) == MAX_TURNS
    assert conversation.turns[0] is waiting, "an open question is kept"
    assert {len(turn.question) for turn in conversation.turns[1:]} == {STORED_CHARACTERS}


def test_numbers_of_json_are_finite():
    assert finite_json(b'{"a": [1, 2.5, -1e9]}') == {"a": [1, 2.5, -1e9]}
    for text in (b"NaN", b"[-Infinity]", b'{"a": 1e999}', b"[" * 100_000, b"{", b"\xff", b"9" * 5000):
        with pytest.raises(ValueError):  # noqa: PT011 - of json, too
            finite_json(text)


def test_numbers_and_choices():
    assert [finite(odd, 7.0) for odd in (10**400, math.nan, math.inf, "3", None, 2)] == [7.0, 7.0, 7.0, 7.0, 7.0, 2.0]
    assert [is_one_of(odd, {1: "x"}) for odd in ([], {}, None, 2, 1)] == [False, False, False, False, True]
