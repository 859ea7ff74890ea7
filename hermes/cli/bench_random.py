"""`hermes bench --random`: measure a published configuration with random weights and compare it with two bounds."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from hermes.cli.terminal import print_json, print_table
from hermes.tables import Column, Table

if TYPE_CHECKING:
    from hermes.bench.random_weights import Row

GOALS = "Goals: first token at most 2 x its bound and under 30 ms; ingest at least 70 % of the bare prefill."


def run_random(args: argparse.Namespace, report: Callable[[str], None]) -> int:
    """Measure and print.

    Raises:
        HermesError: The model is not listed or does not fit into memory.
    """
    import torch  # noqa: PLC0415  (heavy)

    from hermes.backbones import catalogue, placement  # noqa: PLC0415
    from hermes.backbones.base import NOMINAL_SIZE  # noqa: PLC0415
    from hermes.bench.machine import describe_machine, load_average  # noqa: PLC0415
    from hermes.bench.random_weights import measure, random_model  # noqa: PLC0415
    from hermes.bench.stream import bench_frames  # noqa: PLC0415

    load_before = load_average()
    entry = catalogue.listed(args.random)
    place = placement.choose(None, None, None, torch.bfloat16, entry.weights)
    placement.check_memory(entry.title, entry.weights, place, place.free())
    report(f"creating {entry.title} with random weights")
    model = random_model(entry, place.device, place.dtype)
    if args.max_pixels is not None:
        model.limit_pixels(args.max_pixels)
    marks = [mark for mark in args.frames if mark != DEFAULT_FIRST] or list(args.frames)
    frames = bench_frames(max(64, args.chunk), args.side)
    bandwidth, rows = measure(model, frames, marks, args.budgets, args.chunk, report)
    report("")
    machine = describe_machine()
    if args.json:
        about = {"model": model.card.name, "dtype": str(place.dtype), "machine": machine, "bandwidth": bandwidth}
        about |= {"load_before": load_before, "load_after": load_average()}
        print_json({**about, "rows": [row.as_dict() for row in rows]})
        return 0
    print(
        f"{model.card.name}, {str(place.dtype).removeprefix('torch.')}, {model.tokens_per_frame} tokens per frame, "
        f"frames of {model.layout(*NOMINAL_SIZE).pixels[0]} x {model.layout(*NOMINAL_SIZE).pixels[1]} pixels"
    )
    print(
        f"{machine['gpu'] or machine['processor']}, torch {machine['torch']}; memory bandwidth {bandwidth / 1e9:.0f} GB/s\n"
    )
    print_table(Table(_COLUMNS, [_cells(row) for row in rows]))
    print(f"Load of the machine (1 minute): {load_before} before, {load_average()} after.")
    print(f"\n{GOALS}")
    return 0


DEFAULT_FIRST = 200
"""First default mark of `hermes bench`, which is skipped here: the budgets are not full yet."""

_COLUMNS: Final = (
    Column("budget", 6), Column("frames", 8), Column("kept", 7), Column("first token ms", 16), Column("(eager)", 9),
    Column("bound ms", 10), Column("ratio", 7), Column("ingest frames/s", 17), Column("tower + prefill", 17),
    Column("share", 7), Column("bare prefill", 14), Column("share", 7), Column("process MB", 12),
)  # fmt: skip


def _cells(row: Row) -> tuple[str, ...]:
    return (
        f"{row.budget:,}",
        f"{row.frames:,}",
        f"{row.kept:,}",
        f"{row.first_token_ms:.1f}",
        "-" if row.first_token_eager_ms is None else f"{row.first_token_eager_ms:.1f}",
        f"{row.first_token_bound_ms:.1f}",
        f"{row.first_token_ratio:.1f}",
        f"{row.ingest_fps:.1f}",
        f"{row.encode_fps:.1f}",
        f"{row.encode_share:.0%}",
        f"{row.prefill_fps:.1f}",
        f"{row.ingest_share:.0%}",
        f"{row.rss_bytes / 1e6:,.0f}",
    )
