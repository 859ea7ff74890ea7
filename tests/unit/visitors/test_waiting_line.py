"""The queue for live slots, with a clock and slots of the test."""

from __future__ import annotations

import math
import threading
from types import SimpleNamespace

import pytest
from patience import PATIENCE

from hermes.errors import HermesError
from hermes.serving import slots
from hermes.serving.slots import BusyError, Slots
from ui.visitors.live_slot import LiveSlot
from ui.visitors.waiting_line import PAUSED_SECONDS, WaitingLine


class Hall:
    """Slots without an engine, and a clock that the test sets."""

    def __init__(self, most):
        self.slots, self.listener, self.now = Slots(most), None, 0.0

    @property
    def free_slots(self):
        return self.slots.free

    def is_live(self, stream):
        return self.slots.holds(stream)

    def on_free(self, listener):
        self.listener = listener


class Guest:
    """A visitor whose stream is an object, and whose clips end when the test says so."""

    webcam_since = None

    def __init__(self, hall, name):
        self.hall, self.name, self.notices, self.paused_at, self.started = hall, name, [], None, []
        self.stream = None

    def play(self, title):
        def start():
            stream = self.stream or object()
            self.hall.slots.take(stream)
            self.stream, self.paused_at = stream, None
            self.started.append(title)

        return start

    def end(self):
        self.hall.slots.finish(self.stream)

    def notify(self, kind, text):
        self.notices.append((kind, text))

    def yield_slot(self, now):
        if self.paused_at is not None and now - self.paused_at >= PAUSED_SECONDS:
            self.end()


@pytest.fixture
def hall():
    return Hall(1)


@pytest.fixture
def line(hall):
    return WaitingLine(hall, clock=lambda: hall.now)


def serve(line):
    for thread in line.serve():
        thread.join(60)


def test_waiting_visitors_start_in_their_order_without_pressing_again(hall, line):
    first, second, third = (Guest(hall, name) for name in "abc")
    assert line.run(first, first.play("clip"))
    assert not line.run(second, second.play("one"))
    assert not line.run(third, third.play("clip"))
    assert [line.position(one) for one in (first, second, third)] == [None, (1, 2), (2, 2)]
    assert not line.run(second, second.play("two")), "pressing again keeps the place, and changes the source"
    assert line.position(second) == (1, 2)
    serve(line)
    assert second.started == [], "no slot is free"
    first.end()
    assert not line.run(first, first.play("again")), "a newcomer goes behind those who wait, although a slot is free"
    serve(line)
    assert (second.started, third.started, line.position(third)) == (["two"], [], (1, 2))
    line.forget(third)
    second.end()
    serve(line)
    assert first.started == ["clip", "again"]
    assert line.position(first) is None


def test_a_stream_with_a_slot_plays_another_clip_although_others_wait(hall, line):
    first, second = Guest(hall, "a"), Guest(hall, "b")
    line.run(first, first.play("clip"))
    line.run(second, second.play("clip"))
    assert line.run(first, first.play("other"))
    assert line.position(second) == (1, 1)


def test_closed_pages_leave_the_queue_and_absent_ones_let_others_go_first(hall, line):
    first, second, third = (Guest(hall, name) for name in "abc")
    line.run(first, first.play("clip"))
    line.run(second, second.play("clip"))
    line.run(third, third.play("clip"))
    line.set_away(second, away=True)
    first.end()
    serve(line)
    assert (second.started, third.started) == ([], ["clip"])
    assert line.position(second) == (1, 1), "it keeps its place"
    line.set_away(second, away=False)
    third.end()
    serve(line)
    assert second.started == ["clip"]


def test_a_paused_stream_gives_up_its_slot_only_if_others_wait(hall, line):
    first, second = Guest(hall, "a"), Guest(hall, "b")
    line.run(first, first.play("clip"))
    first.paused_at = hall.now
    hall.now = 10 * PAUSED_SECONDS
    serve(line)
    assert hall.is_live(first.stream), "the queue is empty"
    first.paused_at = hall.now
    line.run(second, second.play("clip"))
    hall.now += PAUSED_SECONDS - 1
    serve(line)
    assert second.started == []
    hall.now += 1
    serve(line)
    assert second.started == ["clip"]
    assert not line.run(first, first.play("resumed")), "resuming waits in the queue"
    assert line.position(first) == (1, 1)


def test_a_paused_stream_whose_page_is_away_gives_up_its_slot_at_once(hall, line):
    first, second = Guest(hall, "a"), Guest(hall, "b")
    line.run(first, first.play("clip"))
    first.paused_at = hall.now
    line.run(second, second.play("clip"))
    line.set_away(first, away=True)
    serve(line)
    assert second.started == ["clip"]


def test_a_stream_that_cannot_start_makes_way_for_the_next(hall, line):
    first, second, third = (Guest(hall, name) for name in "abc")

    def broken():
        raise HermesError("The file is damaged.")

    line.run(first, first.play("clip"))
    line.run(second, broken)
    line.run(third, third.play("clip"))
    first.end()
    serve(line)
    serve(line)
    assert second.notices == [("error", "The file is damaged.")]
    assert third.started == ["clip"]


