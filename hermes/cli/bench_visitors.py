"""`hermes bench --visitors`: load a server with many simulated visitors over HTTP and print their latencies."""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from hermes.bench.machine import describe_machine, load_average
from hermes.cli.terminal import print_json, print_table
from hermes.errors import HermesError
from hermes.tables import Column, Table

if TYPE_CHECKING:
    from hermes.bench.visitor_results import Spread, VisitorsBench

MAX_VISITORS = 256
MAX_MINUTES = 24 * 60.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `--visitors`."""
    parser.add_argument(
        "--visitors",
        type=int,
        metavar="N",
        help="instead: start a server with --model on 127.0.0.1 and load it with N simulated visitors over HTTP",
    )
    parser.add_argument("--minutes", type=float, default=1.0, help="with --visitors (default: %(default)s)")
    parser.add_argument(
        "--streams", type=int, metavar="S", help="with --visitors: maximum number of streams (default: that of app.py)"
    )
    parser.add_argument(
        "--url",
        help="with --visitors: load a running server on this machine, such as http://127.0.0.1:7860",
    )


def run_visitors(args: argparse.Namespace, report: Callable[[str], None]) -> int:
    """Measure and print.

    Raises:
        HermesError: An argument is invalid, or the server does not start.
    """
    from hermes.bench.server import Server  # noqa: PLC0415
    from hermes.bench.visitors import measure  # noqa: PLC0415

    if not 1 <= args.visitors <= MAX_VISITORS:
        raise HermesError(f"--visitors takes a number from 1 to {MAX_VISITORS}, not {args.visitors}.")
    if not 0 < args.minutes <= MAX_MINUTES:
        raise HermesError(f"--minutes takes a number above 0 and up to {MAX_MINUTES:g}, not {args.minutes:g}.")
    if args.streams is not None and (args.streams < 1 or args.url):
        raise HermesError("--streams takes a number of at least 1, and only for a server that this command starts.")
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
    """Check that a URL is an HTTP address of this machine, so that no other server is put under load.

    Returns:
        The URL with a slash at its end.

    Raises:
        HermesError: It is not.
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
    """Print the results as a table."""
    machine = about["machine"]
    waiting = f", {result.waiting} waiting for a live slot" if result.waiting else ""
    full = f", {result.full} rejected because the server is full" if result.full else ""
    print(f"{result.visitors} visitors, {result.playing} playing{waiting}{full}; {result.seconds / 60:.1f} minutes")
    print(f"{machine['processor']}, {machine['cores']} cores, Python {machine['python']}, torch {machine['torch']}\n")
    spreads = (("first token", result.first_token), ("complete answer", result.answer), ("poll", result.poll))
    print_table(Table(_COLUMNS, [(name, *_cells(spread)) for name, spread in spreads]))
    frames = result.frames or (0,)
    print(f"\nframes per visitor: {min(frames)} to {max(frames)}, mean {sum(frames) / len(frames):.1f}")
    print(f"largest delay behind the clip: {result.behind:.1f} s; dropped frames: {result.dropped}")
    print("errors: " + (", ".join(f"{n} × {kind}" for kind, n in sorted(result.errors.items())) or "none"))
    if used := result.resources:
        megabytes = [value / 2**20 for value in (used.rss_start, used.rss_warm, used.rss_end, used.per_visitor)]
        print(
            "server memory: {:.0f} MiB at start, {:.0f} warm, {:.0f} at the end; {:.1f} per visitor".format(*megabytes)
        )
        print(f"CPU: server {used.server_cores:.2f} cores, load generator {used.client_cores:.2f}")
    print(f"load of the machine (1 minute): {about['load_before']} before, {about['load_after']} after")


_COLUMNS: Final = (
    Column("seconds", 20, "left"), Column("count", 8), Column("p50", 8), Column("p95", 8), Column("max", 8),
)  # fmt: skip


def _cells(spread: Spread) -> tuple[str, ...]:
    times = ("–" if math.isnan(value) else f"{value:.3f}" for value in (spread.p50, spread.p95, spread.max))
    return f"{spread.count:,}", *times
