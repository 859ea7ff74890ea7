"""Measure the time to first token of methods side by side, by the place in which they answer.

    python tests/measure_first_token.py --runs 6

Every run plays a clip at full speed into fresh memories, then asks questions. The first question of a run is reported
separately: before it, each method has only seen frames. Prints medians in milliseconds, and the ratio of the first method to
the second. Another stream plays in the same engine meanwhile, as on a page with visitors.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

from hermes.bench.machine import machine_sentence
from hermes.lab.side_by_side import SideBySide
from hermes.serving.engine import Engine, StreamSettings

CLIPS = Path(__file__).parents[1] / "assets" / "clips"
QUESTIONS = ("What was the first card?", "What is shown now?", "How many cards were shown?", "What was the first card?")


def wait(condition):
    while not condition():
        time.sleep(0.01)


def times_of(engine, policies, budget):
    """Times to first token of one run in milliseconds: a list per question, one value per method."""
    other = SideBySide(engine, StreamSettings(budget=budget, speed=float("inf")), policies)
    side = SideBySide(engine, StreamSettings(budget=budget, fps=0.5, speed=float("inf")), policies)
    try:
        engine.enter(other)
        other.play(CLIPS / "half-hour.webm")
        engine.enter(side)
        side.play(CLIPS / "quick-tour.webm")
        wait(lambda: side.view().state == "ended" and not side.has_work())
        found = []
        for question in QUESTIONS:
            side.ask(question)
            wait(lambda: not side.view().answering)
            found.append([lane.first_token_ms for lane in side.view().lanes])
        return found
    finally:
        side.close()
        other.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--budget", type=int, default=128)
    parser.add_argument("--policies", nargs="+", default=["hermes", "sliding-window"])
    options = parser.parse_args()
    engine = Engine()
    engine.load("pocket")
    sys.stdout.write(f"{machine_sentence()}\n")
    for policies in (options.policies, options.policies[::-1]):
        runs = [times_of(engine, policies, options.budget) for _ in range(options.runs)]
        for name, rows in (
            ("first question of each run", [run[0] for run in runs]),
            ("all questions", [row for run in runs for row in run]),
        ):
            medians = [statistics.median(column) for column in zip(*rows, strict=True)]
            shown = ", ".join(f"{policy} {value:.1f} ms" for policy, value in zip(policies, medians, strict=True))
            sys.stdout.write(f"{name}: {shown}; ratio {medians[0] / medians[1]:.2f}\n")
    engine.close()


if __name__ == "__main__":
    main()
