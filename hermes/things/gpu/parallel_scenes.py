"""Renders scenes in several processes."""

from __future__ import annotations

import multiprocessing
from contextlib import ExitStack
from dataclasses import fields
from multiprocessing.connection import Connection
from typing import Final

import cv2
import numpy as np
import torch

from hermes.errors import HermesError
from hermes.things.bank import Material, Scenes, render_scenes

BATCH: Final = 200  # scenes that a process renders at once


def render_in_parallel(material: Material, scenes: int, seed: int, workers: int, batch: int = BATCH) -> Scenes:
    """Render scenes in batches. They depend only on the seed and on `batch`, not on the number of processes.

    Args:
        material: Pictures; they are sent once to each process.
        scenes: Number of scenes, rounded up to whole batches.
        seed: Random seed.
        workers: Number of processes.
        batch: Number of scenes per batch.

    Returns:
        The scenes.

    Raises:
        HermesError: A process ended early, for example because memory ran out.
    """
    batches = -(-scenes // batch)
    workers = min(workers, batches)
    context = multiprocessing.get_context("forkserver")
    parts: list[list[np.ndarray]] = []
    with ExitStack() as stack:
        connections: list[Connection] = []
        for worker in range(workers):
            receiver, sender = context.Pipe(duplex=False)
            numbers = range(worker, batches, workers)
            process = context.Process(
                target=_render_batches, args=(sender, material, seed, numbers, batch), daemon=True
            )
            process.start()
            sender.close()
            stack.callback(process.join)
            stack.callback(process.terminate)
            stack.enter_context(receiver)
            connections.append(receiver)
        try:
            for number in range(batches):
                receiver = connections[number % workers]
                parts.append([receiver.recv() for _ in fields(Scenes)])
        except EOFError as error:
            raise HermesError("A process that renders scenes ended early. Is there enough memory?") from error
    return Scenes(*(torch.from_numpy(np.concatenate(column)) for column in zip(*parts, strict=True)))


def _render_batches(sender: Connection, material: Material, seed: int, numbers: range, batch: int) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    for number in numbers:
        scenes = render_scenes(np.random.default_rng([seed, 21, number]), material, batch)
        for field in fields(scenes):
            sender.send(getattr(scenes, field.name).numpy())
