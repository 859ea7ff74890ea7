"""Several policies on the same frames: each gives the same result as alone, and all answer the same question."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from patience import until

from hermes.errors import HermesError
from hermes.lab.plan import Cell
from hermes.lab.side_by_side import SideBySide
from hermes.serving.engine import BusyError, Engine, StreamSettings
from hermes.session.stream_session import StreamSession
from hermes.video import sample

CLIP = Path(__file__).parents[3] / "assets" / "clips" / "quick-tour.webm"
POLICIES = ("hermes", "sliding-window", "full")


@pytest.fixture(scope="module")
def engine():
    running = Engine(max_streams=2)
    running.load("pocket")
    yield running
    running.close()


@pytest.fixture
def side(engine, request):
    """A comparison; parametrize indirectly with the sampled frames per second."""
    fps = getattr(request, "param", 2.0)
    made = SideBySide(engine, StreamSettings(budget=128, speed=float("inf"), fps=fps), POLICIES)
    engine.enter(made)
    yield made
    made.close()


@pytest.mark.parametrize("side", [1.0], indirect=True)
def test_every_policy_gives_the_same_result_as_alone(engine, side):
    side.play(CLIP)
    until(lambda: side.view().state == "ended" and not side.has_work())
    view = side.view()
    counts = {lane.snapshot.frames_seen for lane in view.lanes}
    assert counts == {view.frames}
    assert view.frames > 30
    assert view.clock == view.lanes[0].snapshot.seconds
    assert view.frame_jpeg.startswith(b"\xff\xd8")
    for lane in view.lanes[1:]:
        assert np.array_equal(lane.snapshot.frame_times, view.lanes[0].snapshot.frame_times)
    kept = [int(lane.snapshot.kept_per_layer.max()) for lane in view.lanes]
    assert kept == [128, 128, 16 * view.frames]
    side.ask("What was the first card?")
    until(lambda: not side.view().answering)
    for lane in side.view().lanes:
        assert lane.state == "done"
        assert lane.answer
        assert lane.first_token_ms > 0
        assert lane.snapshot.answer.question == "What was the first card?"
        assert lane.snapshot.answer.frames_seen == view.frames
    alone = StreamSession(engine.model("pocket"), policy=Cell("sliding-window", 128).make())
    for frame, seconds in sample(CLIP, 1.0):
        alone.push(frame[None], [seconds])
    assert np.array_equal(alone.snapshot().frame_times, view.lanes[1].snapshot.frame_times)
    assert np.array_equal(alone.snapshot().kept, view.lanes[1].snapshot.kept)


def test_a_question_waits_until_all_have_seen_the_same_frames(side):
    side.play(CLIP)
    until(lambda: side.view().frames >= 16)
    side.ask("What is shown now?")
    until(lambda: all(lane.state == "done" for lane in side.view().lanes))
    asked = {lane.snapshot.answer.frames_seen for lane in side.view().lanes}
    assert len(asked) == 1
    until(lambda: side.view().state == "ended" and not side.has_work())
    assert side.view().frames > asked.pop()


def test_questions_that_cannot_be_asked(side):
    with pytest.raises(HermesError, match="Nothing has been seen"):
        side.ask("What was first?")
    side.play(CLIP)
    until(lambda: side.view().frames > 0)
    with pytest.raises(HermesError, match="empty"):
        side.ask("  ")
    side.ask("What is shown now?")
    with pytest.raises(HermesError, match="still being answered"):
        side.ask("What is shown now?")


def test_a_question_that_is_too_long_is_refused_with_a_message(side):
    side.play(CLIP)
    until(lambda: side.view().frames > 0)
    side.ask("What was the first card? " * 500)
    until(lambda: not side.view().answering)
    assert {lane.state for lane in side.view().lanes} == {"refused"}
    assert "too long" in side.view().lanes[0].answer
    side.ask("What is shown now?")
    until(lambda: not side.view().answering)
    assert {lane.state for lane in side.view().lanes} == {"done"}


def test_a_failed_memory_does_not_affect_the_others(engine, monkeypatch):
    made = SideBySide(engine, StreamSettings(budget=128, speed=float("inf"), fps=0.5), POLICIES)
    engine.enter(made)

    def refuse(*_):
        raise HermesError("The memory is full.")

    monkeypatch.setattr(made.view().lanes[2].session, "push", refuse)
    made.play(CLIP)
    until(lambda: made.view().state == "ended" and not made.has_work())
    made.ask("What was the first card?")
    until(lambda: not made.view().answering)
    hermes, window, full = made.view().lanes
    made.close()
    assert (full.state, full.error) == ("failed", "The memory is full.")
    assert (hermes.state, window.state) == ("done", "done")


@pytest.mark.parametrize(
    "policies", [("hermes",), ("hermes", "hermes"), (*POLICIES, "random-keep", "hermes-no-summary")]
)
def test_two_to_four_different_memories(engine, policies):
    with pytest.raises(HermesError, match="two to four different"):
        SideBySide(engine, StreamSettings(budget=128), policies)


def test_names_and_budgets_are_checked(engine):
    with pytest.raises(HermesError, match="no policy or preset"):
        SideBySide(engine, StreamSettings(budget=128), ("hermes", "magic"))
    with pytest.raises(HermesError, match="too small"):
        SideBySide(engine, StreamSettings(budget=8), ("hermes", "full"))


@pytest.mark.usefixtures("side")
def test_the_engine_takes_no_more_than_it_can(engine):
    other = SideBySide(engine, StreamSettings(budget=128), POLICIES)
    engine.enter(other)
    with pytest.raises(BusyError):
        engine.enter(SideBySide(engine, StreamSettings(budget=128), POLICIES))
    other.close()
    engine.enter(other)
    other.close()


@pytest.mark.parametrize("side", [0.5], indirect=True)
def test_every_memory_is_warmed_up_and_the_order_of_answers_rotates(side, monkeypatch):
    asked = []

    def watch(lane):
        ask = lane.session.ask

        def asking(question, **options):
            asked.append((lane.cell.policy, options.get("record", True)))
            return ask(question, **options)

        monkeypatch.setattr(lane.session, "ask", asking)

    for lane in side._lanes:
        watch(lane)
    side.play(CLIP)
    until(lambda: side.view().state == "ended" and not side.has_work())
    for first in range(len(POLICIES)):
        asked.clear()
        side.ask("What was the first card?")
        until(lambda: not side.view().answering)
        order = [*POLICIES[first:], *POLICIES[:first]]
        assert asked == [step for name in order for step in ((name, False), (name, True))]
    for lane in side.view().lanes:
        assert lane.session.stats.questions == len(POLICIES), "a warm-up is not an answer"


def test_an_answer_starts_and_gives_its_first_piece_in_one_step(engine):
    made = SideBySide(engine, StreamSettings(budget=128, speed=float("inf")), POLICIES)  # this test takes the steps
    try:
        made.play(CLIP)
        until(lambda: made.step("frames", contended=False) and made.view().frames >= 16)
        made.ask("What is shown now?")
        started = {}
        while made.view().answering:
            made.step("answer", contended=False)
            for lane in made.view().lanes:
                if lane.state in ("writing", "done"):
                    started.setdefault(lane.cell.policy, lane.answer)
        assert list(started) == list(POLICIES)
        assert all(started.values()), "other streams would take their steps before the first token"
    finally:
        made.close()
