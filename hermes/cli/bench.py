"""Measure speed and memory of the policies on this machine, and whether they stay constant along a stream.

At each number of frames: ingest speed (preprocessing included), time to first token, cost of memory management and size
of the memory, as medians over interleaved rounds. With --visitors N, a server is started and N clients use it over HTTP:
each streams a clip, receives up to four updates per second and asks a question every ten seconds. With --soak FRAMES, one
long stream is pushed and the memory of the process is printed at checkpoints. With --decoding, decoding a video in a
separate process is compared with decoding in this process. Close other programs for reliable measurements.
"""

from __future__ import annotations

import argparse
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

from hermes.bench.machine import load_average
from hermes.cli import bench_decoding, bench_soak, bench_visitors
from hermes.cli.model_options import add_max_pixels, add_model, load_model
from hermes.cli.progress import StatusLine
from hermes.cli.terminal import print_json, print_table
from hermes.errors import HermesError
from hermes.tables import Column, Table

if TYPE_CHECKING:
    from hermes.bench.stream import PolicyBench

DEFAULT_BUDGET: Final = 512
"""Small enough to be full at frame 200 with the pocket model, so that later marks can be compared with that one."""

FRAME_WIDTH: Final = 448

DEFAULT_POLICIES: Final = ("hermes", "full", "sliding-window")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add_model(parser)
    add_max_pixels(parser)
    parser.add_argument(
        "--policies", nargs="+", metavar="NAME", help=f"which policies (default: {' '.join(DEFAULT_POLICIES)})"
    )
    parser.add_argument(
        "--budget", type=int, default=DEFAULT_BUDGET, help="tokens a layer may hold (default: %(default)s)"
    )
    parser.add_argument("--frames", type=_numbers, default=(200, 1000, 10_000), help="marks (default: 200,1000,10000)")
    parser.add_argument(
        "--side", type=_side, default=FRAME_WIDTH, metavar="PIXELS",
        help="width of the rendered 4:3 frames, 64 to 4,096 (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--chunk", type=int, default=16, help="frames per chunk (default: %(default)s)")
    parser.add_argument(
        "--random",
        metavar="NAME",
        help="instead: a listed model (see the command models) with random weights, compared with two bounds",
    )
    parser.add_argument("--budgets", type=_numbers, default=(4000, 6000), help="with --random (default: 4000,6000)")
    bench_visitors.add_arguments(parser)
    bench_soak.add_arguments(parser)
    bench_decoding.add_arguments(parser)
    parser.add_argument("--rounds", type=int, default=10, help="measured rounds (default: %(default)s)")
    parser.add_argument("--threads", type=int, help="threads of torch (default: torch's choice)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    if args.visitors is not None:
        with closing(StatusLine()) as status:
            return bench_visitors.run_visitors(args, status)
    if args.decoding:
        return bench_decoding.run_decoding(args)
    import torch  # noqa: PLC0415  (heavy)

    import hermes  # noqa: PLC0415
    from hermes.bench.machine import describe_machine  # noqa: PLC0415
    from hermes.bench.stream import bench_frames, bench_policy  # noqa: PLC0415

    if args.threads is not None:
        if args.threads < 1:
            raise HermesError(f"At least one thread is needed, not {args.threads}.")
        torch.set_num_threads(args.threads)
    if args.random:
        from hermes.cli.bench_random import run_random  # noqa: PLC0415

        with closing(StatusLine()) as status:
            return run_random(args, status)
    if args.soak is not None:
        return bench_soak.run_soak(args)
    policies = args.policies or DEFAULT_POLICIES
    unknown = [name for name in policies if name not in hermes.POLICIES]
    if unknown:
        raise HermesError(f"There is no policy “{unknown[0]}”. Available: {', '.join(hermes.POLICIES)}.")
    model = load_model(args)
    about = {
        "model": model.card.name,
        "tokens_per_frame": model.tokens_per_frame,
        "frame_size": [args.side, args.side * 3 // 4],
        "chunk": args.chunk,
        "rounds": args.rounds,
        "machine": describe_machine(),
        "load_before": load_average(),
    }
    frames = bench_frames(max(64, args.chunk), args.side)
    results = []
    for name in policies:
        with closing(StatusLine()) as status:
            result = bench_policy(model, name, frames, args.frames, args.budget, args.chunk, args.rounds, status)
        results.append(result)
        if not args.json:
            if len(results) == 1:
                _print_about(about)
            _print_policy(results[-1])
    about["load_after"] = load_average()
    if args.json:
        print_json({**about, "policies": [result.as_dict() for result in results]})
    else:
        print(f"Load of the machine (1 minute): {about['load_before']} before, {about['load_after']} after.")
    return 0


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part.replace("_", "")) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"comma-separated numbers are expected, not {text!r}") from None


_COLUMNS: Final = (
    Column("frames", 8), Column("ingest frames/s", 17), Column("first token ms", 16), Column("management/encoding", 21),
    Column("kept", 8), Column("cache MB", 10), Column("(full)", 8), Column("process MB", 12),
)  # fmt: skip


def _side(text: str) -> int:
    side = int(text)
    if not 64 <= side <= 4096:
        raise argparse.ArgumentTypeError(f"frames must be 64 to 4,096 pixels wide, not {side:,}")
    return side


def _print_about(about: dict[str, Any]) -> None:
    machine = about["machine"]
    print(f"{about['model']}, {about['tokens_per_frame']} tokens per frame, chunks of {about['chunk']} frames")
    print(
        f"{machine['processor']}, {machine['cores']} cores ({machine['torch_threads']} threads), "
        f"{machine['memory_bytes'] / 2**30:.0f} GiB, GPU: {machine['gpu'] or 'none'}; "
        f"{machine['system']}, Python {machine['python']}, torch {machine['torch']}, "
        f"transformers {machine['transformers']}\n"
    )


def _print_policy(result: PolicyBench) -> None:
    budget = "no budget" if result.budget is None else f"budget {result.budget}"
    print(f"{result.policy} ({budget}{f', guidance {result.guidance}' if result.guidance else ''})")
    if result.marks:
        rows = [
            (
                f"{mark.frames:,}",
                f"{mark.ingest_fps:.1f}",
                f"{mark.first_token_ms:.1f}",
                f"{mark.management_share:.1%}",
                f"{mark.kept:,}",
                f"{mark.cache_bytes / 1e6:.2f}",
                f"{mark.full_cache_bytes / 1e6:.1f}",
                f"{mark.rss_bytes / 1e6:.0f}",
            )
            for mark in result.marks
        ]
        print_table(Table(_COLUMNS, rows))
    if result.flatness:
        ratios = ", ".join(f"{name} {ratio:.2f}" for name, ratio in result.flatness.items())
        print(f"  last over first: {ratios}")
    if result.stopped_at is not None:
        print(f"  stopped at frame {result.stopped_at:,}: {result.reason}")
    print(flush=True)
