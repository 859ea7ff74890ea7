"""Streams that fail, disappear, open or close while others run: the worker continues, and nothing blocks another stream."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from faulty_streams import (  # noqa: F401 - fixtures
    ERRORS,
    FRAME,
    QUESTION,
    SETTINGS,
    bystander,
    check_alive,
    engine,
    models,
    outcome_of,
    raising,
    see,
    victim,
)
from patience import PATIENCE, until

from hermes import out_of_memory
from hermes.errors import HermesError
from hermes.policies.rekv import ReKV
from hermes.serving import stream_memory
from hermes.serving.engine import BusyError, Engine
from hermes.serving.scheduling import Work


@pytest.mark.parametrize("hook", ["work", "step"])
@pytest.mark.parametrize("kind", ERRORS)
def test_a_stream_whose_own_handling_fails_is_not_scheduled_any_more(engine, bystander, hook, kind):
    class Broken:
        failed = closed = False

        def work(self):
            if hook == "work":
                raise ERRORS[kind]
            return Work(answer=True, frames=True)

        def step(self, kind, *, contended):  # noqa: ARG002 - as the engine calls it
            raise ERRORS[kind_of_error]

        def fail(self, error):
            self.failed = error is ERRORS[kind_of_error]
            raise MemoryError

        def close(self):
            self.closed = True

    kind_of_error = kind
    broken = Broken()
    engine.enter(broken)
    until(lambda: broken.failed)
    check_alive(engine, bystander)
    until(lambda: broken not in engine._streams)


@pytest.mark.parametrize("kind", ["fault", "memory"])
@pytest.mark.parametrize("hook", ["work", "step"])
def test_a_stream_that_was_not_scheduled_any_more_can_begin_again(engine, victim, bystander, monkeypatch, hook, kind):
    """Even its error handling failed once, for example for lack of memory."""
    with monkeypatch.context() as patch:
        if hook == "work":
            patch.setattr(victim, "work", raising(ERRORS[kind]))
        else:
            patch.setattr(victim._lock, "step", raising(ERRORS[kind]))
            victim.offer(FRAME, 10.0)
        until(lambda: victim not in engine._streams)
        until(lambda: victim.view().state == "failed")
    check_alive(engine, bystander)
    assert isinstance(outcome_of(victim), str), "a question schedules it again"
    assert victim in engine._streams
    victim.restart()
    see(victim, 0.0)
    assert victim.view().error is None
    assert engine._streams.count(victim) == 1


def test_a_slow_retrieval_does_not_block_others(engine, bystander, monkeypatch):
    """Retrieval runs in the worker; views, actions and questions of all visitors return meanwhile."""
    slow = engine.open(replace(SETTINGS, model="victim", policy="rekv"))
    slow.camera()
    see(slow, 0.0)
    entered, go_on, threads = threading.Event(), threading.Event(), []
    retrieve = ReKV.before_answer

    def wait(self, step, ids):
        threads.append(threading.current_thread())
        entered.set()
        assert go_on.wait(PATIENCE)
        return retrieve(self, step, ids)

    monkeypatch.setattr(ReKV, "before_answer", wait)
    pieces = slow.ask(QUESTION)
    assert entered.wait(PATIENCE)
    assert threads == [engine._worker]
    for stream in (slow, bystander):
        assert stream.view().state == "playing"
    assert slow.view().answering
    slow.offer(FRAME, 1.0)
    asked = bystander.ask(QUESTION)
    bystander.pause()  # takes the lock of its own stream, not of the slow one
    bystander.resume()
    go_on.set()
    assert "".join(pieces)
    assert "".join(asked)
    slow.close()


def test_a_visitor_who_holds_the_lock_does_not_hold_the_worker(engine, victim, bystander):
    """An action that takes long, such as saving, blocks its own stream only."""
    with victim._lock:
        victim.offer(FRAME, 20.0)
        check_alive(engine, bystander)
        assert victim.view().snapshot.frames_seen == 4
    until(lambda: victim.view().snapshot.frames_seen == 5)


def test_a_consumer_that_disappears(engine, victim, bystander):
    """An answer without a reader ends, whether its iterator was dropped before, between or after its pieces."""
    victim.ask(QUESTION)
    until(lambda: not victim.view().answering)
    pieces = victim.ask(QUESTION)
    next(pieces)
    pieces.close()
    until(lambda: not victim.view().answering)
    assert isinstance(outcome_of(victim), str)
    check_alive(engine, bystander)


def test_closing_ends_the_answer_immediately(engine, bystander, monkeypatch):
    stream = engine.open(replace(SETTINGS, model="victim"))
    stream.camera()
    see(stream, 0.0)
    entered, go_on = threading.Event(), threading.Event()

    def hold(*_, **__):
        entered.set()
        assert go_on.wait(PATIENCE)

    monkeypatch.setattr(stream._memory.session.policy, "before_answer", hold)
    pieces = stream.ask(QUESTION)
    assert entered.wait(PATIENCE)
    closing = threading.Thread(target=stream.close)
    closing.start()
    assert list(pieces) == [], "the consumer does not wait for the step in progress"
    go_on.set()
    closing.join(PATIENCE)
    assert not closing.is_alive()
    with pytest.raises(HermesError):
        stream.ask(QUESTION)
    check_alive(engine, bystander)


def test_no_more_streams_than_allowed_when_many_open_at_once(models):
    engine = Engine(max_streams=3, loader=lambda name, progress: models[name])  # noqa: ARG005 - as the engine calls it
    engine.load("healthy")
    together, opened, refused = threading.Barrier(12), [], []

    def enter():
        together.wait(PATIENCE)
        try:
            opened.append(engine.open(SETTINGS))
        except BusyError as error:
            refused.append(error)

    threads = [threading.Thread(target=enter) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert (len(opened), len(refused)) == (3, 9)
    opened[0].close()
    engine.open(SETTINGS)
    engine.close()
    with pytest.raises(HermesError, match="shutting down"):
        engine.open(SETTINGS)


def test_a_view_never_raises(victim, monkeypatch):
    before = victim.view()
    with monkeypatch.context() as patch:
        patch.setattr(stream_memory, "jpeg", raising(MemoryError()))
        see(victim, 11.0)
        assert victim.view().frame_jpeg == before.frame_jpeg, "the last picture that could be made"
        patch.setattr(victim._source, "status", raising(RuntimeError("changed during iteration")))
        assert victim.view().state == "playing"


def test_views_while_everything_changes(engine, bystander, tmp_path, monkeypatch):  # noqa: ARG001
    """Sources come and go while several threads look."""
    stream = engine.open(replace(SETTINGS, model="victim"))
    stop, raised = threading.Event(), []

    def look():
        while not stop.is_set():
            try:
                stream._view()
            except BaseException as error:  # noqa: BLE001 - any is a failure
                raised.append(error)
                return

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for i in range(30):
        stream.camera()
        stream.offer(FRAME, float(i))
        stream.stop()
    stop.set()
    for thread in threads:
        thread.join(PATIENCE)
    stream.close()
    assert raised == []


def test_the_sentence_of_an_error_needs_no_memory(monkeypatch):
    monkeypatch.setattr(out_of_memory.logger, "error", raising(MemoryError()))
    monkeypatch.setattr(out_of_memory.logger, "warning", raising(MemoryError()))
    assert "Memory ran out" in out_of_memory.sentence_of(MemoryError())
    assert "failed on this question" in out_of_memory.sentence_of(ValueError(), answering=True)
    done = []
    assert not out_of_memory.attempt(raising(MemoryError()), lambda: done.append(1))
    assert done == [1]
