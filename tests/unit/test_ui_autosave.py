"""Saved streams: content, file permissions, and rejection of hostile or damaged files."""

from __future__ import annotations

import json
import os
import time

import pytest

import hermes
from hermes.assets import ASSETS
from hermes.errors import HermesError
from hermes.serving.engine import Engine, StreamSettings
from ui.player.clips import read_clips
from ui.settings.model_loader import ModelLoader
from ui.visitors.autosave import KEPT_HOURS, Autosave
from ui.visitors.visitor import Visitor

KEY = "tab-" + "a" * 40


@pytest.fixture(scope="module")
def engine():
    running = Engine()
    running.load("pocket")
    yield running
    running.close()


@pytest.fixture
def make(engine, tmp_path):
    clips = {clip.id: clip for clip in read_clips(ASSETS / "clips")}
    loader = ModelLoader(engine)
    loader.ensure("pocket")
    made = []

    def new():
        made.append(Visitor(StreamSettings(speed=4.0), loader, clips, hermes.POLICIES, downloads=tmp_path / "files"))
        return made[-1]

    yield new
    for visitor in made:
        visitor.close()


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


@pytest.fixture
def paused(make):
    """A visitor whose clip is paused after a question."""
    visitor = make()
    visitor.start(visitor.source({"kind": "clip", "id": "first-card"}))
    until(lambda: visitor.poll(None, -1)[0]["frames"] >= 8)
    visitor.transport("pause")
    until(lambda: visitor.poll(None, -1)[0]["state"] == "paused")
    list(visitor.ask("What is shown now?"))
    return visitor


def saved(folder, visitor, limit=2000):
    autosave = Autosave(folder, limit)
    autosave.save_if_due(KEY, visitor, lambda: {KEY: visitor})
    return autosave


def test_a_resumed_stream_has_the_same_memory_chat_and_answer(make, paused, tmp_path):
    autosave = saved(tmp_path / "saved", paused)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "saved").iterdir()} == {0o600}
    answer = paused.conversation.turns[-1].answer
    seen = paused.stream.view().snapshot.frames_seen
    visitor = make()
    visitor.offer_saved(autosave.offer(KEY))
    assert visitor.poll(None, -1)[0]["saved"]["questions"] == 1
    visitor.resume_saved()
    state, board = visitor.poll(None, -1)
    assert (state["state"], state["saved"], state["frames"]) == ("paused", None, seen)
    assert board["base"] is None
    assert [turn.answer for turn in visitor.conversation.turns] == [answer]
    assert list(visitor.ask("What is shown now?"))[-1]["turns"][-1]["answer"] == answer
    visitor.transport("resume")
    until(lambda: visitor.poll(None, -1)[0]["frames"] > seen)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "another"},
        {"session": "../../etc/passwd"},
        {"session": "tab-" + "b" * 40 + ".x.session"},
        {"kind": "shell"},
        {"seconds": -1},
        {"seconds": "now"},
        {"ended": "yes"},
        {"turns": {"a": 1}},
        {"turns": [{"question": "?"}]},
        {"turns": [None]},
        {"settings": None},
        {"settings": {"fps": 1e9}},
        {"title": 5},
        {"title": "x" * 100_000},
    ],
)
def test_a_hostile_file_is_not_offered_and_is_deleted(paused, tmp_path, change):
    autosave = saved(tmp_path / "saved", paused)
    (path,) = (tmp_path / "saved").glob("*.json")
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | change), "utf-8")
    assert autosave.offer(KEY) is None
    assert list((tmp_path / "saved").iterdir()) == []


@pytest.mark.parametrize("text", ["", "[", "null", "[]", '{"format": NaN}', "[" * 100_000])
def test_a_damaged_file_is_not_offered(tmp_path, text):
    autosave = Autosave(tmp_path / "saved", 10)
    (tmp_path / "saved" / f"{KEY}.json").write_text(text)
    assert autosave.offer(KEY) is None


def test_a_damaged_session_is_refused_with_a_sentence(make, paused, tmp_path):
    autosave = saved(tmp_path / "saved", paused)
    (session,) = (tmp_path / "saved").glob("*.session")
    session.write_bytes(session.read_bytes()[:-100])
    visitor = make()
    visitor.offer_saved(autosave.offer(KEY))
    with pytest.raises(HermesError):
        visitor.resume_saved()
    assert visitor.stream is None
    assert visitor.saved is not None, "the offer stays"


def test_a_stream_that_is_too_large_is_reported_and_not_saved(paused, tmp_path):
    autosave = Autosave(tmp_path / "saved", 1)
    autosave._limit = 1000
    autosave.save_if_due(KEY, paused, lambda: {KEY: paused})
    assert list((tmp_path / "saved").iterdir()) == []
    assert "is not saved for a restart" in paused.poll(None, -1)[0]["notice"]["text"]


def test_the_oldest_makes_room_and_a_visitor_who_leaves_is_forgotten(paused, tmp_path):
    autosave = saved(tmp_path / "saved", paused)
    size = sum(path.stat().st_size for path in (tmp_path / "saved").iterdir())
    autosave._limit = int(1.5 * size)
    other = "tab-" + "c" * 40
    autosave.save_if_due(other, paused, lambda: {other: paused})
    assert autosave.offer(KEY) is None
    assert autosave.offer(other) is not None
    autosave.delete(other)
    assert list((tmp_path / "saved").iterdir()) == []


def test_old_saved_streams_are_deleted_at_start(paused, tmp_path):
    saved(tmp_path / "saved", paused)
    old = time.time() - KEPT_HOURS * 3600 - 60
    for path in (tmp_path / "saved").iterdir():
        os.utime(path, (old, old))
    Autosave(tmp_path / "saved", 10)
    assert list((tmp_path / "saved").iterdir()) == []


def test_a_folder_with_other_files_is_refused_and_left_as_it_is(tmp_path):
    (tmp_path / "letter.txt").write_text("mine")
    tmp_path.chmod(0o755)
    with pytest.raises(HermesError, match="holds other files"):
        Autosave(tmp_path, 10)
    assert tmp_path.stat().st_mode & 0o777 == 0o755


def test_files_of_others_are_never_deleted_to_make_room(paused, tmp_path):
    autosave = saved(tmp_path / "saved", paused)
    others = [tmp_path / "saved" / name for name in ("letter.txt", ".profile", "tab-notes.txt", "[x].json")]
    for other in others:
        other.write_text("mine")
    size = sum(path.stat().st_size for path in (tmp_path / "saved").glob("tab-*.*"))
    autosave._limit = int(1.5 * size)
    another = "tab-" + "c" * 40
    autosave.save_if_due(another, paused, lambda: {another: paused})
    assert autosave.offer(another) is not None
    assert autosave.offer(KEY) is None
    assert [other.read_text() for other in others] == ["mine"] * 4
