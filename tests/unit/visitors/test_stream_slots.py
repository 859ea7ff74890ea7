"""The live slot of a stream: never lost, and no action of one visitor holds up the worker, the queue or an answer."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import tiny
from held import Held, underway
from patience import PATIENCE, until

from hermes import video
from hermes.errors import HermesError
from hermes.serving import slots
from hermes.serving.engine import Engine, StreamSettings

FRAME = np.full((48, 64, 3), 90, np.uint8)


@pytest.fixture(scope="module")
def other_folder(tmp_path_factory):
    return str(tiny.llava_onevision(tmp_path_factory.mktemp("other"), seed=1))


@pytest.fixture
def one(tiny_folder):
    """An engine with one live slot."""
    running = Engine(max_streams=1)
    running.load(str(tiny_folder))
    yield running
    running.close()


@pytest.fixture
def settings(tiny_folder):
    return StreamSettings(model=str(tiny_folder), budget=64, speed=float("inf"), gather=0.0)


def test_another_model_restarts_a_webcam_and_an_ended_one_needs_no_slot(one, settings, other_folder):
    one.load(other_folder)
    stream = one.open(settings)
    stream.camera()
    stream.offer(FRAME)
    until(lambda: stream.view().frame_index == 0)
    stream.change(StreamSettings(**{**vars(settings), "model": other_folder}))
    assert (stream.view().state, one.is_live(stream)) == ("playing", True)
    stream.offer(FRAME)
    until(lambda: stream.view().frame_index == 0)
    stream.stop()
    assert one.free_slots == 1
    stream.change(settings)
    assert (stream.view().state, one.free_slots) == ("empty", 1)


def test_another_model_is_refused_if_the_file_was_deleted(one, settings, other_folder, film):
    one.load(other_folder)
    stream = one.open(settings)
    stream.play(film.path)
    until(lambda: stream.view().state == "ended")
    film.path.unlink()
    with pytest.raises(HermesError):
        stream.change(StreamSettings(**{**vars(settings), "model": other_folder}))
    assert (stream.view().state, stream.settings.model, one.free_slots) == ("ended", settings.model, 1)
    assert "".join(stream.ask("What is shown?")), "its memory stays"


def test_a_stream_that_is_closed_while_it_takes_a_slot_gives_it_back(one, settings, monkeypatch):
    stream = one.open(settings)
    taking = Held(one.enter)
    monkeypatch.setattr(one, "enter", taking)
    closing = threading.Thread(target=stream.close)
    with underway(taking, stream.camera):
        closing.start()
        until(lambda: stream not in one._streams)
    closing.join(PATIENCE)
    assert (one._streams, one.free_slots) == ([], 1)


def test_the_worker_does_not_wait_to_free_a_finished_memory(one, settings, film, monkeypatch):
    first, second = one.open(settings), None
    first.play(film.path)
    until(lambda: first.view().state == "ended")
    monkeypatch.setattr(slots, "FINISHED_BYTES", 0)
    with first._lock:  # as while its session is saved
        second = one.open(settings)
        second.play(film.path)
        until(lambda: second.view().state == "ended")
        assert not first.freed
    until(lambda: first.freed)


def test_the_queue_does_not_wait_for_a_busy_stream(one, settings):
    stream = one.open(settings)
    stream.camera()
    stream.pause()
    with stream._lock:
        asking = threading.Thread(target=stream.yield_slot)
        asking.start()
        asking.join(PATIENCE)
        assert not asking.is_alive()
        assert one.is_live(stream)
    stream.yield_slot()
    assert not one.is_live(stream)


def test_a_restart_opens_the_file_without_the_lock(one, settings, film, monkeypatch):
    stream = one.open(settings)
    stream.play(film.path)
    opening = Held(video.sample)
    monkeypatch.setattr(video, "sample", opening)
    with underway(opening, stream.restart):
        stream.pause()
        stream.stop()
        assert stream.view().state == "ended"
    assert stream.view().state in ("playing", "ended")


def test_an_answer_ends_although_its_stream_is_expelled_when_it_begins(one, settings, monkeypatch):
    stream = one.open(settings)
    stream.camera()
    stream.offer(FRAME)
    until(lambda: stream.view().frame_index == 0)
    begin = stream._answers.begin

    def expelled_first(start):
        one._expel(stream, MemoryError())
        return begin(start)

    monkeypatch.setattr(stream._answers, "begin", expelled_first)
    pieces, ended = stream.ask("What is shown?"), threading.Event()
    threading.Thread(target=lambda: (list(pieces), ended.set()), daemon=True).start()
    assert ended.wait(PATIENCE)
