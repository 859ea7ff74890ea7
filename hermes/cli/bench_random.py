"""The part of `bench` that measures a real configuration with random weights, and prints it beside two bounds."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from hermes.cli.terminal import print_json

if TYPE_CHECKING:
    from hermes.bench.random_weights import Row

GOALS = "Goals: first token at most 2 x its bound and under 30 ms; ingest at least 70 % of the bare prefill."


def run_random(args: argparse.Namespace, report: Callable[[str], None]) -> int:
    """Measure and print; raises HermesError where the model is not listed or does not fit."""
    import torch  # noqa: PLC0415  (heavy)

    from hermes.backbones import catalogue, placement  # noqa: PLC0415
    from hermes.bench.machine import describe_machine  # noqa: PLC0415
    from hermes.bench.random_weights import measure, random_model  # noqa: PLC0415
    from hermes.bench.stream import bench_frames  # noqa: PLC0415

    entry = catalogue.listed(args.random)
    place = placement.choose(None, None, None, torch.bfloat16, entry.weights)
    placement.check_memory(entry.title, entry.weights, place, place.free())
    report(f"making {entry.title} with random weights")
    model = random_model(entry, place.device, place.dtype)
    marks = [mark for mark in args.frames if mark != DEFAULT_FIRST] or list(args.frames)
    bandwidth, rows = measure(model, bench_frames(max(64, args.chunk)), marks, args.budgets, args.chunk, report)
    report("")
    machine = describe_machine()
    if args.json:
        about = {"model": model.card.name, "dtype": str(place.dtype), "machine": machine, "bandwidth": bandwidth}
        print_json({**about, "rows": [row.as_dict() for row in rows]})
        return 0
    print(f"{model.card.name}, {str(place.dtype).removeprefix('torch.')}, {model.tokens_per_frame} tokens a frame")
    print(
        f"{machine['gpu'] or machine['processor']}, torch {machine['torch']}; memory bandwidth {bandwidth / 1e9:.0f} GB/s\n"
    )
    print("budget  frames   kept  first token ms  bound ms  ratio  ingest frames/s  bare prefill  share")
    for row in rows:
        print(line(row))
    print(f"\n{GOALS}")
    return 0


DEFAULT_FIRST = 200
"""The first mark of the other bench, at which these budgets are not full yet."""


def line(row: Row) -> str:
    """A row of the table."""
    return (
        f"{row.budget:>6,} {row.frames:>7,} {row.kept:>6,} {row.first_token_ms:>15.1f} {row.first_token_bound_ms:>9.1f} "
        f"{row.first_token_ratio:>6.1f} {row.ingest_fps:>16.1f} {row.prefill_fps:>13.1f} {row.ingest_share:>6.0%}"
    )
