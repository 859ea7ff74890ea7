"""A visitor plays clips and camera frames on the real engine with a tiny model, without browser and Gradio."""

from __future__ import annotations

import base64
import io
import json

import cv2
import numpy as np
import pytest
from patience import until
from PIL import Image
from visitors import playing

import hermes
from hermes.errors import HermesError
from hermes.serving.engine import Engine, StreamSettings
from hermes.trace import TraceError
from hermes.trace.pictures import smaller
from hermes.trace.run import check_pictures
from ui.page.handlers import to_json
from ui.player.camera_picture import read_picture, small_enough
from ui.player.clips import Clip
from ui.player.source import Source
from ui.settings.model_loader import ModelLoader
from ui.visitors.visitor import Visitor


def test_a_stream_that_cannot_start_frees_its_place(tiny_folder, rolling_ball, tmp_path):
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(rolling_ball.read_bytes()[:100])
    engine = Engine(max_streams=1)
    loader = ModelLoader(engine)
    clips = {"film": Clip("film", rolling_ball, "A film", "", 20.0, (), "")}
    visitor = Visitor(StreamSettings(model=str(tiny_folder), budget=64), loader, clips, hermes.POLICIES)
    try:
        for path in (damaged, tmp_path / "missing.mp4"):
            with pytest.raises(HermesError):
                visitor.start(Source("upload", str(path), path, "damaged"))
            assert visitor.stream is None
        visitor.start(visitor.source({"kind": "clip", "id": "film"}))
        assert visitor.stream is not None
    finally:
        visitor.close()
        engine.close()


def test_before_anything_was_started(make_visitor):
    visitor = make_visitor()
    state, board = visitor.poll(None, -1)
    assert board is None
    assert state["state"] == "empty"
    assert state["clock"] is None
    assert state["about"]["policy"]["badge"] == "original method, no training"
    last = list(visitor.ask("What is shown?"))[-1]["turns"][-1]
    assert last["state"] == "error"
    assert "Press Start" in last["answer"]


def test_a_clip_plays_and_the_board_follows(make_visitor):
    visitor = playing(make_visitor)
    state, board = visitor.poll(None, -1)
    assert state["source"] == {"kind": "clip", "id": "film", "title": "A film"}
    assert state["duration"] == pytest.approx(20, abs=0.5)
    assert state["about"]["model"]["parameters"] > 0
    assert state["chips"] == [{"text": "What is shown?", "at": 2.0}]
    assert base64.b64decode(state["frame"]["jpeg"]).startswith(b"\xff\xd8")
    assert board["base"] is None
    assert board["meta"]["layers"] == 10
    assert max(board["held"]) <= 64
    json.loads(to_json(board))


def test_a_picture_is_sent_once(make_visitor):
    visitor = playing(make_visitor)
    visitor.transport("pause")

    def is_sent_once():
        frame = visitor.poll(None, -1)[0]["frame"]
        return "frame" not in visitor.poll(None, frame["index"])[0]

    until(is_sent_once)  # a step that was under way may bring a newer one


def test_a_bad_source_leaves_the_stream_as_it_was(make_visitor, tmp_path):
    visitor = playing(make_visitor)
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    with pytest.raises(HermesError):
        visitor.start(Source("upload", str(text), text, "text.mp4"))
    with pytest.raises(HermesError):
        visitor.source({"kind": "clip", "id": "../../etc/passwd"})
    with pytest.raises(HermesError):
        visitor.source({"kind": "upload", "path": "/etc/passwd"})
    assert visitor.poll(None, -1)[0]["state"] == "playing"


def test_restart_empties_the_board(make_visitor):
    visitor = playing(make_visitor, least=8)
    seq = visitor.poll(None, -1)[1]["seq"]
    visitor.restart()
    assert visitor.poll(None, -1)[0]["restarted"]
    until(lambda: visitor.poll(None, -1)[1] is not None)
    board = visitor.poll(seq, -1)[1]
    assert board is None or board["base"] is None or board["seq"] != seq + 1


def test_camera_pictures_are_checked(make_visitor):
    visitor = make_visitor()
    visitor.start(visitor.source({"kind": "camera"}))
    good = base64.b64encode(cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))[1].tobytes()).decode()
    for number, jpeg in enumerate(["", "%%%", "AAAA", "A" * 2_000_000, good], 1):
        visitor.camera_frame(jpeg, number)
    until(lambda: visitor.poll(None, -1)[0]["frames"] == 1)
    assert visitor.poll(None, -1)[0]["received"] == 5


def test_a_small_file_that_unfolds_into_a_huge_picture_is_not_decoded(make_visitor):
    """A few kilobytes can claim gigabytes of pixels; the header is read before anything is decoded."""
    visitor = make_visitor()
    visitor.start(visitor.source({"kind": "camera"}))
    done, data = cv2.imencode(".jpg", np.zeros((4000, 4000), np.uint8))
    assert done
    visitor.camera_frame(base64.b64encode(data.tobytes()).decode(), 1)
    done, good = cv2.imencode(".jpg", np.zeros((40, 40, 3), np.uint8))
    assert done
    visitor.camera_frame(base64.b64encode(good.tobytes()).decode(), 2)
    until(lambda: visitor.stream.view().snapshot.frames_seen)
    view = visitor.stream.view()
    assert (view.snapshot.frames_seen, view.dropped) == (1, 0)  # the large picture never arrived
    assert not small_enough(data.tobytes())
    assert not small_enough(b"no picture")


def progressive(more_scans: int = 0) -> bytes:
    """A progressive JPEG of 64 x 48 pixels whose last scan is repeated: each takes a pass over all pixels."""
    file = io.BytesIO()
    Image.fromarray(np.full((48, 64, 3), 90, np.uint8)).save(file, "JPEG", progressive=True)
    data = file.getvalue()
    return data[:-2] + data[data.rindex(b"\xff\xda") : -2] * more_scans + data[-2:]


def test_pictures_with_thousands_of_scans_or_of_other_formats_are_not_decoded():
    """20 KB of scans take as long to decode as hours of video; a JPEG 2000 file can state two sizes."""
    assert read_picture(base64.b64encode(progressive()).decode()).shape == (48, 64, 3)
    assert smaller(progressive(), 32, 75)
    check_pictures({0: progressive()})
    bomb = progressive(1000)
    assert read_picture(base64.b64encode(bomb).decode()) is None
    assert smaller(bomb, 32, 75) == b""
    with pytest.raises(TraceError, match="more scans than a recorder produces"):
        check_pictures({0: bomb})
    for kind in (".png", ".webp", ".bmp", ".tiff", ".gif"):
        done, data = cv2.imencode(kind, np.zeros((48, 64, 3), np.uint8))
        assert done
        assert read_picture(base64.b64encode(data.tobytes()).decode()) is None


def test_a_stream_that_starts_after_its_tab_closed_is_not_opened(make_visitor):
    visitor = make_visitor()
    visitor.close()
    visitor.start(visitor.source({"kind": "clip", "id": "film"}))
    assert visitor.stream is None


def test_a_fault_in_the_board_is_reported_and_the_next_update_recovers(make_visitor, monkeypatch):
    visitor = playing(make_visitor)
    feed = visitor._view._reader._reader._board
    message = feed.message

    def fault(*_):
        raise RuntimeError("a fault")

    monkeypatch.setattr(feed, "message", fault)
    state, board = visitor.poll(None, -1)
    assert board is None
    assert state["frames"] >= 4
    assert "The board cannot be updated" in state["notice"]["text"]
    monkeypatch.setattr(feed, "message", message)
    assert visitor.poll(None, -1)[1]["base"] is None
