"""The bench: its measurements are consistent. No test asserts a time."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from hermes.bench.decoding import measure_decoding
from hermes.bench.stream import Mark, PolicyBench, bench_frames, bench_policy
from hermes.cli import main
from hermes.errors import HermesError


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(0).integers(0, 256, (16, 24, 32, 3), np.uint8)


@pytest.mark.parametrize("policy", ["hermes", "sliding-window"])
def test_a_budget_is_reached_and_held(tiny_model, frames, policy):
    per_frame = tiny_model.tokens_per_frame
    budget = 10 * per_frame
    result = bench_policy(tiny_model, policy, frames, marks=(40, 8, 24), budget=budget, chunk=8, rounds=2)
    assert [mark.frames for mark in result.marks] == [8, 24, 40]
    assert [mark.kept for mark in result.marks] == [8 * per_frame, budget, budget]
    assert result.marks[1].cache_bytes == result.marks[2].cache_bytes
    # the prompt is part of both; five times as many frames, then, take nearly five times as much
    assert result.marks[2].full_cache_bytes > 2 * result.marks[0].full_cache_bytes
    assert result.marks[0].full_cache_bytes == result.marks[0].cache_bytes
    for mark in result.marks:
        assert mark.ingest_fps > 0
        assert math.isfinite(mark.first_token_ms)
        assert mark.management_share >= 0
        assert mark.rss_bytes > 10_000_000
    assert result.stopped_at is None
    assert result.flatness["cache_bytes"] == result.marks[2].cache_bytes / result.marks[0].cache_bytes
    assert (result.guidance is None) == (policy == "sliding-window")


def test_a_policy_that_cannot_continue_reports_where_and_why(short_range_model, frames):
    most = short_range_model.max_positions // short_range_model.tokens_per_frame
    result = bench_policy(short_range_model, "full", frames, marks=(16, 10 * most), chunk=16, rounds=1)
    assert [mark.frames for mark in result.marks] == [16]
    assert 16 < result.stopped_at <= most
    assert "memory is full" in result.reason
    assert (result.budget, result.flatness) == (None, None)


def test_flatness_is_last_over_first():
    marks = [Mark(200, 50.0, 10.0, 0.1, 1, 100, 100, 1000), Mark(1000, 40.0, 12.0, 0.1, 1, 100, 500, 1500)]
    assert PolicyBench("hermes", 1, None, marks).flatness == {
        "ingest_fps": 0.8, "first_token_ms": 1.2, "cache_bytes": 1.0, "rss_bytes": 1.5,
    }  # fmt: skip


def test_bad_settings(tiny_model, frames):
    for settings in ({"marks": ()}, {"marks": (4,), "chunk": 8}, {"rounds": 0}):
        with pytest.raises(HermesError, match="A bench needs"):
            bench_policy(tiny_model, "hermes", frames, **settings)


def test_frames_are_pictures_of_the_size_asked_for():
    pictures = bench_frames(4, 64, 48)
    assert (pictures.shape, pictures.dtype) == ((4, 48, 64, 3), np.uint8)
    assert pictures.std() > 5


def test_command_as_json(capsys, tiny_folder):
    arguments = ["--model", str(tiny_folder), "--frames", "16,32", "--budget", "60", "--rounds", "1", "--json"]
    assert main(["bench", *arguments]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [policy["policy"] for policy in report["policies"]] == ["hermes", "full", "sliding-window"]
    assert all([mark["frames"] for mark in policy["marks"]] == [16, 32] for policy in report["policies"])
    assert report["machine"]["cores"] >= 1
    assert report["machine"]["torch"]


def test_command_as_table(capsys, tiny_folder):
    arguments = [
        "--model",
        str(tiny_folder),
        "--frames",
        "16,32",
        "--budget",
        "60",
        "--rounds",
        "1",
        "--policies",
        "hermes",
    ]
    assert main(["bench", *arguments]) == 0
    printed = capsys.readouterr().out
    assert "hermes (budget 60, guidance forward)" in printed
    assert "last over first: ingest_fps" in printed


@pytest.mark.parametrize(
    "arguments", [["--policies", "magic"], ["--threads", "0"], ["--budget", "0", "--frames", "16"], ["--rounds", "0"]]
)
def test_command_refuses(capsys, tiny_folder, arguments):
    assert main(["bench", "--model", str(tiny_folder), *arguments]) == 2
    assert capsys.readouterr().err.startswith("hermes: error: ")


def test_decoding_is_measured_at_two_rates():
    slow, full = measure_decoding(rounds=1, seconds=1)
    assert [(result.fps, result.frames) for result in (slow, full)] == [(2.0, 2), (30.0, 30)]
    for result in (slow, full):
        assert result.ratio == result.process_seconds / result.here_seconds
        assert 0 < result.first_frame_ms < 1000 * result.process_seconds
