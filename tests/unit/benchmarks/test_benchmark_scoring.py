"""Scores of published benchmarks: letters, groups, intervals over videos, paired comparisons, and the report."""

from __future__ import annotations

import csv
import io
import json
import re

import numpy as np
import pytest
from benchmark_data import ScriptedResponder

from hermes.benchmarks.annotations import AnnotatedQuestion
from hermes.benchmarks.catalogue import BENCHMARKS, MVBENCH_TASKS, BenchmarkError
from hermes.benchmarks.prompts import ANSWER_PREFIX, letter_of, prompt_of, remembered
from hermes.benchmarks.report import report
from hermes.benchmarks.results import Results
from hermes.benchmarks.summary import submission, summarise_runs
from hermes.benchmarks.table import sections_of
from hermes.lab.statistics import bootstrap_weights, weighted_ratios_interval
from hermes.memory.guidance_prompts import options_of, prompts_of_tiers
from hermes.tables import Table


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("B", "B"), ("(B)", "B"), ("B) text", "B"), (" B) text", "B"), ("B. text (A)", "A"), ("Because", "B"),
        ("The answer is D)", "D"), ("(H) h", "H"), ("b.", None), ("(B", None), ("I", None), ("", None), (" ", None),
        ("1)", None), (")", None), (") B", None), ("x) B", None),
    ],
)  # fmt: skip
def test_the_letter_is_read_as_the_released_evaluation_reads_it(answer, letter):
    assert letter_of(answer) == letter


def test_prompts_list_options_that_the_library_recognises():
    asked = AnnotatedQuestion(0, "Which?", "b", ("a", "b c", "(d)"), 1.0, "")
    prompt = prompt_of(asked)
    assert prompt.splitlines()[:2] == ["Question: Which?", "Options:"]
    assert options_of(prompt) == {"A": "a", "B": "b c", "C": "(d)"}
    assert options_of(prompt_of(AnnotatedQuestion(0, "Which?", "a", ("a",), 1.0, ""))) == {"A": "a"}
    assert options_of("Is vitamin (A) shown?") == {}
    assert prompt_of(AnnotatedQuestion(0, "Which?", "b", (), 1.0, "")) == "Which?"
    assert ANSWER_PREFIX.endswith("(")


def test_the_remembered_pair_equals_that_of_the_released_prompts():
    choices = ("a red one", "a blue one")
    prompt = prompt_of(AnnotatedQuestion(0, "Which?", "a red one", choices, 1.0, ""))
    for answer in ("B", "(B)", "B.", "B) a blue one", "a blue one"):
        pair = ("Which?", remembered(answer, choices))
        assert pair[1] == "a blue one"
        assert prompts_of_tiers("l", "g", pair, "released") == prompts_of_tiers("l", "g", (prompt, answer), "released")
    assert remembered("D", choices) == "D"
    assert remembered("B", ()) == "B"


def record(index, correct, *, task="", duration="", path=None, letter="A", **more):
    return {
        "video": index, "question": 0, "id": f"v{index}", "path": path or f"{index}.mp4", "text": f"Q{index}?", "end": None,
        "task": task, "duration": duration, "reference": "x", "choices": ["x", "y"], "truth": "A", "answer": letter or "",
        "letter": letter, "correct": correct, "tokens_read": 100.0, "tokens_read_most": 120, "cache_bytes": 5000,
        "frames": 10, "frames_missing": 0, "times": {"first_token_ms": 10.0 + index, "answer_ms": 20.0, "push_ms": 5.0},
    } | more  # fmt: skip


def results(name, rows, **settings):
    known = {
        "format": 1, "benchmark": name, "annotations": {"file": "a.json", "sha256": "0", "questions": 100}, "model": "m/x",
        "fingerprint": "f", "revision": "0123456789abcdef", "policy": "hermes", "changed": {}, "budget": 6000, "rate": 0.5,
        "guidance": "embedding", "reindexing": "lazy",
    } | settings  # fmt: skip
    machine = {"processor": "a processor", "cores": 2, "gpu": None, "torch": "2.13", "hermes": "1.0"}
    return Results(known, [machine], {(row["video"], row["question"]): row for row in rows})


def groups(name, rows):
    (section,) = summarise_runs([("a.jsonl", results(name, rows))])
    return {group["name"]: group for group in section["runs"][0]["groups"]}


