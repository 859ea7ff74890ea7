"""Saved streams: content, file permissions, and rejection of hostile or damaged files."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import resource
import threading
import time

import numpy as np
import pytest
from held import Held, underway
from patience import until
from safetensors.numpy import load, save

import hermes
from hermes.errors import HermesError
from hermes.serving.engine import Engine, StreamSettings
from hermes.session.stream_session import StreamSession
from ui.settings.model_loader import ModelLoader
from ui.visitors.autosave import Autosave
from ui.visitors.saved_stream import KEPT_HOURS
from ui.visitors.visitor import Visitor

KEY = "tab-" + "a" * 40


@pytest.fixture(scope="module")
def engine():
    running = Engine()
    running.load("pocket")
    yield running
    running.close()


def new_visitor(engine, clips, folder):
    loader = ModelLoader(engine)
    loader.ensure("pocket")
    return Visitor(StreamSettings(speed=4.0), loader, clips, hermes.POLICIES, downloads=folder / "files")


def play_and_ask(visitor):
    """Pause a clip after a few frames, and ask a question."""
    visitor.start(visitor.source({"kind": "clip", "id": "first-card"}))
    until(lambda: visitor.poll(None, -1)[0]["frames"] >= 8)
    visitor.transport("pause")
    stream = visitor.stream
    until(lambda: stream.view().state == "paused")
    with stream._lock:  # the step with the last frames is complete
        pass
    list(visitor.ask("What is shown now?"))


@pytest.fixture
def make(engine, bundled_clips, tmp_path):
    made = []

    def new():
        made.append(new_visitor(engine, bundled_clips, tmp_path))
        return made[-1]

    yield new
    for visitor in made:
        visitor.close()


@pytest.fixture
def paused(make):
    """A visitor whose clip is paused after a question."""
    visitor = make()
    play_and_ask(visitor)
    return visitor


@pytest.fixture(scope="module")
def files(engine, bundled_clips, tmp_path_factory):
    """The files of a saved stream with a question, by name."""
    folder = tmp_path_factory.mktemp("files")
    visitor = new_visitor(engine, bundled_clips, folder)
    play_and_ask(visitor)
    saved(folder / "saved", visitor)
    visitor.close()
    return {path.name: path.read_bytes() for path in (folder / "saved").iterdir()}


@pytest.fixture
def kept(files, tmp_path):
    """A folder with those files."""
    folder = tmp_path / "saved"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


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
    assert visitor.stream.thumbnails(range(seen)) == paused.stream.thumbnails(range(seen))
    assert sorted(visitor.stream.thumbnails(range(seen))) == list(range(seen))
    assert state["frame"]["jpeg"] == paused.poll(None, -1)[0]["frame"]["jpeg"]
    assert [turn.answer for turn in visitor.conversation.turns] == [answer]
    assert list(visitor.ask("What is shown now?"))[-1]["turns"][-1]["answer"] == answer
    visitor.transport("resume")
    until(lambda: visitor.poll(None, -1)[0]["frames"] > seen)


def test_a_saved_stream_takes_over_the_slot_of_the_visitors_own_stream(make, paused, tmp_path, monkeypatch):
    autosave = Autosave(tmp_path / "saved", 100)
    autosave.save_if_due(KEY, paused, lambda: {KEY: paused})
    engine = paused._loader.engine
    paused.stream.close()
    monkeypatch.setattr(engine._slots, "_most", 1)
    visitor = make()
    visitor.start(visitor.source({"kind": "clip", "id": "first-card"}))
    own = visitor.stream
    visitor.offer_saved(autosave.offer(KEY))
    damaged = visitor.saved.session.read_bytes()
    visitor.saved.session.write_bytes(damaged[:1000])
    with pytest.raises(HermesError):
        visitor.resume_saved()
    assert visitor.stream is own
    assert engine.is_live(own), "it keeps its slot"
    visitor.saved.session.write_bytes(damaged)
    visitor.resume_saved()
    assert visitor.stream is not own
    assert (engine.is_live(visitor.stream), engine.free_slots) == (True, 0)
    assert len(visitor.conversation.message()["turns"]) == 1


@pytest.mark.parametrize("leaves", [False, True])
def test_a_session_that_is_read_holds_up_neither_its_visitor_nor_a_slot(make, kept, monkeypatch, leaves):
    reading = Held(StreamSession.load)
    monkeypatch.setattr(StreamSession, "load", reading)
    visitor = make()
    visitor.start(visitor.source({"kind": "clip", "id": "first-card"}))
    own, engine = visitor.stream, visitor._loader.engine
    visitor.offer_saved(Autosave(kept, 2000).offer(KEY))
    with underway(reading, visitor.resume_saved):
        visitor.transport("pause")
        assert visitor.poll(None, -1)[0]["state"] == "paused"
        if leaves:
            visitor.close()
        else:
            visitor.transport("stop")
    assert visitor.stream is (None if leaves else own), "it was not wanted any more"
    assert engine.free_slots == 16
    assert visitor.saved is not None


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
        {"pictures": "tab-" + "b" * 40 + ".x.pictures"},
        {"pictures": None},
        {"pictures": KEY + ".missing.pictures"},
    ],
)
def test_a_hostile_file_is_not_offered_and_is_deleted(kept, change):
    autosave = Autosave(kept, 2000)
    assert autosave.offer(KEY) is not None
    (path,) = kept.glob("*.json")
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | change), "utf-8")
    assert autosave.offer(KEY) is None
    assert list(kept.iterdir()) == []


@pytest.mark.parametrize("text", ["", "[", "null", "[]", '{"format": NaN}', "[" * 100_000])
def test_a_damaged_file_is_not_offered(tmp_path, text):
    autosave = Autosave(tmp_path / "saved", 10)
    (tmp_path / "saved" / f"{KEY}.json").write_text(text)
    assert autosave.offer(KEY) is None


def test_a_damaged_session_is_refused_with_a_sentence(make, kept):
    autosave = Autosave(kept, 2000)
    (session,) = kept.glob("*.session")
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


def test_old_saved_streams_are_deleted_at_start(kept):
    old = time.time() - KEPT_HOURS * 3600 - 60
    for path in kept.iterdir():
        os.utime(path, (old, old))
    Autosave(kept, 10)
    assert list(kept.iterdir()) == []


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


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-1],
        lambda _: b"",
        lambda _: bytes(20_000_000),
        lambda _: save({"frames": np.zeros(3, np.int64)}),
        lambda data: save({**load(data), "lengths": -load(data)["lengths"]}),
        lambda data: save({**load(data), "lengths": load(data)["lengths"] + (1 << 62)}),
        lambda data: save({**load(data), "frames": load(data)["frames"].astype(np.float64)}),
    ],
)
def test_damaged_pictures_are_reported_and_the_memory_is_restored(make, kept, change):
    (pictures,) = kept.glob("*.pictures")
    pictures.write_bytes(change(pictures.read_bytes()))
    visitor = make()
    visitor.offer_saved(Autosave(kept, 2000).offer(KEY))
    visitor.resume_saved()
    state, _ = visitor.poll(None, -1)
    assert state["frames"] >= 8
    assert "pictures of the saved stream are damaged" in state["notice"]["text"]
    assert visitor.stream.thumbnails(range(state["frames"])) == {}


@contextlib.contextmanager
def largest_file(size):
    """Limit the size of files that this process writes; a write beyond it fails, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_reported_and_loses_nothing(make, paused, tmp_path, monkeypatch):
    monkeypatch.setattr("ui.visitors.autosave.EVERY_SECONDS", 0.0)
    folder = tmp_path / "saved"
    autosave = saved(folder, paused)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    list(paused.ask("What was shown first?"))
    sizes = [len(data) for data in before.values()]
    for size in (0, min(sizes) // 2, max(sizes) // 2):
        with largest_file(size):
            autosave.save_if_due(KEY, paused, lambda: {KEY: paused})
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
        notice = paused.poll(None, -1)[0]["notice"]["text"]
        assert "not saved for a restart" in notice
        assert str(folder) not in notice
    assert [turn["state"] for turn in paused.conversation.message()["turns"]] == ["done", "done"], "the stream goes on"
    assert autosave.offer(KEY).offer()["questions"] == 1, "what was saved before can still be resumed"
    autosave.save_if_due(KEY, paused, lambda: {KEY: paused})
    assert "is saved for a restart of the server again" in paused.poll(None, -1)[0]["notice"]["text"]
    visitor = make()
    visitor.offer_saved(autosave.offer(KEY))
    visitor.resume_saved()
    assert len(visitor.conversation.turns) == 2


def test_a_server_that_was_killed_while_it_saved_starts_again(kept):
    for name in (".0123456789abcdef.part.session", f"{KEY}.json.part", f"{KEY}.0123456789abcdef.pictures"):
        (kept / name).write_bytes(b"half a fi")
    autosave = Autosave(kept, 2000)
    assert autosave.offer(KEY) is not None
    assert not list(kept.glob(".*"))
    assert not list(kept.glob("*.part"))
    autosave.delete(KEY)
    assert list(kept.iterdir()) == []


def test_a_fault_of_one_visitor_does_not_keep_others_from_being_saved(paused, tmp_path):
    class Faulty:
        saved = None
        lost = False

        def saveable(self):
            raise MemoryError

    autosave, stop = Autosave(tmp_path / "saved", 2000), threading.Event()
    autosave.keep_saving(lambda: {"tab-" + "b" * 40: Faulty(), KEY: paused}, stop)
    until(lambda: autosave.offer(KEY))
    stop.set()


def test_the_stream_of_a_visitor_who_left_and_came_back_is_not_offered(make, paused, tmp_path):
    """The tab has the same key, but its visitor is another one."""
    autosave = Autosave(tmp_path / "saved", 2000)
    autosave.save_if_due(KEY, paused, lambda: {KEY: make()})
    assert autosave.offer(KEY) is None


def test_a_stream_without_room_for_its_pictures_is_saved_without_them(make, paused, tmp_path):
    autosave = saved(tmp_path / "saved", paused)
    sizes = {path.suffix: path.stat().st_size for path in (tmp_path / "saved").iterdir()}
    autosave._limit = sizes[".session"] + sizes[".json"] + sizes[".pictures"] // 2
    list(paused.ask("What was shown first?"))
    autosave.save_if_due(KEY, paused, lambda: {KEY: paused})
    visitor = make()
    visitor.offer_saved(autosave.offer(KEY))
    visitor.resume_saved()
    state, _ = visitor.poll(None, -1)
    assert state["notice"] is None
    assert visitor.stream.thumbnails(range(state["frames"])) == {}


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_visitor_who_leaves_while_the_stream_is_saved_leaves_no_file(paused, tmp_path, monkeypatch, caplog, moment):
    autosave, stream, visitors = Autosave(tmp_path / "saved", 2000), paused.stream, {KEY: paused}
    save = stream.save

    def leave():
        del visitors[KEY]
        autosave.delete(KEY)
        paused.close()

    def save_and_leave(path):
        if moment == "before":
            leave()
        pictures = save(path)
        if moment == "after":
            leave()
        return pictures

    monkeypatch.setattr(stream, "save", save_and_leave)
    autosave.save_if_due(KEY, paused, lambda: visitors)
    assert list((tmp_path / "saved").iterdir()) == []
    assert autosave.offer(KEY) is None
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
