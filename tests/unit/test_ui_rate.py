"""The frame rate that the page sets before a stream starts, from a short measurement of the model."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
from patience import until
from videos import write_video

import hermes
from hermes.serving import rate
from hermes.serving.engine import Engine, StreamSettings
from hermes.video import VideoError
from ui.player.source import Source
from ui.settings.model_loader import ModelLoader
from ui.settings.rate import CAMERA_SIZE, FRAME_RATES, achievable_rate, first_frames
from ui.visitors.visitor import Visitor


@pytest.fixture
def engine(tiny_folder):
    running = Engine()
    running.load(str(tiny_folder))
    yield running
    running.close()


@pytest.fixture
def film(tmp_path):
    path = write_video(tmp_path / "film.avi", frames=60, fps=10)
    return Source("upload", str(path), path, "A film")


def set_rate(engine, settings, frames_per_second):
    """Give the engine the result of a measurement, as on a machine of this speed."""
    engine.achievable_fps(settings, lambda: first_frames(None))
    engine._rates = dict.fromkeys(engine._rates, frames_per_second)


def test_a_measurement_uses_frames_of_the_source_once(engine, tiny_folder, film):
    settings, read = StreamSettings(model=str(tiny_folder), budget=64), []

    def frames():
        read.append(first_frames(film.path))
        return read[-1]

    measured = engine.achievable_fps(settings, frames)
    assert measured > 0
    assert read[0].shape[1:] == (48, 64, 3)
    assert engine.achievable_fps(settings, frames) == measured
    assert len(read) == 1, "the result is kept for the model and its frame size"
    assert not engine._streams, "the measurement frees its place"


def test_models_whose_frames_keep_their_aspect_ratio_are_measured_for_each_size(tmp_path):
    engine, folder = Engine(), str(tiny.qwen2_5_vl(tmp_path))
    try:
        engine.load(folder)
        settings = StreamSettings(model=folder, budget=64)
        for size in ((24, 32), (32, 24), (24, 32)):
            frames = np.zeros((4, *size, 3), np.uint8)
            assert engine.achievable_fps(settings, lambda frames=frames: frames) > 0
        assert len(engine._rates) == 2
    finally:
        engine.close()


def test_a_measurement_runs_between_the_steps_of_other_streams(engine, tiny_folder, film):
    settings = StreamSettings(model=str(tiny_folder), budget=64)
    stream = engine.open(settings)
    stream.play(film.path)
    until(lambda: stream.view().frame_index >= 0)
    assert engine.achievable_fps(settings, lambda: first_frames(film.path)) > 0
    before = stream.view().frame_index
    until(lambda: stream.view().frame_index > before or stream.view().state == "ended")


def test_settings_that_do_not_fit_are_left_to_the_stream(engine, tiny_folder):
    settings = StreamSettings(model=str(tiny_folder), budget=10**7)
    assert engine.achievable_fps(settings, lambda: first_frames(None)) is None
    full = Engine(max_streams=1)
    try:
        full.load(str(tiny_folder))
        fitting = StreamSettings(model=str(tiny_folder), budget=64)
        full.open(fitting)
        assert full.achievable_fps(fitting, lambda: first_frames(None)) is None
    finally:
        full.close()


def test_the_rate_is_the_largest_offered_one(engine, tiny_folder):
    settings = StreamSettings(model=str(tiny_folder), budget=64)
    for measured, expected in ((1000.0, None), (2.0, None), (1.9, 1.0), (0.3, 0.25), (0.01, FRAME_RATES[0])):
        set_rate(engine, settings, measured)
        assert achievable_rate(engine, settings, None) == (None if expected is None else (measured, expected))


def test_a_camera_is_measured_before_it_has_frames():
    frames = first_frames(None)
    assert frames.shape == (4, *CAMERA_SIZE, 3)
    assert frames.dtype == np.uint8


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
    assert state["returned"] == 1, "the page shows the new setting"
    set_rate(engine, visitor.settings, 100.0)
    visitor.start(film)
    assert visitor.settings.fps == visitor.stream.settings.fps == 2.0, "a faster model gets the usual rate again"


def test_a_rate_that_the_visitor_chose_is_kept(visitor, engine, film):
    set_rate(engine, visitor.settings, 0.6)
    visitor.change(fps=4.0)
    visitor.start(film)
    assert visitor.settings.fps == 4.0
    assert "a stream of 4 frames per second falls behind" in notice(visitor)


def test_a_fast_machine_is_told_nothing(visitor, engine, film):
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
    frames = np.zeros((4, 48, 64, 3), np.uint8)
    measured = rate.measure_rate(tiny_model, settings, frames)
    assert 0 < measured < 1e6
