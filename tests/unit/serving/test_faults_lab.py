"""Faults in a comparison and in a conversation: other methods continue, and a turn always ends."""

from __future__ import annotations

import threading
from pathlib import Path

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
    raising,
    victim,
)
from patience import until

from hermes.errors import HermesError
from hermes.lab.side_by_side import SideBySide
from hermes.serving.source import FrameSource
from ui.player.conversation import Conversation

FILM = Path(__file__).parents[2] / "data" / "variable_rate.mp4"


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

    def test_a_run_that_was_closed_while_its_file_was_opened_frees_the_decoder(self, side, monkeypatch):
        opened = []

        def open_slowly(*given):
            opened.append(FrameSource.open(side._source, *given))
            side.close()
            return opened[0]

        monkeypatch.setattr(side._source, "open", open_slowly)
        with pytest.raises(HermesError, match="was closed"):
            side.play(FILM)
        assert not opened[0]._sampler.open

    def test_a_run_that_was_started_again_is_not_freed(self, engine, side):
        side.discard()
        assert not side._closed
        engine.finish(side)
        with side._lock:
            thread = threading.Thread(target=side.discard)
            thread.start()
            thread.join()  # the worker does not wait for an action
            assert not side._closed
        side.discard()
        assert side._closed


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
