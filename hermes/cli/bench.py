"""Measure speed and memory of the policies on this machine: is a late frame as cheap as an early one?

A stream of coloured cards is pushed; at each number of frames, ingest speed (preparing the pixels included), time to the
first token, the cost of memory management and the memory held are measured, as medians over rounds in which all marks
take turns. With --visitors N, a server is started and driven over HTTP as by N browsers: each visitor streams a clip,
polls four times a second and asks a question every ten seconds. With --soak FRAMES, one stream is pushed and the memory of
the process is printed at checkpoints. Close other programs for figures worth keeping.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any, Final

from hermes.bench.machine import load_average
from hermes.cli import bench_soak, bench_visitors
from hermes.cli.model_option import add_model, load_model
from hermes.cli.terminal import print_json
from hermes.errors import HermesError

if TYPE_CHECKING:
    from hermes.bench.stream import PolicyBench

DEFAULT_BUDGET: Final = 512
"""Small enough to be full at frame 200 with the pocket model, so that later marks can be compared with that one."""

DEFAULT_POLICIES: Final = ("hermes", "full", "sliding-window")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add_model(parser)
    parser.add_argument(
        "--policies", nargs="+", metavar="NAME", help=f"which policies (default: {' '.join(DEFAULT_POLICIES)})"
    )
    parser.add_argument(
        "--budget", type=int, default=DEFAULT_BUDGET, help="tokens a layer may hold (default: %(default)s)"
    )
    parser.add_argument("--frames", type=_numbers, default=(200, 1000, 10_000), help="marks (default: 200,1000,10000)")
    parser.add_argument("--chunk", type=int, default=16, help="frames pushed at once (default: %(default)s)")
    parser.add_argument(
        "--random",
        metavar="NAME",
        help="instead: the configuration of a listed model (see the command models) with random weights, beside two bounds",
    )
    parser.add_argument("--budgets", type=_numbers, default=(4000, 6000), help="with --random (default: 4000,6000)")
    bench_visitors.add_arguments(parser)
    bench_soak.add_arguments(parser)
    parser.add_argument("--rounds", type=int, default=10, help="rounds that count (default: %(default)s)")
    parser.add_argument("--threads", type=int, help="threads that torch may use (default: torch's own choice)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    if args.visitors is not None:
        return bench_visitors.run_visitors(args, _progress)
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

        return run_random(args, _progress)
    if args.soak is not None:
        return bench_soak.run_soak(args)
    policies = args.policies or DEFAULT_POLICIES
    unknown = [name for name in policies if name not in hermes.POLICIES]
    if unknown:
        raise HermesError(f"There is no policy “{unknown[0]}”. There are: {', '.join(hermes.POLICIES)}.")
    model = load_model(args)
    about = {
        "model": model.card.name,
        "tokens_per_frame": model.tokens_per_frame,
        "chunk": args.chunk,
        "rounds": args.rounds,
        "machine": describe_machine(),
        "load_before": load_average(),
    }
    frames = bench_frames(max(64, args.chunk))
    results = []
    for name in policies:
        results.append(bench_policy(model, name, frames, args.frames, args.budget, args.chunk, args.rounds, _progress))
        if not args.json:
            _progress("")
            if len(results) == 1:
                _print_about(about)
            _print_policy(results[-1])
    about["load_after"] = load_average()
    if args.json:
        _progress("")
        print_json({**about, "policies": [result.as_dict() for result in results]})
    else:
        print(f"Load of the machine (1 minute): {about['load_before']} before, {about['load_after']} after.")
    return 0


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part.replace("_", "")) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"numbers with commas between them, not {text!r}") from None


def _progress(text: str) -> None:
    """One line on a terminal that each call overwrites."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def _print_about(about: dict[str, Any]) -> None:
    machine = about["machine"]
    print(f"{about['model']}, {about['tokens_per_frame']} tokens a frame, chunks of {about['chunk']} frames")
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
        print("  frames  ingest frames/s  first token ms  management/encoding    kept  cache MB  (full)  process MB")
    for mark in result.marks:
        print(
            f"  {mark.frames:>6,}  {mark.ingest_fps:>15.1f}  {mark.first_token_ms:>14.1f}  {mark.management_share:>18.1%}  "
            f"{mark.kept:>6,}  {mark.cache_bytes / 1e6:>8.2f}  {mark.full_cache_bytes / 1e6:>6.1f}  "
            f"{mark.rss_bytes / 1e6:>10.0f}"
        )
    if result.flatness:
        ratios = ", ".join(f"{name} {ratio:.2f}" for name, ratio in result.flatness.items())
        print(f"  last over first: {ratios}")
    if result.stopped_at is not None:
        print(f"  stopped at frame {result.stopped_at:,}: {result.reason}")
    print(flush=True)
