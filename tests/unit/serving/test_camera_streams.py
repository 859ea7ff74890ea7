"""Camera streams: which frames the engine takes, and how long it gathers them for a chunk."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from patience import until
from tiny_streams import SETTINGS, engine_of, picture, pushed

from hermes.serving.source import FrameSource


@pytest.fixture
def engine(tiny_model):
    with engine_of({"tiny": tiny_model}) as engine:
        engine.load("tiny")
        yield engine


def test_the_newest_camera_frame_wins(engine):
    stream = engine.open(SETTINGS)
    stream.camera()
    with stream._lock:  # the worker is kept busy
        for i in range(10):
            stream.offer(np.full((20, 30, 3), i * 20, np.uint8), float(i))
    until(lambda: stream.view().snapshot.frames_seen == 1)
    view = stream.view()
    assert view.dropped == 9
    assert view.clock == 9.0


def test_a_camera_may_change_its_size(engine):
    stream = engine.open(SETTINGS)
    stream.camera()
    for i, size in enumerate([(20, 30), (48, 64), (17, 9)]):
        stream.offer(np.zeros((*size, 3), np.uint8), float(i))
        until(lambda n=i: stream.view().snapshot.frames_seen == n + 1)
    assert stream.view().error is None


def test_camera_frames_are_encoded_together(engine):
    stream = engine.open(replace(SETTINGS, chunk=4, gather=60.0))
    stream.camera()
    stream.offer(picture(0), 0.0)
    until(lambda: pushed(stream) == [1])  # the speed of the model is not known yet
    for i in range(1, 5):
        stream.offer(picture(i), float(i))
    until(lambda: pushed(stream) == [1, 4])  # a full chunk does not wait
    for i in range(5, 7):
        stream.offer(picture(i), float(i))
    assert not stream.work()
    "".join(stream.ask("What was shown?"))
    assert pushed(stream) == [1, 4, 2], "a question takes the waiting frames first"
    assert stream.view().snapshot.answer.frames_seen == 7
    stream.offer(picture(7), 7.0)
    stream.pause()
    assert not stream.work(), "a paused camera reads no frames"
    stream.resume()
    stream.offer(picture(8), 8.0)
    stream.stop()
    until(lambda: pushed(stream) == [1, 4, 2, 2])
    until(lambda: stream.view().snapshot.frames_seen == 9)
    view = stream.view()
    assert (view.state, view.dropped, view.error) == ("ended", 0, None)


def test_a_camera_waits_no_longer_than_allowed(engine):
    stream = engine.open(replace(SETTINGS, chunk=4, gather=0.2))
    stream.camera()
    for i in range(3):
        stream.offer(picture(i), float(i))
        until(lambda n=i: stream.view().snapshot.frames_seen == n + 1)


def test_a_slow_model_gathers_only_what_it_encodes_in_time():
    source = FrameSource(lambda: None, 16, 2.0)
    source.use_camera()
    for speed, held in ((0.0, 1), (0.4, 1), (1.6, 3), (100.0, 16)):
        source.speed = speed
        source.take(99, now=True)
        before = source.dropped
        for i in range(20):
            source.offer(picture(i), float(i))
        assert source.dropped - before == 20 - held
        assert [seconds for _, seconds in source.take(99)] == [float(i) for i in range(20 - held, 20)]
