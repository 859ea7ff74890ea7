"""The engine of the page: in this process, or on a Ray cluster."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager

from hermes.importing import IMPORTING
from hermes.serving.engine import Engine
from hermes.serving.interface import StreamEngine
from ui.options import Options


@contextmanager
def running_engine(flags: Namespace, options: Options) -> Iterator[StreamEngine]:
    """Provide the engine for the flags, see `ui.flags.parse`. It is closed at the end.

    Raises:
        HermesError: The Ray cluster cannot be used.
    """
    if flags.ray is None:
        engine = Engine(max_streams=flags.streams, max_pixels=options.max_pixels)
        try:
            yield engine
        finally:
            engine.close()
        return
    with IMPORTING:
        from hermes.ray_workers import RayCluster  # noqa: PLC0415 - only here
        from hermes.serving.ray_engine import RayEngine  # noqa: PLC0415 - imports torch

    with RayCluster(flags.ray, cpus=flags.replicas) as cluster:
        remote = RayEngine(
            cluster,
            cluster.size(flags.replicas),
            flags.streams,
            gpus=flags.gpus_per_replica,
            max_pixels=options.max_pixels,
            plugins=flags.plugin,
        )
        try:
            yield remote
        finally:
            remote.close()
