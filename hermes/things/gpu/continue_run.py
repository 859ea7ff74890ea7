"""Continues a finished training run on a GPU: tunes the whole tower, then trains the decoder on what it recognises."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Final

import torch

from hermes.errors import HermesError
from hermes.pocket.clock import save_state
from hermes.pocket.train_decoder import TrainingDevice, train_decoder
from hermes.things.bank import Scenes, encode_scenes
from hermes.things.decoder import OBJECTS_LONG, OBJECTS_SEEN, object_world
from hermes.things.gpu.parallel_scenes import render_in_parallel
from hermes.things.gpu.tune_tower import interpolate, tune
from hermes.things.train import TUNED, assemble, encode_bank, training_material, write

log = logging.getLogger(__name__)

SCENES: Final = 60_000
TUNING: Final = 0.45  # share of the time; the decoder takes the rest
TUNED_SHARE: Final = 0.6  # of the tuned weights in the result; chosen on half of the held-out pictures
ENCODED: Final = 45_000  # scenes from which the decoder learns
STREAMS: Final = 4  # multiple of the number of streams in a batch of the decoder


def continue_run(
    run: Path,
    out: Path,
    data: Path,
    minutes: float,
    seed: int,
    device: torch.device,
    progress: Callable[[str], None],
    scenes: int = SCENES,
) -> Path:
    """Continue a run of `hermes.things.train.train` and write the model folder.

    Args:
        run: Folder of the finished run.
        out: Model folder to write.
        data: Folder of the unpacked packages.
        minutes: Time for training, without rendering.
        seed: Random seed of frames and batches.
        device: The GPU.
        progress: Called from time to time with a one-line message.
        scenes: Number of scenes to render.

    Returns:
        `out`.

    Raises:
        HermesError: The run has not been trained to its end.
    """
    before = run / f"{OBJECTS_SEEN.name}.pt"
    if not before.exists():
        raise HermesError(f"{run} has no finished training; train without --device first, then continue on the GPU.")
    workers = max((os.cpu_count() or 2) - 1, 1)
    model, _ = assemble(run, data, seed)
    tower = model.model.vision_tower
    progress(f"rendering {scenes:,} scenes with {workers} processes")
    rendered = render_in_parallel(training_material(data, tower), scenes, seed, workers)
    tower.to(device)
    first = {name: value.detach().cpu() for name, value in tower.state_dict().items()}
    began = time.monotonic()
    tuned = interpolate(first, tune(run, tower, rendered, minutes * 60 * TUNING, seed, progress), TUNED_SHARE)
    progress(f"tuned for {time.monotonic() - began:.0f} s")
    save_state(run / TUNED, tower=tuned)
    tower.load_state_dict(tuned)
    model.model.to(device)
    some = Scenes(*(getattr(rendered, field.name)[-ENCODED:] for field in fields(rendered)))
    seen = encode_bank(model, encode_scenes(tower.features, some, 500))
    where = TrainingDevice(device, min(workers, 12), STREAMS)
    train_decoder(run, OBJECTS_LONG, minutes * (1 - TUNING), seed, seen, before, object_world(), where)
    return write(run, out, data, seed, progress)
