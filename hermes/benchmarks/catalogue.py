"""The published benchmarks and what distinguishes them."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from hermes.errors import HermesError

TaskSource = Literal["conversation", "video", "file order", "none"]
"""Where the task of a question is stated: with the question, with its video, by the position in the file, or nowhere."""


class BenchmarkError(HermesError):
    """Invalid arguments, annotations or results of a published benchmark."""


@dataclass(frozen=True)
class Benchmark:
    """A published benchmark.

    Attributes:
        name: Identifier on the command line.
        title: Display name.
        streaming: Whether questions are asked while the video runs, at their `end_time`. Otherwise at its end.
        choices: Whether questions are multiple choice. Otherwise they are open-ended and need a judge.
        tasks: Where the task of a question is stated.
        task_field: Name of the field that states it.
        answers_hidden: Whether `answer` may be null because the answers are not public.
        categories: Category -> its tasks. The accuracy of a category is the unweighted mean of its tasks.
    """

    name: str
    title: str
    streaming: bool
    choices: bool = True
    tasks: TaskSource = "none"
    task_field: str = ""
    answers_hidden: bool = False
    categories: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def reindexing(self) -> Literal["lazy", "eager"]:
        """How positions are compacted, as published: lazy for streams, eager for whole videos."""
        return "lazy" if self.streaming else "eager"


MVBENCH_TASKS: Final = (
    "action antonym",
    "action count",
    "action localization",
    "action prediction",
    "action sequence",
    "character order",
    "counterfactual inference",
    "egocentric navigation",
    "episodic reasoning",
    "fine-grained action",
    "fine-grained pose",
    "moving attribute",
    "moving count",
    "moving direction",
    "object existence",
    "object interaction",
    "object shuffle",
    "scene transition",
    "state change",
    "unexpected action",
)
"""The tasks of MVBench in the order of its annotation file, `MVBENCH_BLOCK` videos each; the file does not name them."""
MVBENCH_BLOCK: Final = 200

_OVO: Final = (
    ("real-time", ("ACR", "ATR", "OJR", "STU", "OCR", "FPD")),
    ("backward", ("EPM", "HLD", "ASI")),
)

BENCHMARKS: Final = MappingProxyType(
    {
        benchmark.name: benchmark
        for benchmark in (
            Benchmark("streamingbench", "StreamingBench, real-time", True, tasks="conversation", task_field="task"),
            Benchmark("ovobench", "OVO-Bench, real-time and backward", True, True, "video", "task", categories=_OVO),
            Benchmark("rvs-ego", "RVS-Ego", True, choices=False),
            Benchmark("rvs-movie", "RVS-Movie", True, choices=False),
            Benchmark("videomme", "VideoMME, without subtitles", False, tasks="conversation", task_field="question_type"),
            Benchmark("mvbench", "MVBench", False, tasks="file order"),
            Benchmark("egoschema", "EgoSchema", False, answers_hidden=True),
        )
    }
)  # fmt: skip


def benchmark_of(name: str) -> Benchmark:
    """Return a benchmark by name.

    Raises:
        BenchmarkError: There is none with that name.
    """
    if name not in BENCHMARKS:
        raise BenchmarkError(f"There is no benchmark “{name}”. Available: {', '.join(BENCHMARKS)}.")
    return BENCHMARKS[name]