def test_ovo_bench_averages_tasks_within_categories():
    # real-time: ACR 1 of 2, OCR 3 of 3; backward: EPM 0 of 1. The mean over questions is another number.
    tasks = ["ACR"] * 2 + ["OCR"] * 3 + ["EPM"]
    found = groups("ovobench", [record(i, i in (0, 2, 3, 4), task=task) for i, task in enumerate(tasks)])
    assert {name: group["value"] for name, group in found.items()} == {
        "all": 0.6667, "real-time": 0.75, "backward": 0.0, "categories": 0.375,
        "task ACR": 0.5, "task OCR": 1.0, "task EPM": 0.0,
    }  # fmt: skip
    assert [group["n"] for group in found.values()] == [6, 5, 1, 6, 2, 3, 1]
    assert "categories" not in groups("ovobench", [record(0, True, task="EPM")])


def test_mvbench_is_the_mean_of_its_tasks_and_videomme_is_broken_down_by_duration():
    rows = [record(i, i < 3, task=MVBENCH_TASKS[0 if i < 4 else 19]) for i in range(6)]
    found = groups("mvbench", rows)
    assert (found["all"]["value"], found["tasks"]["value"]) == (0.5, 0.375)
    rows = [record(i, i % 2 == 0, task="Counting", duration=("long", "short", "medium")[i % 3]) for i in range(6)]
    assert list(groups("videomme", rows)) == [
        "all",
        "duration short",
        "duration medium",
        "duration long",
        "task Counting",
    ]
    assert list(groups("streamingbench", [record(0, True, task="b"), record(1, True, task="a")]))[1:] == [
        "task a",
        "task b",
    ]


def test_intervals_resample_videos_and_not_questions():
    """Forty questions about two videos, one all right and one all wrong: the interval reaches from 0 to 1."""
    rows = [record(i, i % 2 == 0, path=f"{i % 2}.mp4") for i in range(40)]
    assert (groups("streamingbench", rows)["all"]["low"], groups("streamingbench", rows)["all"]["high"]) == (0, 1)
    rows = [record(i, i % 2 == 0) for i in range(40)]
    assert 0.3 < groups("streamingbench", rows)["all"]["low"] < 0.4


def test_the_interval_of_a_weighted_mean_equals_its_definition():
    generator = np.random.default_rng(0)
    counts = generator.integers(0, 3, (3, 12)).astype(float)
    values = np.floor(counts * generator.random((3, 12)))
    shares, weights = np.array([0.5, 0.25, 0.25]), bootstrap_weights(12, draws=300)
    drawn = [
        sum(share * (w @ v) / (w @ c) for share, v, c in zip(shares, values, counts, strict=True)) for w in weights
    ]
    expected = np.quantile(drawn, (0.025, 0.975))
    assert weighted_ratios_interval(values, counts, shares, weights) == pytest.approx(tuple(expected))


def test_what_is_not_scored_is_counted():
    rows = [
        record(0, True), record(1, False, letter=None), record(2, True, frames_missing=3),
        {k: v for k, v in record(3, None).items() if k not in ("answer", "times")} | {"skipped": "There is no video 3.mp4."},
        record(4, None),
    ]  # fmt: skip
    (section,) = summarise_runs([("run.jsonl", results("egoschema", rows))])
    run = section["runs"][0]
    assert (run["recorded"], run["scored"], run["no_letter"], run["beyond_end"]) == (5, 3, 1, 1)
    assert run["skipped"] == {"There is no video 3.mp4.": 1}
    assert run["groups"][0]["n"] == 3
    assert run["cost"]["first_token_ms"] == 11.5
    text = "\n".join(part.text() if isinstance(part, Table) else part for part in sections_of([section]))
    assert "A: 1 skipped: There is no video 3.mp4." in text
    assert re.search(r"answers without a letter A–H +1 \(25\.0 %\)", text)
    assert "5 of 100" in text
    described = (
        "A: run.jsonl: m/x at 0123456789ab, policy hermes, budget 6,000 tokens per layer, 0.5 frames per second, "
    )
    assert described + "guidance embedding" in text
    assert "a processor, 2 cores, GPU: none" in text


def test_the_egoschema_submission_has_options_from_zero():
    rows = [record(0, None, letter="C"), record(1, None, letter=None), record(2, None, letter="A", id='a,"b')]
    rows.append({k: v for k, v in record(3, None).items() if k not in ("answer", "letter")} | {"skipped": "?"})
    table = list(csv.reader(io.StringIO(submission(results("egoschema", rows)))))
    assert table == [["q_uid", "answer"], ["v0", "2"], ["v1", "0"], ['a,"b', "0"], ["v3", "0"]]


