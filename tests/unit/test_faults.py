"""Faults at every hook of a stream: the answer ends, the stream reports the reason, and all other streams continue."""

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
from hermes import out_of_memory
from hermes.errors import HermesError
from hermes.lab.side_by_side import SideBySide
from hermes.policies.hermes import Hermes
from hermes.policies.rekv import ReKV
from hermes.serving import scheduled_stream, stream_memory
from hermes.serving.engine import BusyError, Engine, StreamSettings
from hermes.serving.scheduling import Work
from hermes.session.answer import Answer
from ui.player.conversation import Conversation

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


def only_for(model, healthy, faulty):
    """A method of answers that is faulty for one model."""
    return lambda self, *given: (faulty if self.model is model else healthy)(self, *given)


class ClosesBadly:
    """Pieces of an answer, whose end cannot be freed."""

    def __init__(self, error):
        self._error = error
        self._left = ["A ", "card."]

    def __iter__(self):
        return self

    def __next__(self):
        if not self._left:
            raise StopIteration
        return self._left.pop(0)

    def close(self):
        raise self._error


FRAME_HOOKS = {
    "on_frames": lambda stream, patch, error: patch.setattr(stream._memory.session.policy, "on_frames", raising(error)),
    "make_room": lambda stream, patch, error: patch.setattr(stream._memory.session.policy, "make_room", raising(error)),
    "encode_view": lambda stream, patch, error: patch.setattr(
        stream._memory.session.policy, "encode_view", raising(error)
    ),
    "after_encode": lambda stream, patch, error: patch.setattr(
        stream._memory.session.policy, "after_encode", raising(error)
    ),
    "encode": lambda stream, patch, error: patch.setattr(stream._memory.session, "encode", raising(error)),
    "prefill": lambda stream, patch, error: patch.setattr(stream._memory.session.model, "prefill", raising(error)),
    "guidance": lambda stream, patch, error: patch.setattr(
        stream._memory.session.policy, "tier_prompts", raising(error)
    ),
    "inbox": lambda stream, patch, error: patch.setattr(stream._source, "take", raising(error)),
    "thumbnails": lambda stream, patch, error: patch.setattr(stream._memory.thumbnails, "add", raising(error)),
    "snapshot": lambda stream, patch, error: patch.setattr(stream._memory.session, "snapshot", raising(error)),
    "error handler": lambda stream, patch, error: (
        patch.setattr(stream._memory.session, "push", raising(error)),
        patch.setattr(scheduled_stream, "give_back", raising(MemoryError())),
        patch.setattr(stream._source, "end", raising(MemoryError())),
        patch.setattr(out_of_memory.logger, "error", raising(MemoryError())),
        patch.setattr(out_of_memory.logger, "warning", raising(MemoryError())),
        patch.setattr(stream._memory, "publish", raising(MemoryError())),
    ),
}

ANSWER_HOOKS = {
    "before_answer": lambda stream, patch, error: patch.setattr(
        stream._memory.session.policy, "before_answer", raising(error)
    ),
    "tokenizer": lambda stream, patch, error: patch.setattr(stream._memory.session.model, "tokenize", raising(error)),
    "prefill": lambda stream, patch, error: patch.setattr(stream._memory.session.model, "prefill", raising(error)),
    "logits": lambda stream, patch, error: patch.setattr(stream._memory.session.model, "logits", raising(error)),
    "first piece": lambda stream, patch, error: patch.setattr(stream._memory.session, "ask", first_raises(error)),
    "close": lambda stream, patch, error: patch.setattr(
        stream._memory.session, "ask", lambda *_, **__: ClosesBadly(error)
    ),
    "trace": lambda stream, patch, error: patch.setattr(
        "hermes.session.answer.Answer.trace", only_for(stream._memory.session.model, Answer.trace, raising(error))
    ),
    "publish": lambda stream, patch, error: patch.setattr(stream._memory, "publish", raising(error)),
    "error handler": lambda stream, patch, error: (
        patch.setattr(stream._memory.session, "ask", lambda *_, **__: ClosesBadly(error)),
        patch.setattr(ClosesBadly, "__next__", raising(error)),
        patch.setattr(scheduled_stream, "give_back", raising(MemoryError())),
        patch.setattr(out_of_memory.logger, "error", raising(MemoryError())),
        patch.setattr(out_of_memory.logger, "warning", raising(MemoryError())),
        patch.setattr(stream._memory, "publish", raising(MemoryError())),
    ),
}


@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("hook", FRAME_HOOKS)
def test_a_fault_while_frames_are_read(engine, victim, bystander, monkeypatch, hook, kind):
    error = ERRORS[kind]
    with monkeypatch.context() as patch:
        FRAME_HOOKS[hook](victim, patch, error)
        victim.offer(FRAME, 10.0)
        until(lambda: victim.view().state == "failed")
        check_alive(engine, bystander)
        told = victim.view().error
    expected = {"refusal": "disk is full", "memory": "Memory ran out"}
    assert hook == "error handler" or expected.get(kind, "failed on these frames") in told
    assert told
    # Earlier frames can still be asked about, and the stream can be restarted.
    assert isinstance(outcome_of(victim), str)
    assert victim.view().snapshot.frames_seen in (4, 5)
    victim.restart()
    see(victim, 0.0)
    assert victim.view().error is None


