"""Soak test: measures whether the memory of the process stays constant along a very long stream.

Frames are pushed into the memory of one visitor (`hermes.serving.stream_memory.LiveMemory`: session, token history,
thumbnails), with a snapshot after every chunk as for a viewer. At each checkpoint the resident memory of the process is
measured after a garbage collection.
"""

from __future__ import annotations

import gc
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hermes.backbones.base import Backbone
from hermes.bench.machine import rss_bytes
from hermes.bench.stream import FPS, Frames
from hermes.errors import HermesError
from hermes.serving.stream_memory import LiveMemory, open_session
from hermes.view import StreamSettings

REFERENCE = 5_000
"""Frames after which the memory of the process should stay constant."""


@dataclass(frozen=True)
class Checkpoint:
    """Memory of the process after a number of frames.

    Attributes:
        frames: Frames seen.
        rss_bytes: Resident memory of the process.
        history_bytes: Score records of the token history.
        log_bytes: Times of frames and evictions, which grow by a few bytes per frame.
        frames_per_second: Speed since the previous checkpoint.
    """

    frames: int
    rss_bytes: int
    history_bytes: int
    log_bytes: int
    frames_per_second: float


def checkpoints(frames: int) -> tuple[int, ...]:
    """Return the checkpoints for a stream of `frames` frames: 200, 1,000, 5,000, every 10,000, and the last frame."""
    return tuple(sorted({at for at in (200, 1000, REFERENCE, *range(10_000, frames, 10_000), frames) if at <= frames}))


def soak(
    model: Backbone,
    settings: StreamSettings,
    frames: Frames,
    marks: Sequence[int],
    report: Callable[[Checkpoint], None] = lambda _: None,
) -> list[Checkpoint]:
    """Push one stream past all marks.

    Args:
        model: From `hermes.load`.
        settings: Policy, budget and chunk of the stream.
        frames: Frames to push repeatedly, uint8 [count, height, width, 3].
        marks: Numbers of frames at which to measure, ascending.
        report: Called at each checkpoint.

    Returns:
        The checkpoints.

    Raises:
        HermesError: A setting is invalid for the model, or the policy cannot hold this many frames.
    """
    if not marks or marks[0] < 1:
        raise HermesError("A soak test needs at least one checkpoint, of at least one frame.")
    memory, endless, seen = LiveMemory(open_session(model, settings)), itertools.cycle(frames), 0
    found: list[Checkpoint] = []
    for mark in marks:
        first, began = seen, time.perf_counter()
        while seen < mark:
            count = min(settings.chunk, mark - seen)
            memory.push([(next(endless), (seen + i) / FPS) for i in range(count)])
            memory.publish(force=True)
            seen += count
        speed = (seen - first) / max(time.perf_counter() - began, 1e-9)
        gc.collect()
        session = memory.session
        found.append(Checkpoint(seen, rss_bytes(), session.token_history.nbytes, session.log_bytes, speed))
        report(found[-1])
    memory.close()
    return found


def growth(found: Sequence[Checkpoint]) -> float | None:
    """Memory of the process at the last checkpoint divided by that at frame 5,000; None if one is missing."""
    at = {checkpoint.frames: checkpoint.rss_bytes for checkpoint in found}
    return found[-1].rss_bytes / at[REFERENCE] if REFERENCE in at and found[-1].frames > REFERENCE else None