def test_runs_are_paired_where_questions_match():
    first = [record(i, i < 10) for i in range(20)]
    # Another annotation file: the questions 5 to 24 at other positions, the 4 last ones unknown to the first run.
    second = [record(i, i < 15 or i > 19) | {"video": i - 5} for i in range(5, 24)]
    runs = [("a.jsonl", results("streamingbench", first)), ("b.jsonl", results("streamingbench", second, budget=4000))]
    (section,) = summarise_runs(runs)
    (row,) = section["comparisons"]
    assert (row["run"], row["reference"], row["n"]) == ("B", "A", 15)
    assert (row["only_run"], row["only_reference"]) == (5, 0)
    assert row["difference"] == pytest.approx(1 / 3, abs=1e-4)
    assert row["low"] <= row["difference"] <= row["high"]
    assert row["p"] == row["p_holm"] == 0.0625
    assert [run["label"] for run in section["runs"]] == ["A", "B"]
    disjoint = [("a.jsonl", results("streamingbench", first)), ("b.jsonl", results("streamingbench", second[16:]))]
    assert summarise_runs(disjoint)[0]["comparisons"] == []


def test_equal_questions_are_paired_in_their_order():
    """Excerpts contain the same entry several times."""
    same = {"path": "a.mp4", "text": "Q?"}
    first = [record(i, i == 0, **same) for i in range(3)]
    second = [record(i, i < 2, **same) for i in range(3)]
    (section,) = summarise_runs([("a", results("mvbench", first)), ("b", results("mvbench", second))])
    (row, *_) = section["comparisons"]
    assert (row["n"], row["only_run"], row["only_reference"]) == (3, 1, 0)


def test_benchmarks_and_judges_are_never_compared():
    open_ended = [record(i, None, letter=None) | {"choices": []} for i in range(4)]
    runs = [results("streamingbench", [record(0, True)])]
    for judges in (("one", "two"), ("two",)):
        runs.append(results("rvs-ego", open_ended))
        for judge in judges:
            runs[-1].verdicts[judge] = {(i, 0): {"correct": i > 1, "score": i} for i in range(3)}
    runs.append(results("rvs-ego", open_ended))
    sections = summarise_runs([(f"{i}.jsonl", run) for i, run in enumerate(runs)])
    assert [(s["benchmark"], s["judge"], [run["label"] for run in s["runs"]]) for s in sections] == [
        ("streamingbench", "", ["A"]), ("rvs-ego", "one", ["B"]), ("rvs-ego", "two", ["B", "C"]), ("rvs-ego", "", ["D"]),
    ]  # fmt: skip
    run = sections[1]["runs"][0]
    assert (run["groups"][0]["value"], run["score"]["value"], run["unjudged"]) == (0.3333, 1.0, 1)
    assert sections[3]["runs"][0]["groups"] == []
    with pytest.raises(BenchmarkError, match="at most 26"):
        summarise_runs([("x", runs[0])] * 27)


def test_the_report_is_self_contained_and_has_the_numbers():
    first = [record(i, i % 3 > 0, task="ACR" if i < 9 else "EPM") for i in range(18)]
    second = [record(i, i % 3 == 0, task="ACR" if i < 9 else "EPM") for i in range(18)]
    nasty = "<img src=x onerror=alert(1)>.jsonl"
    summary = summarise_runs([("a.jsonl", results("ovobench", first)), (nasty, results("ovobench", second))])
    text = report(summary)
    assert nasty not in text
    assert not re.search(r"<[^>]+\b(src|href)=", text.partition("<script>")[0])
    figures = json.loads(re.search(r'<script id="figures" type="application/json">(.*?)</script>', text, re.DOTALL)[1])
    assert sorted(figures) == ["accuracy-0", "differences-0"] == sorted(re.findall(r'data-figure="([^"]+)"', text))
    line = figures["accuracy-0"]["light"]["data"][0]
    assert line["x"][0] == pytest.approx(66.67)
    for group in summary[0]["runs"][0]["groups"]:
        assert f"{100 * group['value']:.1f} ({100 * group['low']:.1f}–{100 * group['high']:.1f})" in text
    for row in summary[0]["comparisons"]:
        assert f"{100 * row['low']:+.1f} to {100 * row['high']:+.1f}" in text
    assert "0.5 frames per second" in text


def test_a_scripted_responder_is_a_responder():
    """The scripted model of these tests has the methods of the interface."""
    from hermes.benchmarks.responder import SessionResponder  # noqa: PLC0415

    methods = {name for name in vars(SessionResponder) if not name.startswith("_")} - {"describe"}
    assert methods <= set(dir(ScriptedResponder))
    assert set(BENCHMARKS) == {"streamingbench", "ovobench", "rvs-ego", "rvs-movie", "videomme", "mvbench", "egoschema"}
