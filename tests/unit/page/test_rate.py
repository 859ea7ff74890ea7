"""The frame rate that the page sets before a stream starts, from a short measurement of the model."""

from __future__ import annotations

import pytest
import tiny
from patience import until

import hermes
from hermes.serving import rate
from hermes.serving.engine import Engine, StreamSettings
from hermes.video import VideoError
from hermes.video.decoder_process import fork_server
from ui.player.source import Source
from ui.settings.model_loader import ModelLoader
from ui.settings.rate import FRAME_RATES, lower_rate
from ui.visitors.visitor import Visitor


@pytest.fixture
def engine(tiny_folder):
    running = Engine()
    running.load(str(tiny_folder))
    yield running
    running.close()


def set_rate(engine, settings, frames_per_second):
    """Give the engine the result of a measurement, as on a machine of this speed."""
    engine.achievable_fps(settings)
    engine._rates = dict.fromkeys(engine._rates, frames_per_second)


def test_a_measurement_opens_no_file_and_is_kept(engine, tiny_folder):
    settings = StreamSettings(model=str(tiny_folder), budget=64)
    opened = fork_server().requests
    measured = engine.achievable_fps(settings)
    assert measured > 0
    assert engine.achievable_fps(settings) == measured, "the result is kept for the model and its frame size"
    assert len(engine._rates) == 1
    assert fork_server().requests == opened
    assert not engine._streams, "the measurement frees its place"
    with engine._measuring:  # as while another model is measured
        assert engine.achievable_fps(settings) == measured


def test_sizes_that_the_model_resizes_alike_are_measured_once(tmp_path):
    engine, folder = Engine(), str(tiny.qwen2_5_vl(tmp_path))
    try:
        engine.load(folder)
        for side in (32, 64, 32):
            assert engine.achievable_fps(StreamSettings(model=folder, budget=64, max_side=side)) > 0
        assert len(engine._rates) == 1
    finally:
        engine.close()


def test_a_measurement_runs_between_the_steps_of_other_streams(engine, tiny_folder, film):
    settings = StreamSettings(model=str(tiny_folder), budget=64)
    stream = engine.open(settings)
    stream.play(film.path)
    until(lambda: stream.view().frame_index >= 0)
    assert engine.achievable_fps(settings) > 0
    before = stream.view().frame_index
    until(lambda: stream.view().frame_index > before or stream.view().state == "ended")


def test_settings_that_do_not_fit_are_left_to_the_stream(engine, tiny_folder):
    settings = StreamSettings(model=str(tiny_folder), budget=10**7)
    assert engine.achievable_fps(settings) is None
    full = Engine(max_streams=1)
    try:
        full.load(str(tiny_folder))
        fitting = StreamSettings(model=str(tiny_folder), budget=64)
        full.open(fitting)
        assert full.achievable_fps(fitting) > 0, "a measurement needs no live slot"
    finally:
        full.close()


def test_the_rate_is_the_largest_offered_one():
    for measured, expected in (
        (None, None),
        (1000.0, None),
        (2.0, None),
        (1.9, 1.0),
        (0.3, 0.25),
        (0.01, FRAME_RATES[0]),
    ):
        assert lower_rate(measured, 2.0) == expected


@pytest.fixture
def visitor(engine, tiny_folder):
    made = Visitor(StreamSettings(model=str(tiny_folder), budget=64), ModelLoader(engine), {}, hermes.POLICIES)
    yield made
    made.close()


def notice(visitor):
    return (visitor.poll(None, -1)[0]["notice"] or {}).get("text", "")


def test_a_slow_machine_samples_fewer_frames_and_says_so(visitor, engine, film):
    set_rate(engine, visitor.settings, 0.6)
    visitor.start(film)
    assert visitor.settings.fps == 0.5
    assert visitor.stream.settings.fps == 0.5
    state = visitor.poll(None, -1)[0]
    assert "processes about 0.6 frames per second with this model, so 0.5 frames per second are sampled" in notice(
        visitor
    )
    assert state["controls"] == 1, "the page shows the new setting"
    set_rate(engine, visitor.settings, 100.0)
    visitor.start(film)
    assert visitor.settings.fps == visitor.stream.settings.fps == 2.0, "a faster model gets the usual rate again"


def test_a_rate_that_the_visitor_chose_is_kept(visitor, engine, film):
    set_rate(engine, visitor.settings, 0.6)
    visitor.change(fps=4.0)
    visitor.start(film)
    assert visitor.settings.fps == 4.0
    assert "a stream of 4 frames per second falls behind" in notice(visitor)


def test_a_fast_machine_keeps_the_rate_without_a_message(visitor, engine, film):
    set_rate(engine, visitor.settings, 50.0)
    visitor.start(film)
    assert visitor.settings.fps == 2.0
    assert notice(visitor) == ""


def test_a_file_that_is_not_a_video_is_reported(visitor, tmp_path):
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    with pytest.raises(VideoError):
        visitor.start(Source("upload", str(text), text, "text.mp4"))
    assert visitor.stream is None


def test_the_measured_rate_is_that_of_the_model(tiny_model):
    settings = StreamSettings(budget=64)
    measured = rate.measure_rate(tiny_model, settings, (48, 64))
    assert 0 < measured < 1e6
