"""Presses take effect in the order in which they were made, whichever the queue brings first."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from hermes.live_view import StreamSettings
from hermes.policies import POLICIES
from hermes.trace import read
from ui.handlers import Handlers
from ui.models import Shelf
from ui.sessions import Quota, Sessions
from ui.turns import MOST_WAITING, Turns
from ui.visitor import Visitor

RUN = Path(__file__).parents[2] / "assets" / "runs" / "first-card-window.hermesrun"


def in_threads(*calls):
    """Begin the calls one after the other, each in a thread of its own, and wait for all."""
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
        time.sleep(0.05)
    for thread in threads:
        thread.join(20)


def test_what_comes_too_early_waits_until_those_before_it_are_done():
    turns, done = Turns(patience=20), []

    def press(number):
        with turns.take(number):
            time.sleep(0.1)
            done.append(number)

    in_threads(*(lambda n=n: press(n) for n in (3, 2, 1, 4)))
    assert done == [1, 2, 3, 4]


def test_one_that_was_lost_is_waited_for_only_once_and_one_that_failed_not_at_all():
    turns = Turns(patience=0.2)
    begun = time.monotonic()
    with turns.take(2):
        assert time.monotonic() - begun >= 0.2
    turns = Turns(patience=20)
    with pytest.raises(ValueError, match="failed"), turns.take(1):
        raise ValueError("failed")
    begun = time.monotonic()
    for late in (2, 3, 1):
        with turns.take(late):
            pass
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize("number", [None, "2", 2.0, True, [2]])
def test_what_has_no_number_goes_at_once(number):
    begun = time.monotonic()
    with Turns(patience=20).take(number):
        assert time.monotonic() - begun < 10


def test_only_a_few_wait_at_once():
    turns, done = Turns(patience=20), []

    def press(number):
        with turns.take(number):
            done.append(number)

    begun = time.monotonic()
    in_threads(*(lambda n=n: press(n) for n in range(10, 11 + MOST_WAITING)))
    assert (
        time.monotonic() - begun < 15
    )  # the one too many went at once, and those after which it comes need not wait on
    assert sorted(done) == list(range(10, 11 + MOST_WAITING))
    assert done[0] == 10 + MOST_WAITING


@pytest.fixture
def handlers(tmp_path):
    def make():
        return Visitor(StreamSettings(), Shelf(None), {}, POLICIES, {"a-run": read(RUN)})

    return Handlers(Sessions(make, Quota(), tmp_path))


def test_buttons_of_a_recorded_run_work_in_their_order(handlers):
    handlers.look({"open": {"n": 1, "id": "a-run", "seconds": 3, "play": True}}, "me")
    in_threads(
        lambda: handlers.act({"action": "seek", "seconds": 50, "order": 2}, "me"),
        lambda: handlers.act({"action": "restart", "order": 1}, "me"),
    )
    assert handlers.sessions.get("me").replay.position == pytest.approx(50, abs=5)
