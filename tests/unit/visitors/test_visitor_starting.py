"""A start that takes long does not hold up its visitor or others, and is dropped if the visitor decides otherwise."""

from __future__ import annotations

import pytest
import tiny
from held import Held, underway
from patience import until
from visitors import playing

from hermes import video
from hermes.errors import HermesError
from hermes.video import VideoError


@pytest.fixture
def held(monkeypatch, film):
    """Holds the opening of the upload `film`."""
    opening = Held(video.sample, lambda path, *_: path == film.path)
    monkeypatch.setattr(video, "sample", opening)
    return opening


def player(visitor):
    return visitor.poll(None, -1)[0]


def test_all_actions_are_served_while_a_file_is_opened(make_visitor, held, film):
    visitor = playing(make_visitor)
    with underway(held, lambda: visitor.start(film)):
        visitor.transport("pause")
        state = player(visitor)
        assert (state["state"], state["loading"]) == ("paused", {"text": "Opening the video …", "share": None})
        assert list(visitor.ask("What is shown?"))[-1]["turns"][-1]["state"] == "done"
        visitor.change(budget=48)
        visitor.transport("resume")
        until(lambda: player(visitor)["state"] == "playing")
        assert player(visitor)["source"]["kind"] == "clip"
    state = player(visitor)
    assert (state["source"]["kind"], visitor.stream.settings.budget) == ("upload", 48), "the change applies to it"
    until(lambda: player(visitor)["frames"])
    assert player(visitor)["loading"] is None


ANOTHER = {
    "choose": lambda visitor, clip: visitor.choose(clip),
    "start": lambda visitor, clip: visitor.start(clip),
    "restart": lambda visitor, _: visitor.restart(),
    "stop": lambda visitor, _: visitor.transport("stop"),
    "close": lambda visitor, _: visitor.close(),
}


@pytest.mark.parametrize("action", ANOTHER)
def test_a_start_is_dropped_if_the_visitor_decides_otherwise(make_visitor, held, film, action, engine):
    visitor = playing(make_visitor)
    clip = visitor.source({"kind": "clip", "id": "film"})
    with underway(held, lambda: visitor.start(film)):
        ANOTHER[action](visitor, clip)
    assert not any(sampler.open for sampler in held.results)
    state = player(visitor)
    assert (state["source"]["kind"], state["preview"]) == ("clip", None)
    if action == "close":
        assert visitor.stream is None
        assert engine._streams == []


@pytest.mark.parametrize("action", ["start", "close"])
def test_a_restart_does_not_hold_up_its_visitor(make_visitor, film, engine, action, held):
    held.go_on.set()
    visitor = make_visitor()
    visitor.start(film)
    held.go_on.clear()
    held.entered.clear()
    with underway(held, visitor.restart):
        visitor.transport("pause")
        assert player(visitor)["state"] == "paused"
        ANOTHER[action](visitor, visitor.source({"kind": "clip", "id": "film"}))
    assert not held.results[-1].open
    assert (visitor.stream is None) == (action == "close")
    if action == "start":
        assert player(visitor)["source"]["kind"] == "clip"
    else:
        assert engine._streams == []


def test_another_model_does_not_hold_up_the_visitor_while_it_opens_the_file(make_visitor, film, engine, held, tmp_path):
    other = str(tiny.llava_onevision(tmp_path, seed=1))
    engine.load(other)
    held.go_on.set()
    visitor = make_visitor()
    visitor.start(film)
    held.go_on.clear()
    held.entered.clear()
    stream = visitor.stream
    with underway(held, lambda: visitor.change(model=other)):
        visitor.change(budget=48)
        visitor.transport("pause")
        assert player(visitor)["state"] == "paused"
    assert (stream.settings.model, stream.settings.budget) == (other, 48)
    assert [sampler.open for sampler in held.results[1:]] == [False, True], (
        "the one with the earlier settings is closed"
    )
    visitor.close()
    assert not held.results[-1].open


def test_a_measurement_holds_up_only_the_start_that_needs_it(make_visitor, engine, monkeypatch):
    measuring = Held(engine.achievable_fps, lambda settings: settings.fps == 2.0)
    monkeypatch.setattr(engine, "achievable_fps", measuring)
    slow, other = make_visitor(), make_visitor(fps=4.0)
    clip = slow.source({"kind": "clip", "id": "film"})
    with underway(measuring, lambda: slow.start(clip)):
        other.start(clip)
        until(lambda: player(other)["frames"] >= 2)
        slow.close()
    assert slow.stream is None


def test_another_upload_is_previewed_while_one_is_opened(make_visitor, held, film, rolling_ball):
    visitor = make_visitor()
    other = type(film)("upload", str(rolling_ball), rolling_ball, "Another")
    with underway(held, lambda: visitor.choose(film)):
        visitor.choose(other)
        shown = player(visitor)["preview"]
        assert shown["seconds"] == pytest.approx(20, abs=0.5)
    assert player(visitor)["preview"] == shown, "the slower one does not replace it"
    assert not held.results[0].open
    visitor.close()


def test_an_upload_that_is_opened_while_its_visitor_leaves_is_closed(make_visitor, held, film):
    visitor = make_visitor()
    with underway(held, lambda: visitor.choose(film)):
        visitor.close()
    assert not held.results[0].open


def test_a_file_that_cannot_be_opened_ends_the_start(make_visitor, monkeypatch, film):
    visitor = playing(make_visitor)

    def broken(*_, **__):
        raise VideoError("The file is damaged.")

    monkeypatch.setattr(video, "sample", broken)
    with pytest.raises(HermesError, match="damaged"):
        visitor.start(film)
    state = player(visitor)
    assert (state["state"], state["source"]["kind"], state["loading"]) == ("playing", "clip", None)
