"""Helpers for tests of published benchmarks: the sample annotations, numbered videos, and a scripted model."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np

from hermes.benchmarks.annotations import read_annotations
from hermes.benchmarks.catalogue import BENCHMARKS
from hermes.benchmarks.responder import TimedReply
from hermes.benchmarks.results import ResultsFile
from hermes.benchmarks.run import answer_here, run_benchmark
from hermes.session.questions import QuestionError

SAMPLES = Path(__file__).parent / "data" / "benchmarks"
SAMPLE_OF = {
    "streamingbench": "streamingbench_realtime.json",
    "ovobench": "ovobench_realtime_backeward.json",
    "rvs-ego": "ego4d_oe.json",
    "rvs-movie": "movienet_oe.json",
    "videomme": "videomme.json",
    "mvbench": "mvbench.json",
}
BITS, SIDE = 12, 8
SETTINGS = {
    "format": 1, "benchmark": "ovobench", "annotations": {"file": "a.json", "sha256": "0", "questions": 4}, "model": "m",
    "fingerprint": "f", "revision": None, "policy": "hermes", "changed": {}, "budget": 4000, "guidance": "embedding",
    "reindexing": "lazy", "rate": 1.0, "chunk": 16, "max_pixels": None,
}  # fmt: skip
ENVIRONMENT = {"processor": "a processor", "cores": 2, "gpu": None, "torch": "2", "hermes": "0"}


def numbered(index: int) -> np.ndarray:
    """A frame that shows its number as a row of black and white squares, uint8 [16, 96, 3]."""
    row = np.repeat([235 if index >> bit & 1 else 16 for bit in range(BITS)], SIDE).astype(np.uint8)
    return np.broadcast_to(row[None, :, None], (16, BITS * SIDE, 3)).copy()


def number_of(frame: np.ndarray) -> int:
    """The number that a frame shows."""
    middle = frame[8, SIDE // 2 :: SIDE].mean(axis=-1) > 125
    return int(sum(1 << bit for bit in np.flatnonzero(middle)))


def write_numbered(path: Path, frames: int, fps: float | Fraction) -> Path:
    """A video file of numbered frames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", rate=Fraction(fps).limit_denominator(1001), options={"preset": "ultrafast"}
        )
        stream.width, stream.height, stream.pix_fmt = BITS * SIDE, 16, "yuv420p"
        for index in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered(index))))
        container.mux(stream.encode(None))
    return path


def write_annotations(path: Path, entries: object) -> Path:
    """An annotation file."""
    path.write_text(json.dumps(entries), encoding="utf-8")
    return path


def choice(end: float | None = 1.0, answer: str = "red", **more: object) -> dict[str, object]:
    """A multiple-choice question as the annotation files have it."""
    timed = {} if end is None else {"end_time": end}
    return {"question": "Which colour?", "choices": ["red", "green", "blue"], "answer": answer, **timed, **more}


class ScriptedResponder:
    """A model that answers from a table and keeps what it was shown.

    Attributes:
        events: In order, ("push", numbers of the frames, times), ("ask", prompt, choices),
            ("remember", question, answer) and ("close",).
    """

    def __init__(self, reply: str | Callable[[str], str] = "A") -> None:
        self.events: list[tuple] = []
        self._reply = reply
        self._frames = 0

    def push(self, frames: Iterable[np.ndarray], times: Iterable[float]) -> None:
        numbers = [number_of(frame) for frame in frames]
        self._frames += len(numbers)
        self.events.append(("push", numbers, list(times)))

    def ask(self, prompt: str, *, choices: bool) -> TimedReply:
        self.events.append(("ask", prompt, choices))
        text = self._reply if isinstance(self._reply, str) else self._reply(prompt)
        if text == "too long":
            raise QuestionError("The question is too long: it has 9999 tokens.")
        return TimedReply(text, 0.01, 0.02, 12.5, 16, 4096, self._frames)

    def remember(self, question: str, answer: str) -> None:
        self.events.append(("remember", question, answer))

    def close(self) -> None:
        self.events.append(("close",))

    def shown(self) -> list[int]:
        """Numbers of all frames so far."""
        return [number for event in self.events if event[0] == "push" for number in event[1]]


def run(folder, annotations, rate=1.0, reply="A", out="run.jsonl", name="ovobench", limit=None):
    """Run a benchmark in a folder with a scripted model; returns its responders and the records."""
    found = read_annotations(annotations, BENCHMARKS[name])
    responders = []

    def new_responder():
        responders.append(ScriptedResponder(reply))
        return responders[-1]

    with ResultsFile(folder / out, SETTINGS | {"benchmark": name, "rate": rate}, ENVIRONMENT) as file:
        answer = partial(answer_here, benchmark=BENCHMARKS[name], folder=folder, rate=rate, new_responder=new_responder)
        run_benchmark(found, file, answer, limit)
        return responders, list(file.results.records.values())
