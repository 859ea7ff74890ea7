"""What the page reads from the folder of clips, and how it sends text."""

from __future__ import annotations

import json

import pytest

from ui.page.handlers import to_json
from ui.player.clips import read_clips


def test_clips_that_are_missing_are_left_out(tmp_path, rolling_ball):
    assert read_clips(tmp_path) == []
    (tmp_path / "index.json").write_text(json.dumps({"clips": [{"name": "gone"}, {"name": "film"}]}))
    (tmp_path / "film.webm").write_bytes(rolling_ball.read_bytes())
    (tmp_path / "film.json").write_text(json.dumps({"title": "Film", "questions": [{"text": "What?", "at": 3}]}))
    (clip,) = read_clips(tmp_path)
    assert clip.questions == (("What?", 3.0),)
    assert clip.seconds == pytest.approx(20, abs=0.2)
    assert clip.poster.startswith("data:image/jpeg;base64,")


def test_text_cannot_look_like_markup_on_its_way():
    assert "<" not in to_json({"text": "<script>alert(1)</script>"})
    assert json.loads(to_json({"text": "<b>"})) == {"text": "<b>"}
