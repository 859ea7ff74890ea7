"""Two small models whose streams are made to fail, and another stream that must continue: helpers and fixtures."""

from __future__ import annotations

import json
import queue
import threading
from dataclasses import replace

import numpy as np
import pytest
import tiny
from patience import PATIENCE, until

import hermes
from hermes.errors import HermesError
from hermes.serving.engine import Engine, StreamSettings

SETTINGS = StreamSettings(model="healthy", budget=12, chunk=4)
FRAME = np.zeros((24, 32, 3), np.uint8)
QUESTION = "What is shown now?"
ERRORS = {
    "fault": RuntimeError("shapes do not fit"),
    "memory": MemoryError(),
    "refusal": HermesError("The disk is full."),
    "exit": SystemExit(3),
    "closed generator": GeneratorExit(),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two small models: the faults are in what surrounds a model."""
    folder = tiny.llava_onevision(tmp_path_factory.mktemp("faults"), layers=4)
    card = folder / "hermes.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"max_new_tokens": 6}))
    return {name: hermes.load(folder, device="cpu") for name in ("healthy", "victim")}


@pytest.fixture(scope="module")
def engine(models):
    running = Engine(max_streams=4, loader=lambda name, progress: models[name])  # noqa: ARG005 - as the engine calls it
    for name in models:
        running.load(name)
    yield running
    running.close()


@pytest.fixture
def victim(engine):
    stream = engine.open(replace(SETTINGS, model="victim"))
    stream.camera()
    for i in range(4):
        see(stream, float(i))
    yield stream
    stream.close()


@pytest.fixture
def bystander(engine):
    stream = engine.open(SETTINGS)
    stream.camera()
    see(stream, 0.0)
    yield stream
    stream.close()


def see(stream, seconds):
    """Offer a frame and wait until the model has read it."""
    before = stream.view().snapshot.frames_seen
    stream.offer(FRAME, seconds)
    until(lambda: stream.view().snapshot.frames_seen == before + 1)


def outcome_of(stream, question=QUESTION):
    """The answer, or the error in its place; fails if the answer does not end."""
    ends: queue.Queue = queue.Queue()

    def consume():
        try:
            ends.put("".join(stream.ask(question)))
        except HermesError as error:
            ends.put(error)

    threading.Thread(target=consume, daemon=True).start()
    return ends.get(timeout=PATIENCE)


def check_alive(engine, bystander):
    """The worker runs, and another visitor streams and gets answers."""
    assert engine._worker.is_alive()
    see(bystander, bystander.view().clock + 1)
    assert isinstance(outcome_of(bystander), str)
    assert bystander.view().error is None


def raising(error):
    def fail(*_, **__):
        raise error

    return fail


def first_raises(error):
    """An iterator whose first step raises."""

    def pieces(*_, **__):
        raise error
        yield ""

    return pieces
