"""Stream a video file, ask a question, and print what the memory holds.

python examples/stream_a_file.py [VIDEO] [QUESTION]

In a clone without `pip install -e .`, set PYTHONPATH=. to find the library.
"""

import sys

import numpy as np

import hermes
from hermes.assets import CLIPS
from hermes.video import sample


def main(video: str = str(CLIPS / "first-card.webm"), question: str = "What was the first card?") -> str:
    """Return the answer."""
    model = hermes.load("pocket")
    session = hermes.StreamSession(model, policy="hermes", budget=256)
    with sample(video, 2.0) as frames:  # two frames a second
        for frame, seconds in frames:
            session.push(frame[np.newaxis], [seconds])
    answer = "".join(session.ask(question))
    snapshot = session.snapshot()
    print(f"{question} {answer}")
    print(f"{snapshot.tokens_seen:,} tokens a layer seen, {snapshot.kept_per_layer.max():,} held")
    return answer


if __name__ == "__main__":
    main(*sys.argv[1:])
