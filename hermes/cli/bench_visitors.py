"""The part of `bench` that drives a server with many visitors over HTTP, and prints what they experience."""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hermes.bench.machine import describe_machine, load_average
from hermes.cli.terminal import print_json
from hermes.errors import HermesError

if TYPE_CHECKING:
    from hermes.bench.visitors import Spread, VisitorsBench

MOST_VISITORS = 256
MOST_MINUTES = 24 * 60.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of this part."""
    parser.add_argument(
        "--visitors",
        type=int,
        metavar="N",
        help="instead: start a server with --model on 127.0.0.1 and drive it with N visitors over HTTP",
    )
    parser.add_argument("--minutes", type=float, default=1.0, help="with --visitors (default: %(default)s)")
    parser.add_argument(
        "--streams", type=int, metavar="S", help="with --visitors: most streams at once (default: that of app.py)"
    )
    parser.add_argument(
        "--url",
        help="with --visitors: drive a server of your own that runs on this machine, such as http://127.0.0.1:7860",
    )


def run_visitors(args: argparse.Namespace, report: Callable[[str], None]) -> int:
    """Measure and print; raises HermesError where an argument does not fit or the server does not start."""
    from hermes.bench.server import Server  # noqa: PLC0415
    from hermes.bench.visitors import measure  # noqa: PLC0415

    if not 1 <= args.visitors <= MOST_VISITORS:
        raise HermesError(f"--visitors takes a number from 1 to {MOST_VISITORS}, not {args.visitors}.")
    if not 0 < args.minutes <= MOST_MINUTES:
        raise HermesError(f"--minutes takes a number above 0 and up to {MOST_MINUTES:g}, not {args.minutes:g}.")
    if args.streams is not None and (args.streams < 1 or args.url):
        raise HermesError("--streams takes a number from 1 on, and only for a server that this command starts itself.")
    seconds, before = 60 * args.minutes, load_average()
    if args.url:
        url = loopback(args.url)
        result = asyncio.run(measure(url, args.visitors, seconds, report=report))
    else:
        report("starting the server")
        with Server("--model", args.model, *(("--streams", str(args.streams)) if args.streams else ())) as server:
            result = asyncio.run(measure(server.url, args.visitors, seconds, server.process, report))
    report("")
    about = {"machine": describe_machine(), "load_before": before, "load_after": load_average()}
    if args.json:
        print_json({**result.as_dict(), **about})
    else:
        print_result(result, about)
    return 0


def loopback(url: str) -> str:
    """The address with a slash at its end.

    Raises:
        HermesError: It is not an HTTP address of this machine: a load test must not hit anyone else's server.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise HermesError(f"“{url}” is not an address such as http://127.0.0.1:7860.") from None
    if parts.scheme not in ("http", "https") or not host:
        raise HermesError(f"“{url}” is not an address such as http://127.0.0.1:7860.")
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost"
    if not local:
        raise HermesError(
            f"Only a server on this machine may be put under load (127.0.0.1, ::1, localhost), not {host}."
        )
    return url.rstrip("/") + "/"


def print_result(result: VisitorsBench, about: dict[str, Any]) -> None:
    """The figures as a table."""
    machine = about["machine"]
    full = f", {result.full} told that the server is full" if result.full else ""
    print(f"{result.visitors} visitors, {result.playing} playing{full}; {result.seconds / 60:.1f} minutes")
    print(f"{machine['processor']}, {machine['cores']} cores, Python {machine['python']}, torch {machine['torch']}\n")
    print("seconds                count     p50     p95     max")
    for name, spread in (
        ("first token", result.first_token),
        ("complete answer", result.answer),
        ("poll", result.poll),
    ):
        print(f"{name:<20} {_row(spread)}")
    frames = result.frames or (0,)
    print(f"\nframes per visitor: {min(frames)} to {max(frames)}, mean {sum(frames) / len(frames):.1f}")
    print(f"behind the clip: {result.behind:.1f} s at most; dropped frames: {result.dropped}")
    print("errors: " + (", ".join(f"{n} × {kind}" for kind, n in sorted(result.errors.items())) or "none"))
    if used := result.resources:
        megabytes = [value / 2**20 for value in (used.rss_start, used.rss_warm, used.rss_end, used.per_visitor)]
        print(
            "server memory: {:.0f} MiB at start, {:.0f} warm, {:.0f} at the end; {:.1f} per visitor".format(*megabytes)
        )
        print(f"CPU: server {used.server_cores:.2f} cores, load generator {used.client_cores:.2f}")
    print(f"load of the machine (1 minute): {about['load_before']} before, {about['load_after']} after")


def _row(spread: Spread) -> str:
    times = ("      –" if math.isnan(value) else f"{value:>7.3f}" for value in (spread.p50, spread.p95, spread.max))
    return f"{spread.count:>7,} {' '.join(times)}"