def test_a_start_without_waiting_reserves_its_slot(hall, line):
    """Opening a file takes a while; the slot must not go to a visitor who came later."""
    first, second = Guest(hall, "a"), Guest(hall, "b")
    begun, go_on = threading.Event(), threading.Event()

    def slowly():
        begun.set()
        assert go_on.wait(PATIENCE)
        first.play("clip")()

    starting = threading.Thread(target=lambda: line.run(first, slowly))
    starting.start()
    assert begun.wait(PATIENCE)
    assert not line.run(second, second.play("clip"))
    serve(line)
    assert (line.position(first), line.position(second), second.started) == (None, (1, 1), [])
    go_on.set()
    starting.join()
    assert first.started == ["clip"]


def test_a_start_supersedes_the_one_in_progress_and_takes_over_its_reservation(hall, line):
    first, second = Guest(hall, "a"), Guest(hall, "b")

    def slowly():
        assert line.run(first, first.play("another")), "it does not wait"
        assert not line.run(second, second.play("clip"))

    line.run(first, slowly)
    assert (first.started, line.position(first), line.position(second)) == (["another"], None, (1, 1))


def test_a_visitor_whose_slot_was_taken_meanwhile_goes_first(hall, line):
    first, second, other = Guest(hall, "a"), Guest(hall, "b"), object()

    def busy():
        hall.slots.take(other)  # for example by a comparison
        assert not line.run(second, second.play("clip"))
        first.play("clip")()

    assert not line.run(first, busy)
    assert [line.position(one) for one in (first, second)] == [(1, 2), (2, 2)]
    line.run(first, first.play("clip"))
    hall.slots.finish(other)
    serve(line)
    assert first.started == ["clip"]


def test_a_visitor_who_holds_a_slot_needs_no_other(hall, line):
    first, second = Guest(hall, "a"), Guest(hall, "b")
    line.run(first, first.play("clip"))
    line.run(second, second.play("clip"))
    hall.slots.finish(first.stream)
    hall.slots.take(second.stream or object())
    second.stream = next(iter(hall.slots._live))  # as if it got a slot while it waited
    serve(line)
    assert (second.started, line.position(second)) == (["clip"], None)


def test_a_start_that_fails_gives_its_reservation_back(hall, line):
    first, second = Guest(hall, "a"), Guest(hall, "b")

    def broken():
        raise HermesError("The file is damaged.")

    with pytest.raises(HermesError, match="damaged"):
        line.run(first, broken)
    assert line.position(first) is None
    assert line.run(second, second.play("clip"))


class PausedStream:
    """A paused stream that counts how often it gave up its slot."""

    yielded = 0

    def status(self):
        return SimpleNamespace(state="paused")

    def yield_slot(self):
        self.yielded += 1


def test_a_stream_that_paused_by_itself_keeps_its_slot_for_as_long_as_another(line):
    """For example at the end of a step of a lesson."""
    slot, stream = LiveSlot(Guest(None, "a"), line), PausedStream()
    for now in (1000.0, 1000.0 + PAUSED_SECONDS - 1):
        slot.yield_if_paused(stream, now)
    assert not stream.yielded
    slot.yield_if_paused(stream, 1000.0 + PAUSED_SECONDS)
    assert stream.yielded == 1
    slot.note_pause(paused=False)
    slot.yield_if_paused(stream, 2000.0)
    assert stream.yielded == 1, "it has played in between"
    slot.yield_if_paused(stream, math.inf)
    assert stream.yielded == 2, "its page is away"


def test_a_visitor_whose_stream_fails_does_not_hold_up_the_queue(hall, line, caplog):
    first, second = Guest(hall, "a"), Guest(hall, "b")
    line.run(first, first.play("clip"))
    first.yield_slot = lambda _: 1 / 0
    line.run(second, second.play("clip"))
    serve(line)
    assert "could not give up its slot" in caplog.text
    first.end()
    serve(line)
    assert second.started == ["clip"]


def test_a_free_slot_is_announced(hall, line):
    assert hall.listener is not None
    hall.listener()
    assert line._news.is_set()


def test_finished_memories_stay_while_there_is_room(monkeypatch):
    monkeypatch.setattr(slots, "FINISHED_BYTES", 25)
    held, sizes = Slots(2), dict.fromkeys("abcde", 10)
    for stream in "abcd":
        held.take(stream)
        held.finish(stream)
    assert held.surplus(sizes.get) == ["a", "b"], "the oldest are freed until the others fit"
    for stream in "ab":
        held.remove(stream)
    assert held.surplus(sizes.get) == []
    sizes["c"] = 100
    assert held.surplus(sizes.get) == [], "as many memories as slots are always kept"
    held.take("e")
    assert held.surplus(sizes.get) == ["c"]
    held.take("c")
    with pytest.raises(BusyError, match="All live slots are busy; recordings still work"):
        held.take("d")
    held.take("d", replacing="c")
    assert (held.holds("c"), held.holds("d"), held.free) == (False, True, 0)
