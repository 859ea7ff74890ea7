"""The files of visitors: uploads and recordings, which belong to one visitor and are deleted with it."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import queue
import threading
import time
from pathlib import Path

import pytest
from patience import until
from visitors import playing

from hermes.assets import RUNS
from hermes.errors import HermesError
from hermes.trace.archive import TraceWriteError
from ui.page.handlers import Handlers
from ui.runs.reading import MAX_READ, RunReader
from ui.runs.stream_recorder import StreamRecording
from ui.visitors.registry import Quota, Sessions


def sessions(make_visitor, root, **quota):
    return Sessions(make_visitor, Quota(**quota), root)


def uploaded(root, name, data=b"x"):
    """A file as Gradio stores it: in a folder named by the hash of its content."""
    folder = root / hashlib.sha256(data).hexdigest()
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(data)
    return str(folder / name)


def test_visitors_are_apart_counted_and_freed(make_visitor, tmp_path):
    registry = sessions(make_visitor, tmp_path, visitors=2, idle_seconds=60)
    one, two = registry.get("a"), registry.get("b")
    assert one is not two
    assert registry.get("a") is one
    with pytest.raises(HermesError, match="places are taken"):
        registry.get("c")
    with pytest.raises(HermesError):
        registry.get(None)
    one.start(one.source({"kind": "clip", "id": "film"}))
    registry.close("a")
    assert one.stream is None
    registry.close("a")
    assert len(registry) == 1
    assert registry.sweep(time.monotonic() + 30) == 0
    assert registry.sweep(time.monotonic() + 61) == 1
    assert len(registry) == 0


def test_uploads_stay_inside_are_limited_and_deleted(make_visitor, tmp_path):
    registry = sessions(make_visitor, tmp_path, uploads=2)
    registry.get("a")
    paths = [registry.receive_upload("a", uploaded(tmp_path, f"{i}.mp4", b"%d" % i)) for i in range(3)]
    for path in paths[1:]:
        registry.take_upload("a", path, "clip.mp4")
    assert registry.get("a").uploads == dict.fromkeys(paths[1:], "clip.mp4")
    assert not Path(paths[0]).exists(), "the oldest makes room"
    for outside in ("/etc/passwd", str(tmp_path / ".." / "x.mp4"), str(tmp_path), paths[0]):
        with pytest.raises(HermesError, match="not uploaded here"):
            registry.take_upload("a", outside, "x")
    registry.close("a")
    assert not any(Path(path).exists() for path in paths)


def test_equal_uploads_of_two_visitors_are_independent(make_visitor, tmp_path):
    registry = sessions(make_visitor, tmp_path)
    taken = {}
    for key in ("a", "b"):
        registry.get(key)
        taken[key] = registry.receive_upload(key, uploaded(tmp_path, "clip.mp4"))
    assert taken["a"] != taken["b"]
    with pytest.raises(HermesError, match="not uploaded here"):
        registry.take_upload("b", taken["a"], "clip.mp4")
    registry.close("a")
    assert not Path(taken["a"]).exists()
    assert Path(taken["b"]).read_bytes() == b"x"
    registry.take_upload("b", taken["b"], "clip.mp4")
    registry.close("b")
    assert not Path(taken["b"]).exists()


def test_files_without_an_owner_are_not_accepted(make_visitor, tmp_path):
    registry = sessions(make_visitor, tmp_path)
    with pytest.raises(HermesError, match="from the page"):
        registry.receive_upload("unknown", uploaded(tmp_path, "clip.mp4"))
    registry.get("a")
    outside = tmp_path.parent / "outside.mp4"
    outside.write_bytes(b"x")
    with pytest.raises(HermesError, match="from the page"):
        registry.receive_upload("a", str(outside))
    assert outside.exists()


def test_a_recording_that_is_saved_while_its_visitor_leaves_is_deleted(make_visitor, monkeypatch):
    visitor = playing(make_visitor)
    visitor.record()
    until(lambda: visitor.poll(None, -1)[0]["recording"]["moments"])
    finish = StreamRecording.finish

    def leave_first(recording, *given):
        visitor.close()
        return finish(recording, *given)

    monkeypatch.setattr(StreamRecording, "finish", leave_first)
    visitor.stop_recording()
    assert not visitor.files.path.exists()
    with pytest.raises(HermesError):
        visitor.record()


def test_a_recording_that_cannot_be_written_stays(make_visitor, monkeypatch):
    visitor = playing(make_visitor)
    visitor.record()
    until(lambda: visitor.poll(None, -1)[0]["recording"]["moments"])
    visitor.files.path.parent.mkdir(parents=True, exist_ok=True)
    visitor.files.path.write_text("in the way")  # no folder can be created
    for _ in range(2):
        with pytest.raises(HermesError, match="could not be saved: ") as error:
            visitor.stop_recording()
        assert str(visitor.files.path) not in str(error.value)
        assert visitor.poll(None, -1)[0]["recording"]["ended"] == "its file could not be written"
    visitor.files.path.unlink()

    def full(*_):
        raise TraceWriteError(f"Cannot write {visitor.files.path}.") from OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr("hermes.trace.recorder.write", full)
        with pytest.raises(HermesError, match=r"^The recording could not be saved: No space left on device\.$"):
            visitor.stop_recording()
    assert list(visitor.files.path.iterdir()) == []
    visitor.stop_recording()
    state = visitor.poll(None, -1)[0]
    assert (state["recording"], state["recorded"]["bytes"] > 0) == (None, True)


def test_recordings_are_read_one_at_a_time_for_each_visitor(tmp_path, monkeypatch):
    reader, begun, ready = RunReader(), queue.SimpleQueue(), threading.Event()

    def read(path):
        begun.put(path)
        ready.wait(60)

    monkeypatch.setattr("hermes.trace.read", read)
    threads = [threading.Thread(target=reader.read, args=(key, tmp_path)) for key in "abc"]
    for thread in threads:
        thread.start()
    for _ in range(MAX_READ):
        begun.get(timeout=60)
    until(lambda: len(reader._readers) == 3)
    assert begun.empty()  # the third visitor waits
    with pytest.raises(HermesError, match="being opened already"):
        reader.read_lab("a", tmp_path)
    ready.set()
    for thread in threads:
        thread.join()
    reader.read("a", tmp_path)


def test_one_recording_at_a_time(make_visitor):
    visitor = playing(make_visitor, speed=1.0)
    together, begun = threading.Barrier(8), []

    def record():
        together.wait()
        with contextlib.suppress(HermesError):
            visitor.record()
            begun.append(visitor._recordings._current)

    threads = [threading.Thread(target=record) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(begun) == 1
    until(lambda: visitor.poll(None, -1)[0]["recording"]["moments"])
    visitor.stop_recording()


def test_handlers_tell_troubles_instead_of_raising(make_visitor, tmp_path):
    handlers = Handlers(sessions(make_visitor, tmp_path, visitors=1))
    handlers.act({"action": "start", "kind": "upload", "path": "/etc/passwd"}, "a")
    state = handlers.poll({"seq": None, "frame": -1}, "a")[0]
    assert state["notice"]["kind"] == "error"
    handlers.act({"action": "format the disk"}, "a")
    handlers.act({"action": "speed", "speed": 1e9}, "a")
    assert handlers.sessions.get("a").settings.speed == 4.0
    refused = handlers.poll({}, "b")[0]
    assert "places are taken" in refused["notice"]["text"]
    handlers.act({"action": "start"}, "b")
    answers = [json.loads(value) for value in handlers.ask({"question": "<script>x</script>"}, "a")]
    assert answers[-1]["turns"][-1]["question"] == "<script>x</script>"


def test_open_recordings_share_one_budget(make_visitor, tmp_path, monkeypatch):
    handlers = Handlers(sessions(make_visitor, tmp_path))
    visitor = handlers.sessions.get("a")
    paths = {}
    for name in ("first-card-hermes", "first-card-side-by-side", "first-card-window"):
        stored = uploaded(tmp_path, f"{name}.hermesrun", (RUNS / f"{name}.hermesrun").read_bytes())
        paths[name] = handlers.sessions.receive_upload("a", stored)

    def start(name):
        handlers.act({"action": "start", "kind": "upload", "path": paths[name]}, "a")

    start("first-card-side-by-side")
    start("first-card-hermes")
    run, comparison = visitor.replay.run, visitor.lab.recorded_run
    assert run.title
    assert min(run.memory_bytes, comparison.memory_bytes) > 1_000_000
    monkeypatch.setattr("ui.runs.reading.MAX_BYTES", run.memory_bytes + comparison.memory_bytes - 1)
    start("first-card-side-by-side")
    assert "which is open in the stream view, together need more than" in visitor.poll(None, -1)[0]["notice"]["text"]
    start("first-card-hermes")
    assert "which is open under Compare, together need more than" in visitor.poll(None, -1)[0]["notice"]["text"]
    assert (visitor.replay.run, visitor.lab.recorded_run) == (run, comparison), "what was open stays"
    visitor.lab.do({"action": "end"})
    start("first-card-window")
    assert visitor.replay.run is not run, "a run replaces the one before"
