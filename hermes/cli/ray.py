"""The option `--ray`: do the work of a command on a Ray cluster."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

from hermes.ray_workers import RayCluster


def add_ray(parser: argparse.ArgumentParser) -> None:
    """Add `--ray`."""
    parser.add_argument(
        "--ray", nargs="?", const="", metavar="ADDRESS",
        help="work on a Ray cluster at this address, for example auto; without an address, on one started on this machine "
        "(needs the extra hermes-live[ray])",
    )  # fmt: skip


@contextmanager
def open_cluster(args: argparse.Namespace) -> Iterator[tuple[RayCluster | None, int]]:
    """Yield the cluster of `--ray`, None without the option, and the number of workers.

    Raises:
        HermesError: The cluster cannot be used.
    """
    if args.ray is None:
        yield None, args.workers or 1
        return
    with RayCluster(args.ray, args.workers) as cluster:
        yield cluster, cluster.size(args.workers)
