"""`hermes bench --soak`: measure the memory of the process along one very long stream."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from hermes.cli.model_options import load_model
from hermes.cli.terminal import print_json
from hermes.errors import HermesError
from hermes.tables import Column, Table

if TYPE_CHECKING:
    from hermes.bench.soak import Checkpoint

MAX_FRAMES = 10_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `--soak`."""
    parser.add_argument(
        "--soak",
        type=int,
        metavar="FRAMES",
        help="instead: push this number of frames into one stream and print the memory of the process at checkpoints, and "
        "its ratio to the memory at frame 5,000 (with --policies, --budget and --chunk)",
    )


def run_soak(args: argparse.Namespace) -> int:
    """Measure and print.

    Raises:
        HermesError: An argument is invalid.
    """
    from hermes.bench.machine import describe_machine, load_average  # noqa: PLC0415  (heavy)
    from hermes.bench.soak import checkpoints, growth, soak  # noqa: PLC0415
    from hermes.bench.stream import bench_frames  # noqa: PLC0415
    from hermes.view import StreamSettings  # noqa: PLC0415

    policies = args.policies or ["hermes"]
    if not 1 <= args.soak <= MAX_FRAMES:
        raise HermesError(f"--soak takes a number of frames from 1 to {MAX_FRAMES:,}, not {args.soak}.")
    if len(policies) > 1:
        raise HermesError("--soak measures one policy: memory left by the first would distort the second.")
    settings = StreamSettings(model=args.model, policy=policies[0], budget=args.budget, chunk=args.chunk)
    model = load_model(args)
    about = {"model": model.card.name, "policy": policies[0], "budget": args.budget, "chunk": args.chunk}
    if not args.json:
        print(f"{about['model']}, {about['policy']}, budget {args.budget}, chunks of {args.chunk} frames")
        print(Table(_COLUMNS, ()).text())
    load = load_average()
    found = soak(
        model,
        settings,
        bench_frames(width=args.side),
        checkpoints(args.soak),
        (lambda _: None) if args.json else _print,
    )
    ratio = growth(found)
    if args.json:
        more = {"machine": describe_machine(), "load_before": load, "load_after": load_average(), "growth": ratio}
        print_json({**about, **more, "checkpoints": [asdict(checkpoint) for checkpoint in found]})
        return 0
    if ratio is not None:
        print(f"Memory of the process at the end divided by that at frame 5,000: {ratio:.4f}")
    print(f"Load of the machine (1 minute): {load} before, {load_average()} after.")
    return 0


_COLUMNS: Final = (
    Column("frames", 9), Column("process MB", 12), Column("token history MB", 18), Column("times and evictions MB", 24),
    Column("frames/s", 10),
)  # fmt: skip


def _print(at: Checkpoint) -> None:
    """Print one checkpoint immediately, because a soak test takes hours."""
    row = (
        f"{at.frames:,}",
        f"{at.rss_bytes / 1e6:.1f}",
        f"{at.history_bytes / 1e6:.2f}",
        f"{at.log_bytes / 1e6:.2f}",
        f"{at.frames_per_second:.1f}",
    )
    print(Table(_COLUMNS, ()).line(row), flush=True)
