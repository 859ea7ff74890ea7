"""The scheduling policy on a simulated clock: answers first, a guaranteed share for frames, fairness, no starvation."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field

import pytest

from hermes.serving.scheduling import FRAME_SHARE, Scheduler, Work

ANSWER, FRAME = 0.01, 0.05
"""Cost of a token and of a chunk, in seconds."""


@dataclass
class Load:
    """A simulated worker: every stream has a number of answer steps and of chunks that wait."""

    answers: dict[str, int] = field(default_factory=dict)
    frames: dict[str, int] = field(default_factory=dict)
    cost: dict[str, float] = field(default_factory=dict)  # of a chunk of a stream, if not FRAME
    clock: float = 0.0
    log: list[tuple[str, str, float]] = field(default_factory=list)  # stream, kind, time at its end
    scheduler: Scheduler[str] = field(default_factory=Scheduler)

    def run(self, steps: int) -> None:
        for _ in range(steps):
            keys = sorted({*self.answers, *self.frames})
            waiting = {k: Work(self.answers.get(k, 0) > 0, self.frames.get(k, 0) > 0) for k in keys}
            choice = self.scheduler.choose({key: work for key, work in waiting.items() if work})
            if choice is None:
                return
            seconds = ANSWER if choice.kind == "answer" else self.cost.get(choice.key, FRAME)
            self.clock += seconds
            (self.answers if choice.kind == "answer" else self.frames)[choice.key] -= 1
            self.scheduler.charge(choice, seconds)
            self.log.append((choice.key, choice.kind, self.clock))

    def time_of(self, kind: str) -> float:
        cost = {"answer": lambda _: ANSWER, "frames": lambda key: self.cost.get(key, FRAME)}[kind]
        return sum(cost(key) for key, what, _ in self.log if what == kind)


def test_nothing_waits():
    assert Scheduler().choose({}) is None
    assert Scheduler().choose({"a": Work()}) is None


def test_an_answer_has_priority_over_frames():
    load = Load(frames={f"s{i}": 100 for i in range(8)})
    load.run(20)
    load.answers["s3"] = 1
    load.run(1)
    assert load.log[-1][:2] == ("s3", "answer")


def test_a_new_answer_starts_before_the_others_continue():
    load = Load(answers={"a": 50, "b": 50, "c": 50})
    load.run(31)
    load.answers["d"] = 5
    load.run(1)
    assert load.log[-1][0] == "d"


def test_answers_take_turns_and_short_ones_end_first():
    load = Load(answers={"long": 100, "short": 5, "middle": 20})
    load.run(125)
    ends = {key: max(at for k, _, at in load.log if k == key) for key in load.answers}
    assert ends["short"] < ends["middle"] < ends["long"]
    assert ends["short"] <= 15 * ANSWER + 1e-9


def test_frames_keep_their_share_while_answers_never_end():
    load = Load(answers={f"q{i}": 10**6 for i in range(8)}, frames={f"s{i}": 10**6 for i in range(8)})
    load.run(5000)
    share = load.time_of("frames") / (load.time_of("frames") + load.time_of("answer"))
    assert share == pytest.approx(FRAME_SHARE, abs=0.01)
    counts = Counter(key for key, kind, _ in load.log if kind == "frames")
    assert max(counts.values()) - min(counts.values()) <= 1
    # Between two chunks an answer waits for one chunk at most.
    kinds = [kind for _, kind, _ in load.log]
    assert all({first, second} != {"frames"} for first, second in itertools.pairwise(kinds))


def test_streams_share_the_time_by_measured_cost():
    load = Load(frames={"cheap": 10**6, "dear": 10**6}, cost={"cheap": 0.02, "dear": 0.1})
    load.run(3000)
    counts = Counter(key for key, _, _ in load.log)
    assert counts["cheap"] / counts["dear"] == pytest.approx(5, rel=0.02)


def test_an_idle_stream_collects_no_credit():
    load = Load(frames={"busy": 10**6, "idle": 0})
    load.run(500)
    load.frames["idle"] = 10**6
    load.run(100)
    counts = Counter(key for key, _, _ in load.log[-100:])
    assert abs(counts["busy"] - counts["idle"]) <= 1


def test_answers_that_ended_leave_no_debt():
    """After answers and frames competed, a later answer again has priority, and frames again receive their share."""
    load = Load(answers={"q": 200}, frames={"s": 10**6})
    load.run(400)
    assert load.answers["q"] == 0
    load.answers["q"] = 1
    load.run(1)
    assert load.log[-1][1] == "answer"


def test_a_stream_that_was_closed_is_forgotten():
    load = Load(answers={"a": 10}, frames={"a": 10, "b": 10})
    load.run(10)
    load.scheduler.forget("a")
    load.scheduler.forget("never seen")
    assert "a" not in load.scheduler._answered_at
    assert "a" not in load.scheduler._finish


@pytest.mark.parametrize("share", [0, 1, -0.5, float("nan")])
def test_a_share_is_a_share(share):
    with pytest.raises(ValueError, match="between 0 and 1"):
        Scheduler(share)
