"""Runs videos of a benchmark in another process, with its own copy of the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
import transformers

import hermes
from hermes.benchmarks.annotations import AnnotatedVideo
from hermes.benchmarks.catalogue import Benchmark
from hermes.benchmarks.responder import PolicySettings, SessionResponder
from hermes.benchmarks.results import Json, Key
from hermes.benchmarks.run import run_video
from hermes.policies import load_plugin


class BenchmarkWorker:
    """Does the jobs of `hermes.benchmarks.run.run_benchmark`."""

    def __init__(
        self,
        benchmark: Benchmark,
        folder: Path,
        rate: float,
        model: str,
        max_pixels: int | None,
        settings: PolicySettings,
        plugins: Sequence[str],
    ) -> None:
        """Load plugins and model; without a GPU, the process uses one thread from then on."""
        if not torch.cuda.is_available():
            torch.set_num_threads(1)
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        for plugin in plugins:
            load_plugin(plugin)
        backbone = hermes.load(model, max_pixels=max_pixels)
        self._new_responder = partial(SessionResponder, backbone, settings, benchmark.reindexing, rate)
        self._benchmark, self._folder, self._rate = benchmark, folder, rate

    def work(self, video: AnnotatedVideo, known: Mapping[Key, Json]) -> Iterator[Json]:
        """Yield the records of a video, see `hermes.benchmarks.run.run_video`."""
        yield from run_video(self._benchmark, video, self._folder, self._rate, self._new_responder, known)
