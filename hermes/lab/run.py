"""Runs a lab plan in worker processes; each measurement is stored as soon as it arrives."""

from __future__ import annotations

import multiprocessing
import queue
import signal
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import transformers

import hermes
from hermes.backbones.base import Backbone
from hermes.lab.measure import describe_task, make_task, measure
from hermes.lab.plan import Cell, LabError, LabPlan
from hermes.lab.seen_once import SeenOnce
from hermes.lab.store import Store
from hermes.policies import load_plugin, loaded_plugins
from hermes.ray_workers import RayCluster

Todo = tuple[int, tuple[Cell, ...]]
"""A stream and the cells that remain to be measured on it."""


def run_plan(
    plan: LabPlan,
    backbone: Backbone,
    store: Store,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
    cluster: RayCluster | None = None,
) -> None:
    """Measure everything in a plan that the store does not contain yet.

    Args:
        plan: The plan.
        backbone: The model, for measurements in this process.
        store: Stores the measurements.
        workers: Number of processes with one thread each; 1: measure in this process.
        progress: Called with the number of completed measurements and the total.
        cluster: Measure on this many actors of a Ray cluster instead of in processes.

    Raises:
        LabError: The workers ended early; completed measurements are stored.
        FailedError: An actor ended early; completed measurements are stored.
    """
    todo = missing(plan, store)
    total = plan.streams * len(plan.cells)
    done = total - sum(len(cells) for _, cells in todo)
    if progress:
        progress(done, total)
    if not todo:
        return
    if cluster is not None:
        records = cluster.run(LabWorker, (plan, loaded_plugins()), todo, workers)
    else:
        records = _alone(plan, backbone, todo) if workers == 1 else _together(plan, todo, workers)
    for record in records:
        store.add(record)
        if "questions" not in record:
            done += 1
            if progress:
                progress(done, total)


def missing(plan: LabPlan, store: Store) -> list[Todo]:
    """Return the missing measurements grouped by stream, so that each stream is rendered once."""
    open_cells = (
        (index, tuple(cell for cell in plan.cells if (index, cell) not in store.found)) for index in range(plan.streams)
    )
    return [(index, cells) for index, cells in open_cells if cells]


def _alone(plan: LabPlan, backbone: Backbone, todo: Sequence[Todo]) -> Iterator[dict[str, Any]]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # for reproducible sums
    try:
        for index, cells in todo:
            yield from _measure_stream(plan, backbone, index, cells)
    finally:
        torch.set_num_threads(threads)


def _measure_stream(plan: LabPlan, backbone: Backbone, index: int, cells: Sequence[Cell]) -> Iterator[dict[str, Any]]:
    task = make_task(plan, index)
    yield describe_task(task)
    seen = SeenOnce(backbone)
    for cell in cells:
        yield measure(backbone, task, cell, seen)


def _together(plan: LabPlan, todo: Sequence[Todo], workers: int) -> Iterator[dict[str, Any]]:
    context = multiprocessing.get_context("spawn")
    tasks, results = context.Queue(), context.Queue()
    for item in todo:
        tasks.put(item)
    processes = [
        context.Process(target=_work, args=(plan, loaded_plugins(), tasks, results), daemon=True)
        for _ in range(workers)
    ]
    for process in processes:
        tasks.put(None)
        process.start()
    left = sum(len(cells) for _, cells in todo)
    try:
        while left:
            try:
                record = results.get(timeout=1)
            except queue.Empty:
                if results.empty() and not any(process.is_alive() for process in processes):
                    raise LabError("The worker processes ended early; run the command again to continue.") from None
                continue
            left -= "questions" not in record
            yield record
    finally:
        for process in processes:
            process.terminate()


class LabWorker:
    """Measures streams with its own copy of the model."""

    def __init__(self, plan: LabPlan, plugins: Sequence[str]) -> None:
        """Load plugins and model; the process uses one thread from then on."""
        torch.set_num_threads(1)  # for reproducible sums
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        for plugin in plugins:
            load_plugin(plugin)
        self._plan, self._backbone = plan, hermes.load(plan.model)

    def work(self, index: int, cells: Sequence[Cell]) -> Iterator[dict[str, Any]]:
        """Yield the task of a stream and its measurements."""
        yield from _measure_stream(self._plan, self._backbone, index, cells)


def _work(plan: LabPlan, plugins: Sequence[str], tasks: Any, results: Any) -> None:
    """Run in a worker process: measure streams until none are left or the parent has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted too and terminates its workers
    worker = LabWorker(plan, plugins)
    parent = multiprocessing.parent_process()
    while (item := tasks.get()) is not None:
        for record in worker.work(*item):
            results.put(record)
            if parent is not None and not parent.is_alive():
                return
