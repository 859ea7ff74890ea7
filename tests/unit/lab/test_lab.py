"""The lab: plans, resumable measurements, and summaries that can be checked by hand.

Worker processes: test_policy_registry.py, with a plugin.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from small_lab import POLICIES, without_times

from hermes.backbones.base import Backbone
from hermes.errors import HermesError
from hermes.lab import run as lab_run
from hermes.lab import table
from hermes.lab.expectations import expectations
from hermes.lab.measure import make_task, measure
from hermes.lab.plan import Budget, Cell, identity, make_plan
from hermes.lab.report import report
from hermes.lab.run import missing, run_plan
from hermes.lab.seen_once import SeenOnce
from hermes.lab.statistics import bootstrap_weights
from hermes.lab.store import MEASUREMENTS, Store
from hermes.lab.summary import several_runs, summarise
from hermes.worlds.questions import is_correct

FRAMES = 16


@pytest.fixture(scope="module")
def plan(pocket: Backbone):
    return make_plan(pocket, "pocket", POLICIES, ["25%"], streams=2, frames=FRAMES)


def measured(plan, pocket, folder: Path, **options) -> dict:
    store = Store(folder, identity(plan, pocket))
    run_plan(plan, pocket, store, **options)
    store.close()
    return summarise(plan, store.tasks, store.found)


@pytest.fixture(scope="module")
def folder(plan, pocket, tmp_path_factory) -> Path:
    """The folder of a complete run; tests only read it."""
    path = tmp_path_factory.mktemp("whole")
    measured(plan, pocket, path)
    return path


def stored(plan, pocket, folder: Path) -> Store:
    """What a folder holds; changes of the returned object do not reach the folder."""
    store = Store(folder, identity(plan, pocket))
    store.close()
    return store


@pytest.fixture(scope="module")
def summary(plan, pocket, folder) -> dict:
    store = stored(plan, pocket, folder)
    return summarise(plan, store.tasks, store.found)


# Plans ----------------------------------------------------------------------------------------------------------------


def test_budgets_are_tokens_or_shares():
    assert Budget.read("512").of(2048, 16) == 512
    assert Budget.read("25%").of(2048, 16) == 512
    assert Budget.read("6 %").of(2048, 16) == 123
    assert Budget.read("0.1%").of(2048, 16) == 16
    for text in ("many", "-5", "120%", "0%", "2.5"):
        with pytest.raises(HermesError, match="full cache"):
            Budget.read(text)


def test_a_policy_without_a_budget_is_measured_once(pocket):
    plan = make_plan(pocket, "pocket", ["full", "hermes"], ["64", "25%", "128"], streams=2, frames=32)
    assert plan.full == 32 * 16
    assert plan.cells == (Cell("full", None), Cell("hermes", 64), Cell("hermes", 128))
    assert plan.reference == "hermes"
    assert plan.budgets == [64, 128]


def test_a_policy_can_have_its_own_budget(pocket):
    plan = make_plan(pocket, "pocket", ["hermes", "rekv@25%", "full@6%"], ["6%", "32"], streams=2, frames=24)
    assert plan.cells == (Cell("hermes", 23), Cell("hermes", 32), Cell("rekv", 96), Cell("full", None))
    assert plan.reference == "hermes"


def test_a_policy_can_be_named_with_settings():
    policy = Cell("hermes:smoothing=off, alpha_long_term=0.3", 128).make()
    assert (policy.name, policy.budget, policy.smoothing, policy.alpha_long_term) == ("hermes", 128, False, 0.3)
    assert Cell("hermes:smoothing=off", 128).badge == "variant of hermes"
    for text, says in (
        ("hermes:smoothing", "name=value"),
        ("hermes:speed=3", "speed"),
        ("hermes:smoothing=maybe", "must be on or off"),
    ):
        with pytest.raises(HermesError, match=says):
            Cell(text, 128).make()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"policies": ["magic"]}, "There is no policy or preset “magic”"),
        ({"policies": []}, "at least one policy"),
        ({"budgets": ["8"]}, "too small"),
        ({"budgets": ["99999"]}, "too large"),
        ({"streams": 1}, "at least two streams"),
        ({"frames": 8}, "16 frames"),
        ({"tempo": "wild"}, "no tempo “wild”"),
        ({"reference": "full"}, "not among the compared policies"),
    ],
)
def test_invalid_plans_are_rejected(pocket, change, says):
    asked = {"policies": ["hermes"], "budgets": ["64"], "streams": 2, "frames": 16} | change
    with pytest.raises(HermesError, match=says):
        make_plan(pocket, "pocket", **asked)


# Measurements ---------------------------------------------------------------------------------------------------------


def test_reported_memory_equals_the_session(plan, pocket):
    task = make_task(plan, 0)
    full, window = (measure(pocket, task, cell) for cell in (Cell("full", None), Cell("sliding-window", 48)))
    assert full["resident"] == [16 * (task.at + 1)] * pocket.num_layers == full["read"]
    assert window["resident"] == [48] * pocket.num_layers == window["read"]
    assert len(window["answers"]) == len(task.questions) == len(window["times"]["first_token"])


def test_frames_that_were_encoded_for_another_memory_give_the_same_answers(plan, pocket, monkeypatch):
    task, seen = make_task(plan, 1), SeenOnce(pocket)
    alone = [without_times(measure(pocket, task, cell)) for cell in plan.cells]
    asked = []
    encode = type(pocket).encode
    monkeypatch.setattr(type(pocket), "encode", lambda *args: asked.append(args[3]) or encode(*args))
    shared = [measure(pocket, task, cell, seen) for cell in plan.cells]
    assert [without_times(one) for one in shared] == alone
    assert asked == sorted(set(asked))  # each chunk once, for three memories
    seen.encode(list(task.stream.frames[:16]), task.stream.times[:16], 0, pocket.layout(128, 128))
    assert seen.take_seconds_saved() > 0
    assert seen.take_seconds_saved() == 0


def test_a_run_that_was_stopped_continues(plan, pocket, summary, tmp_path, monkeypatch):
    calls = []
    whole = measure

    def counted(model, task, cell, seen):
        calls.append((task.index, cell))
        return whole(model, task, cell, seen)

    monkeypatch.setattr(lab_run, "measure", counted)

    def stop(done: int, total: int) -> None:  # noqa: ARG001
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measured(plan, pocket, tmp_path, progress=stop)
    written = (tmp_path / MEASUREMENTS).read_text()
    for name, former in (("answers", "said"), ("outcomes", "fate")):  # as earlier versions wrote them
        assert f'"{name}":[' in written
        written = written.replace(f'"{name}":[', f'"{former}":[')
    written += '{"stream":1,"policy":"hermes","bud'  # a line that was never written whole
    (tmp_path / MEASUREMENTS).write_text(written)
    store = Store(tmp_path, identity(plan, pocket))
    assert missing(plan, store) == [(1, plan.cells[1:])]
    store.close()
    assert without_times(measured(plan, pocket, tmp_path)) == without_times(summary)
    assert len(calls) == len(set(calls)) == 6
    lines = (tmp_path / MEASUREMENTS).read_text().splitlines()
    assert len([json.loads(line) for line in lines]) == 1 + 2 + 6


def test_more_streams_and_policies_are_added_to_a_measurement(pocket, plan, tmp_path):
    first = make_plan(pocket, "pocket", ["full"], ["25%"], streams=2, frames=FRAMES)
    measured(first, pocket, tmp_path)
    store = Store(tmp_path, identity(plan, pocket))
    assert missing(plan, store) == [(0, plan.cells[:2]), (1, plan.cells[:2])]
    store.close()
    both = measured(plan, pocket, tmp_path)
    machine = {"processor": "a", "cores": 1, "gpu": None, "torch": "2", "model": "pocket", "layers": 10}
    machine |= {"system": "Linux", "python": "3.11", "transformers": "5"}
    assert [cell["times"]["runs"] for cell in both["cells"]] == ["A", "A", "B"]  # the full cache was measured before
    assert several_runs(both)
    assert not several_runs({"cells": [{"times": {"runs": "A"}}, {"error": "full"}, {"times": {"runs": "A"}}]})
    assert several_runs({"cells": [{"times": {"runs": "A+B"}}, {"times": {"runs": "A+B"}}]})  # each half by another
    assert "several runs of the command" in table.text(both)
    assert 'class="soft">B</span>' in report(both | {"machine": machine, "command": "lab"})


def test_measurements_of_something_else_are_refused(pocket, plan, tmp_path):
    Store(tmp_path, identity(plan, pocket)).close()
    with pytest.raises(HermesError, match="seed: 0 instead of 5"):
        Store(tmp_path, identity(plan, pocket) | {"seed": 5})
    with (tmp_path / MEASUREMENTS).open("a") as file:
        file.write("not json\n")
    with pytest.raises(HermesError, match="damaged in line 2"):
        Store(tmp_path, identity(plan, pocket))


# Summaries ------------------------------------------------------------------------------------------------------------


def test_accuracies_are_counts_of_right_answers(plan, pocket, folder, summary):
    found = stored(plan, pocket, folder).found
    for number, cell in enumerate(plan.cells):
        right: dict[str, list[bool]] = {"all": []}
        for index in range(plan.streams):
            task = make_task(plan, index)
            for question, message in zip(task.questions, found[index, cell]["answers"], strict=True):
                right["all"].append(is_correct(question, message))
                right.setdefault(question.kind, []).append(right["all"][-1])
        for group, values in right.items():
            row = summary["cells"][number]["accuracy"][group]
            assert row["value"] == pytest.approx(np.mean(values), abs=1e-4)
            assert row["low"] <= row["value"] <= row["high"]


def test_comparisons_add_up(summary):
    questions = {group["id"]: group["n"] for group in summary["groups"]}
    accuracy = {cell["policy"]: cell["accuracy"] for cell in summary["cells"]}
    assert {row["policy"] for row in summary["comparisons"]} == {"sliding-window", "full"}
    for row in summary["comparisons"]:
        mine, theirs = (accuracy[name][row["group"]]["value"] for name in (row["policy"], "hermes"))
        assert row["difference"] == pytest.approx(mine - theirs, abs=2e-4)
        assert row["only_policy"] - row["only_reference"] == round(row["difference"] * questions[row["group"]])
        assert row["low"] <= row["difference"] <= row["high"]
        assert row["p"] <= row["p_holm"] <= 1


def test_the_outcomes_of_wrong_answers_add_up(summary):
    questions = summary["groups"][0]["n"]
    for cell in summary["cells"]:
        wrong = round((1 - cell["accuracy"]["all"]["value"]) * questions)
        assert sum(cell["outcomes"].values()) == wrong
    window = summary["cells"][1]["outcomes"]
    assert window["evicted"] > window["not sampled"] == 0


def test_expectations_are_judged_by_the_whole_interval(pocket):
    plan = make_plan(pocket, "pocket", ("hermes", "full", "sliding-window"), ["25%"], streams=8, frames=32)
    ours, full, window = plan.cells
    cells = {cell.policy: [cell] for cell in plan.cells}
    asked = {"all": np.full(8, 20.0), "memory": np.full(8, 10.0)}
    right = {
        (ours, "all"): np.full(8, 18.0), (full, "all"): np.full(8, 20.0),
        (ours, "memory"): np.full(8, 9.0), (full, "memory"): np.full(8, 9.0), (window, "memory"): np.array([6.0, 8] * 4),
    }  # fmt: skip
    found = expectations(plan, cells, lambda cell, group: right[cell, group], asked, bootstrap_weights(8))
    assert [(row["value"], row["verdict"]) for row in found] == [
        (0.9, "refuted"), (1.0, "confirmed"), (0.2, "not settled"),
    ]  # fmt: skip
    assert found[2]["low"] < 0.2 < found[2]["high"]


def test_ages_are_of_questions_about_one_past_card(summary):
    ages = [group for group in summary["groups"] if group["sort"] == "age"]
    kinds = {group["id"]: group["n"] for group in summary["groups"] if group["sort"] == "kind"}
    past = sum(kinds.get(name, 0) for name in ("before", "first", "after", "place", "attribute"))
    assert sum(group["n"] for group in ages) == past


def test_a_policy_that_cannot_see_a_stream_is_named_not_averaged(plan, pocket, folder):
    store = stored(plan, pocket, folder)
    store.found[1, plan.cells[0]] = {"stream": 1, "policy": "hermes", "budget": 96, "error": "The memory is full."}
    found = summarise(plan, store.tasks, store.found)
    assert found["cells"][0]["error"] == "The memory is full."
    assert found["cells"][0]["accuracy"] == {}
    assert found["comparisons"] == []
