"""Full evaluation of the pocket model: many setups, measured in parallel processes and written as JSON and model card."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

import hermes
from hermes.assets import HELD_OUT_PHOTOGRAPHS
from hermes.cards.backgrounds import SIDE
from hermes.cards.photographs import read_photographs
from hermes.cards.world import render_stream
from hermes.eval.attention import draw_attention, measure_attention
from hermes.eval.pocket import evaluate
from hermes.eval.scoring import Setup
from hermes.eval.speed import measure_speed
from hermes.files.output import write_text

RESULTS: Final = "evaluation.json"
FIGURE: Final = "attention.svg"
BUDGETS: Final = (128, 256, 512)
# Global guidance prompts to compare, including the one in hermes.json.
PROMPTS: Final = (
    "What was shown so far?",
    "List all cards.",
    "What was the first card?",
    "How many cards were shown?",
    "What is shown now?",
    "red orange yellow green blue purple white black circle square triangle star cross",
)


@dataclass(frozen=True)
class Job:
    """One measurement: the group of its result, its setup and its inputs."""

    group: str
    setup: Setup
    prompt: str | None = None
    photos: Path | None = None
    parts: tuple[int, int] = field(default=(0, 1))


def plan(scale: float, photos: Path = HELD_OUT_PHOTOGRAPHS) -> list[Job]:
    """Return all measurements, most important first.

    Args:
        scale: Fraction of the full number of streams.
        photos: Folder of photographs to use as backgrounds.
    """

    def some(streams: int) -> int:
        return max(2, round(streams * scale))

    jobs = [Job("fixed", Setup(24, 64, 0)), Job("full", Setup(some(200), 64, 1))]
    jobs += [
        Job("policies", Setup(some(40), 128, 2, policy, budget))
        for budget in BUDGETS
        for policy in ("hermes", "sliding-window")
    ]
    jobs += [Job("policies", Setup(some(40), 128, 2)), Job("full", Setup(some(64), 128, 1))]
    jobs += [Job("prompts", Setup(some(20), 128, 50, "hermes", 256), prompt) for prompt in PROMPTS]
    jobs.append(Job("full", Setup(some(32), 256, 1)))
    jobs += [Job("backgrounds", Setup(some(48), 64, 1, background=name)) for name in ("photographic", "held-out")]
    jobs.append(Job("backgrounds", Setup(some(48), 64, 1, background="photo"), photos=photos))
    jobs.append(Job("policies", Setup(some(40), 128, 2, "hermes", 256, "embedding")))
    return jobs


def _measure(folder: Path, job: Job) -> tuple[str, dict[str, Any]]:
    torch.set_num_threads(1)
    model = hermes.load(folder, device="cpu")
    if job.prompt is not None:
        model.card = replace(model.card, guidance={**model.card.guidance, "global": job.prompt})
    pictures = read_photographs(job.photos, SIDE) if job.photos else []
    return job.group, evaluate(model, job.setup, pictures)


def _measure_speed(folder: Path, threads: int = 1) -> dict[str, float]:
    """Measure the ingest rate and the time to first token at 4,096 cached tokens."""
    torch.set_num_threads(threads)
    model = hermes.load(folder, device="cpu")
    rate, first = measure_speed(model, render_stream(1, 256, size=384), 32, "What was the first card?")
    return {"threads": threads, "frames_per_second": rate, "first_token_ms_at_4096_tokens": first}


def report(
    folder: Path, scale: float, workers: int, progress: Callable[[str], None], photos: Path = HELD_OUT_PHOTOGRAPHS
) -> dict[str, Any]:
    """Measure everything and write `evaluation.json` and `attention.svg` into the folder, as results come in.

    Args:
        folder: Model folder.
        scale: Fraction of the full number of streams.
        workers: Number of processes, of one thread each.
        progress: Called with a one-line message for each measurement.
        photos: Folder of photographs to use as backgrounds.
    """
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    found: dict[str, Any] = {
        "model_sha256": digest,
        "machine": f"{os.cpu_count()} CPU cores, {platform.machine()}, torch {torch.__version__}",
        "results": {},
    }
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        waiting = {pool.submit(_measure, folder, job): job for job in plan(scale, photos)}
        for future in as_completed(waiting):
            group, result = future.result()
            found["results"].setdefault(group, []).append(result)
            write_text(folder / RESULTS, json.dumps(found, indent=1) + "\n")
            progress(headline(group, result))
    torch.set_num_threads(1)
    model = hermes.load(folder, device="cpu")
    setup = Setup(max(2, round(16 * scale)), 128, 3)
    found["attention"] = measure_attention(model, setup)
    title = f"Attention of the pocket model: {setup.streams} streams of {setup.frames} frames, full cache"
    write_text(folder / FIGURE, draw_attention(found["attention"], title))
    found["speed"] = _measure_speed(folder)
    write_text(folder / RESULTS, json.dumps(found, indent=1) + "\n")
    return found


def headline(group: str, result: dict[str, Any]) -> str:
    """Summarise a measurement in one line."""
    kinds = " ".join(f"{name} {row['accuracy']:.2f}" for name, row in result["kinds"].items())
    return f"{group}: {describe(result['setup'])}: {kinds}"


def describe(setup: dict[str, Any]) -> str:
    """Describe a setup in words."""
    parts = [f"{setup['streams']} x {setup['frames']} frames", setup["policy"]]
    parts += [str(setup[name]) for name in ("budget", "guidance") if setup[name]]
    if setup["background"] not in ("calm", "trained"):  # older reports use "trained" for calm
        parts.append(f"{setup['background']} backgrounds")
    return ", ".join(parts)


def memory_mean(result: dict[str, Any]) -> float:
    """Return the mean accuracy of the kinds that need the past."""
    kinds = result["kinds"]
    return float(
        np.mean([kinds[k]["accuracy"] for k in ("first", "exists", "after", "attribute", "place") if k in kinds])
    )


def rows_of(results: dict[str, Any], group: str) -> Iterator[dict[str, Any]]:
    """Yield the measurements of a group in a stable order."""
    order: Sequence[dict[str, Any]] = results.get(group, [])
    yield from sorted(order, key=lambda r: (r["setup"]["frames"], r["setup"]["budget"] or 0, str(r["setup"])))
