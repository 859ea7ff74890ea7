"""Faults at every hook of a stream: the answer ends, the stream reports the reason, and all other streams continue."""

from __future__ import annotations

import queue
import threading

import pytest
from faulty_streams import (  # noqa: F401 - fixtures
    ERRORS,
    FRAME,
    QUESTION,
    SETTINGS,
    bystander,
    check_alive,
    engine,
    first_raises,
    models,
    outcome_of,
    raising,
    see,
    victim,
)
from patience import PATIENCE, until

import hermes
from hermes import out_of_memory
from hermes.errors import HermesError
from hermes.policies.hermes import Hermes
from hermes.serving import scheduled_stream
from hermes.session.answer import Answer


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


EVERY_KIND = ("encode", "snapshot", "before_answer", "close", "error handler")
"""Hooks at which every kind of error is raised: within the model, behind it, and while an error is handled. All hooks of a
stream are called below the same handler, so the others raise two kinds."""


def cases(hooks):
    """Pairs of a hook and a kind of error."""
    return [(hook, kind) for hook in hooks for kind in (ERRORS if hook in EVERY_KIND else ("fault", "exit"))]


@pytest.mark.parametrize(("hook", "kind"), cases(FRAME_HOOKS))
def test_a_fault_while_frames_are_read(engine, victim, bystander, monkeypatch, hook, kind):
    error = ERRORS[kind]
    with monkeypatch.context() as patch:
        FRAME_HOOKS[hook](victim, patch, error)
        victim.offer(FRAME, 10.0)
        until(lambda: victim.view().state == "failed")
        check_alive(engine, bystander)
        payload = victim.view().error
    expected = {"refusal": "disk is full", "memory": "Memory ran out"}
    assert hook == "error handler" or expected.get(kind, "failed on these frames") in payload
    assert payload
    # Earlier frames can still be asked about, and the stream can be restarted.
    assert isinstance(outcome_of(victim), str)
    assert victim.view().snapshot.frames_seen in (4, 5)
    victim.restart()
    see(victim, 0.0)
    assert victim.view().error is None


@pytest.mark.parametrize(("hook", "kind"), cases(ANSWER_HOOKS))
def test_a_fault_while_a_question_is_answered(engine, victim, bystander, monkeypatch, hook, kind):
    error = ERRORS[kind]
    with monkeypatch.context() as patch:
        ANSWER_HOOKS[hook](victim, patch, error)
        payload = outcome_of(victim)
        check_alive(engine, bystander)
    assert isinstance(payload, HermesError)
    assert str(payload)
    if kind == "memory" and hook in ("before_answer", "tokenizer", "prefill", "logits", "first piece"):
        assert "Memory ran out" in str(payload)
    until(lambda: not victim.view().answering)
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


def test_the_policy_under_test_evicts(models):
    """The hooks of eviction are reached: four frames exceed the budget."""
    model = models["victim"]
    assert isinstance(hermes.StreamSession(model, SETTINGS.policy, budget=SETTINGS.budget).policy, Hermes)
    assert 4 * model.tokens_per_frame > SETTINGS.budget
