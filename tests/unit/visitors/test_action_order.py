"""Actions of a visitor are applied in the order in which they were made, whichever request arrives first."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path

import pytest
from patience import PATIENCE, until

from hermes.errors import HermesError
from hermes.policies import POLICIES
from hermes.trace import read
from hermes.view import StreamSettings
from ui.ordering import MAX_AT_ONCE, MAX_WAITING, Turns
from ui.page.handlers import Handlers
from ui.settings.model_loader import ModelLoader
from ui.visitors.registry import Quota, Sessions
from ui.visitors.visitor import Visitor

FOREVER = 10 * PATIENCE
"""Patience of presses that must not wait: a test that waits fails by its time limit."""
RUN = Path(__file__).parents[3] / "assets" / "runs" / "first-card-window.hermesrun"


def in_threads(calls, arrivals):
    """Begin the calls in threads of their own, each when the one before has arrived, and wait for all."""
    threads = [threading.Thread(target=call) for call in calls]
    for thread, arrived in zip(threads, arrivals, strict=True):
        thread.start()
        until(arrived)
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_an_early_action_waits_for_the_ones_before_it():
    turns, done = Turns(patience=PATIENCE), []

    def press(number):
        with turns.take(number):
            done.append(number)

    numbers = (3, 2, 4, 1)
    arrivals = [lambda i=i: turns._waiting == i + 1 for i in range(3)] + [lambda: 1 in done]
    in_threads([lambda n=n: press(n) for n in numbers], arrivals)
    assert done == [1, 2, 3, 4]


def test_one_that_was_lost_is_waited_for_only_once_and_one_that_failed_not_at_all():
    turns = Turns(patience=0.2)
    begun = time.monotonic()
    with turns.take(2):
        assert time.monotonic() - begun >= 0.2
    turns = Turns(patience=FOREVER)
    with pytest.raises(ValueError, match="failed"), turns.take(1):
        raise ValueError("failed")
    for late in (2, 3, 1):
        with turns.take(late):
            pass


@pytest.mark.parametrize("number", [None, "2", 2.0, True, [2]])
def test_actions_without_a_number_do_not_wait(number):
    with Turns(patience=FOREVER).take(number):
        pass


def test_only_a_few_wait_at_once():
    turns, done = Turns(patience=FOREVER), []

    def press(number):
        with turns.take(number):
            done.append(number)

    arrivals = [lambda i=i: turns._waiting == i + 1 for i in range(MAX_WAITING)] + [lambda: done]
    in_threads([lambda n=n: press(n) for n in range(10, 11 + MAX_WAITING)], arrivals)
    # the surplus action did not wait, and earlier ones need not wait any longer
    assert sorted(done) == list(range(10, 11 + MAX_WAITING))
    assert done[0] == 10 + MAX_WAITING


def test_one_page_cannot_occupy_all_threads():
    turns = Turns()
    with contextlib.ExitStack() as presses:
        for _ in range(MAX_AT_ONCE):
            presses.enter_context(turns.take(None))
        with pytest.raises(HermesError, match="Too many actions at once"):
            presses.enter_context(turns.take(None))
    with turns.take(None):
        pass


@pytest.fixture
def handlers(tmp_path):
    def make():
        return Visitor(StreamSettings(), ModelLoader(None), {}, POLICIES, {"a-run": read(RUN)})

    return Handlers(Sessions(make, Quota(), tmp_path))


def test_buttons_of_a_recorded_run_work_in_their_order(handlers):
    handlers.poll({"open": {"n": 1, "id": "a-run", "seconds": 3, "play": True}}, "me")
    visitor, done = handlers.sessions.get("me"), []

    def press(wish):
        handlers.act(wish, "me")
        done.append(wish["action"])

    in_threads(
        [
            lambda: press({"action": "seek", "seconds": 50, "order": 2}),
            lambda: press({"action": "restart", "order": 1}),
        ],
        [lambda: visitor.turns._waiting == 1, lambda: "restart" in done],
    )
    assert visitor.replay.position >= 50