@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("hook", ANSWER_HOOKS)
def test_a_fault_while_a_question_is_answered(engine, victim, bystander, monkeypatch, hook, kind):
    error = ERRORS[kind]
    with monkeypatch.context() as patch:
        ANSWER_HOOKS[hook](victim, patch, error)
        told = outcome_of(victim)
        check_alive(engine, bystander)
    assert isinstance(told, HermesError)
    assert str(told)
    if kind == "memory" and hook in ("before_answer", "tokenizer", "prefill", "logits", "first piece"):
        assert "Memory ran out" in str(told)
    assert not victim.view().answering
    assert victim.view().state == "playing", "an answer reads a branch of the memory: the stream itself goes on"
    see(victim, victim.view().clock + 1)
    assert isinstance(outcome_of(victim), str)


@pytest.mark.parametrize("kind", ["fault", "memory", "exit"])
def test_an_answer_in_progress_ends_when_the_stream_fails(engine, victim, bystander, monkeypatch, kind):
    pieces = victim.ask(QUESTION)
    with monkeypatch.context() as patch:
        patch.setattr(victim._memory.session, "push", raising(ERRORS[kind]))
        victim.offer(FRAME, 10.0)
        until(lambda: victim.view().state == "failed" and not victim.view().answering)
        check_alive(engine, bystander)
    with_end: queue.Queue = queue.Queue()

    def consume():
        try:
            with_end.put("".join(pieces))
        except HermesError as error:
            with_end.put(error)

    threading.Thread(target=consume, daemon=True).start()
    assert with_end.get(timeout=PATIENCE)


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


class TestLab:
    """The same rules for memories side by side."""

    @pytest.fixture
    def side(self, engine):
        made = SideBySide(engine, SETTINGS, ("hermes", "sliding-window"))
        engine.enter(made)
        made._source.use_camera()
        made._source.offer(FRAME, 0.0)
        until(lambda: made.view().frames == 1)
        yield made
        made.close()

    @pytest.mark.parametrize("kind", ERRORS)
    def test_a_fault_in_one_memory(self, engine, side, bystander, monkeypatch, kind):
        monkeypatch.setattr(side._lanes[0].session, "push", raising(ERRORS[kind]))
        side._source.offer(FRAME, 1.0)
        until(lambda: side.view().lanes[1].snapshot.frames_seen == 2 and not side.has_work())
        first, second = side.view().lanes
        assert (first.state, second.error) == ("failed", None)
        assert first.error
        side.ask(QUESTION)
        until(lambda: not side.view().answering)
        assert side.view().lanes[1].state == "done"
        check_alive(engine, bystander)

    @pytest.mark.parametrize("kind", ERRORS)
    def test_a_fault_in_one_answer(self, engine, side, bystander, monkeypatch, kind):
        with monkeypatch.context() as patch:
            patch.setattr(side._lanes[0].session, "ask", first_raises(ERRORS[kind]))
            side.ask(QUESTION)
            until(lambda: not side.view().answering)
            first, second = side.view().lanes
            assert (first.state, second.state) == ("refused", "done")
            assert first.answer
        side.ask(QUESTION)
        until(lambda: not side.view().answering)
        assert [lane.state for lane in side.view().lanes] == ["done", "done"]
        check_alive(engine, bystander)

    @pytest.mark.parametrize("kind", ERRORS)
    def test_a_fault_of_the_run_or_its_listener(self, engine, side, bystander, monkeypatch, kind):
        side.listen(raising(ERRORS[kind]))
        assert side._listener is None
        monkeypatch.setattr(side, "_take", raising(ERRORS[kind]))
        side._source.offer(FRAME, 1.0)
        until(lambda: side.view().state == "failed")
        assert side.view().error
        side.ask(QUESTION)
        until(lambda: not side.view().answering)
        assert [lane.state for lane in side.view().lanes] == ["done", "done"]
        check_alive(engine, bystander)


class TestConversation:
    """A turn always ends, whatever the stream raises, and also without a reader."""

    class Raising:
        def __init__(self, error):
            self._error = error

        def view(self):
            return type("View", (), {"clock": 1.0, "first_token_ms": None})

        status = view

        def ask(self, question):  # noqa: ARG002 - as a stream is asked
            yield "A "
            raise self._error

    @pytest.mark.parametrize("kind", ["fault", "memory", "refusal"])
    def test_errors(self, kind):
        conversation = Conversation()
        messages = list(conversation.ask(self.Raising(ERRORS[kind]), QUESTION, "HERMES"))
        assert messages[-1]["turns"][-1]["state"] == "error"
        assert messages[-1]["turns"][-1]["answer"]

    @pytest.mark.parametrize("read", [1, 2])
    def test_a_reader_that_disappears(self, victim, read):
        conversation = Conversation()
        asking = conversation.ask(victim, QUESTION, "HERMES")
        for _ in range(read):
            next(asking)
        asking.close()
        assert conversation.turns[-1].state == "stopped"
        until(lambda: not victim.view().answering)
        assert list(conversation.ask(victim, QUESTION, "HERMES"))[-1]["turns"][-1]["state"] == "done"


def test_the_sentence_of_an_error_needs_no_memory(monkeypatch):
    monkeypatch.setattr(out_of_memory.logger, "error", raising(MemoryError()))
    monkeypatch.setattr(out_of_memory.logger, "warning", raising(MemoryError()))
    assert "Memory ran out" in out_of_memory.sentence_of(MemoryError())
    assert "failed on this question" in out_of_memory.sentence_of(ValueError(), answering=True)
    done = []
    assert not out_of_memory.attempt(raising(MemoryError()), lambda: done.append(1))
    assert done == [1]


def test_the_policy_under_test_evicts(models):
    """The hooks of eviction are reached: four frames exceed the budget."""
    model = models["victim"]
    assert isinstance(hermes.StreamSession(model, SETTINGS.policy, budget=SETTINGS.budget).policy, Hermes)
    assert 4 * model.tokens_per_frame > SETTINGS.budget
