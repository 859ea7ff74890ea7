"""Verdicts on recorded runs: from the file alone, without a model and without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ui.board.evidence import encode_verdict, judge_of

RUNS = Path(__file__).parents[3] / "assets" / "runs"
FIRST = "What was the first card?"


def verdicts(run):
    """Every answer of a bundled run with the verdict on it."""
    judge = judge_of(run.events, None, lambda: run.settings.fps)
    moments = [run.view(answer.asked_seconds + 1.0).snapshot for answer in run.answers]
    return run, [(snapshot, judge(snapshot)) for snapshot in moments if snapshot.answer is not None]


def test_the_run_that_remembers_and_the_run_that_forgets(bundled_runs):
    _, remembered = verdicts(bundled_runs["first-card-hermes"])
    last = [verdict for snapshot, verdict in remembered if snapshot.answer.question == FIRST][-1]
    assert (last.right, last.outcome) == (True, "read")
    _, forgotten = verdicts(bundled_runs["first-card-window"])
    last = [verdict for snapshot, verdict in forgotten if snapshot.answer.question == FIRST][-1]
    assert (last.right, last.outcome, last.tiered) == (False, "evicted", False)


def test_the_evidence_has_its_pictures(bundled_runs):
    run, judged = verdicts(bundled_runs["first-card-hermes"])
    for snapshot, verdict in judged:
        payload = encode_verdict(verdict, snapshot, run.thumbnails)
        assert payload["frames"]
        assert all(frame["jpeg"] for frame in payload["frames"])


def test_no_torch_is_needed():
    code = (
        "import sys; from hermes import trace; from ui.board.evidence import judge_of; "
        f"run = trace.read({str(RUNS / 'first-card-window.hermesrun')!r}); "
        "assert judge_of(run.events)(run.view(61).snapshot).outcome == 'evicted'; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=RUNS.parents[1])
