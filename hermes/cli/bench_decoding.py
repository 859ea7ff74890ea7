"""`hermes bench --decoding`: measure what the separate decoder process costs."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Final

from hermes.cli.terminal import print_json, print_table
from hermes.errors import HermesError
from hermes.tables import Column, Table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `--decoding`."""
    parser.add_argument(
        "--decoding",
        action="store_true",
        help="instead: decode a generated 720p clip in this process and in a decoder process, and compare (with --rounds)",
    )


def run_decoding(args: argparse.Namespace) -> int:
    """Measure and print.

    Raises:
        HermesError: An argument is invalid, or no decoder process can be started.
    """
    from hermes.bench.decoding import SECONDS, measure_decoding  # noqa: PLC0415  (heavy)
    from hermes.bench.machine import describe_machine, load_average  # noqa: PLC0415

    if args.rounds < 1:
        raise HermesError(f"--rounds takes a number from 1, not {args.rounds}.")
    load = load_average()
    results = measure_decoding(args.rounds)
    if args.json:
        more = {"machine": describe_machine(), "load_before": load, "load_after": load_average()}
        print_json({"rounds": args.rounds, **more, "decoding": [asdict(result) for result in results]})
        return 0
    print(f"{SECONDS} s of H.264, 1280 x 720 at 30 fps; medians of {args.rounds} rounds")
    rows = [
        (
            f"{result.fps:g}",
            f"{result.frames:,}",
            f"{result.here_seconds:.3f}",
            f"{result.process_seconds:.3f}",
            f"{result.ratio:.2f}",
            f"{result.first_frame_ms:.0f}",
        )
        for result in results
    ]
    print_table(Table(_COLUMNS, rows))
    print(f"Load of the machine (1 minute): {load} before, {load_average()} after.")
    return 0


_COLUMNS: Final = (
    Column("sampled fps", 12), Column("frames", 8), Column("in this process s", 19), Column("in a decoder process s", 24),
    Column("ratio", 7), Column("first frame ms", 16),
)  # fmt: skip
