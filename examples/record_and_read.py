"""Record a run of a bundled clip to a file, then read it back without a model.

python examples/record_and_read.py [FILE]

In a clone without `pip install -e .`, set PYTHONPATH=. to find the library.
"""

import sys
from pathlib import Path

import hermes
from hermes.recording import describe, find_clip, record
from hermes.serving.clip_run import PlannedQuestion
from hermes.trace import Recorder, read
from hermes.view import StreamSettings


def main(path: str = "first-card.hermesrun") -> str:
    """Return the recorded answer."""
    model = hermes.load("pocket")
    clip = find_clip("first-card")
    settings = StreamSettings(policy="hermes", budget=256, chunk=4, speed=float("inf"))
    recorder = Recorder()
    turns = record(model, clip, settings, [PlannedQuestion("What was the first card?", 60.0)], recorder)
    recorder.write(Path(path), describe(model, settings, clip, turns))

    run = read(path)  # needs neither the model nor torch
    for turn in run.chat:
        print(f"{turn.at:.0f} s: {turn.question} {turn.answer} (true answer: {turn.truth})")
    snapshot = run.view(30.0).snapshot
    print(f"after 30 s each layer held {snapshot.kept_per_layer.tolist()} tokens")
    return run.chat[0].answer


if __name__ == "__main__":
    main(*sys.argv[1:])
