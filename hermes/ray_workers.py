"""Distributes work over the actors of a Ray cluster. Needs the optional extra `ray`; nothing else imports Ray."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import sys
import threading
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol

from hermes.errors import FailedError, HermesError

logger = logging.getLogger(__name__)

TESTED: Final = "2.60.0"
"""Version of Ray that the tests run with."""
REACH_SECONDS: Final = 10.0
"""Seconds in which the address of a cluster must answer."""
STORE_BYTES: Final = 100_000_000
"""Shared memory of a cluster on this machine: only records and settings pass through it."""


class Worker(Protocol):
    """What an actor runs: created once, for example with a loaded model, then given one job after another."""

    def work(self, *job: Any) -> Iterator[Any]:
        """Do a job and yield its results."""


class ActorLostError(HermesError):
    """An actor has ended, because its process, its machine or the connection to it failed."""


class RayActor:
    """An object in an actor. Thread-safe."""

    def __init__(self, ray: Any, handle: Any) -> None:
        """Call the object of `handle`."""
        self._ray = ray
        self._handle = handle

    def begin(self, method: str, *arguments: Any) -> Any:
        """Start a call, and return its reference for `result`."""
        return getattr(self._handle, method).remote(*arguments)

    def result(self, reference: Any, timeout: float) -> Any:
        """Wait for the result of a call, at most `timeout` seconds.

        Raises:
            ActorLostError: The actor has ended.
            TimeoutError: The result did not arrive in time.
            Exception: From the method.
        """
        errors = self._ray.exceptions
        try:
            return self._ray.get(reference, timeout=timeout)
        except errors.RayTaskError as error:
            raise error.cause from None
        except (errors.RayActorError, errors.ObjectLostError) as error:
            raise ActorLostError(_first_line(error)) from None
        except errors.GetTimeoutError:
            raise TimeoutError("The actor did not respond in time.") from None

    def call(self, method: str, *arguments: Any, timeout: float) -> Any:
        """Call a method and wait for its result; see `result` for the errors."""
        return self.result(self.begin(method, *arguments), timeout)

    def kill(self) -> None:
        """End the actor. Does nothing if it has ended, or if the connection to the cluster has."""
        try:
            self._ray.kill(self._handle)
        except Exception:
            logger.debug("an actor could not be ended", exc_info=True)


class RayCluster:
    """A connection to a Ray cluster, or a cluster on this machine that ends with the connection."""

    def __init__(self, address: str = "", cpus: int | None = None) -> None:
        """Connect.

        Args:
            address: Address of a cluster ("auto", "ray://host:10001"); "local" or empty: start one on this machine.
            cpus: Cores of a new cluster; None: all.

        Raises:
            HermesError: Ray is not installed.
            FailedError: The cluster cannot be reached or started.
        """
        address = "" if address == "local" else address
        _check_reachable(address)
        # Read when Ray is imported.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        os.environ.setdefault("RAY_worker_niceness", "0")  # by default actors yield to every other process
        try:
            import ray  # noqa: PLC0415 - optional
        except ImportError as error:
            raise HermesError(
                f"Ray is not installed. Install the tested version: pip install ray=={TESTED}, or hermes-live[ray]."
            ) from error
        self._ray: Any = ray
        handler = signal.getsignal(signal.SIGTERM)
        try:
            if address:
                ray.init(address=address, log_to_driver=False, runtime_env=_environment())
            else:
                ray.init(
                    address="local",  # otherwise Ray connects to another cluster of this machine
                    num_cpus=cpus,
                    include_dashboard=False,
                    object_store_memory=STORE_BYTES,
                    log_to_driver=False,
                    runtime_env=_environment(),
                    _node_ip_address="127.0.0.1",
                )
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            raise FailedError(f"The Ray cluster cannot be used: {_first_line(error)}") from error
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)  # Ray replaces it

    def size(self, wanted: int | None) -> int:
        """Return the number of actors: `wanted`, or one for each GPU of the cluster, or one for each core without GPUs."""
        resources = self._ray.cluster_resources()
        return wanted or int(resources.get("GPU", 0)) or max(int(resources.get("CPU", 1)), 1)

    def run(
        self, kind: type[Worker], arguments: tuple[Any, ...], jobs: Iterable[tuple[Any, ...]], actors: int
    ) -> Iterator[Any]:
        """Run jobs on actors and yield results as they arrive; those of one job arrive in their order.

        Args:
            kind: The worker; one is created on each actor.
            arguments: Its arguments.
            jobs: Arguments of `Worker.work`, taken in order whenever an actor is free.
            actors: Number of actors; they use one GPU each if the cluster has any, else one core.

        Raises:
            FailedError: An actor ended early. Results that arrived are not affected.
            HermesError: From the worker.
        """
        ray = self._ray
        gpus = 1 if self._ray.cluster_resources().get("GPU") else 0
        actor_class = ray.remote(num_cpus=0 if gpus else 1, num_gpus=gpus)(kind)
        waiting = iter(jobs)
        running: dict[Any, Any] = {}
        started = []

        def start(actor: Any, job: tuple[Any, ...]) -> None:
            running[actor.work.options(num_returns="streaming").remote(*job)] = actor

        try:
            for job in islice(waiting, actors):
                started.append(actor_class.remote(*arguments))
                start(started[-1], job)
            while running:
                (ready,), _ = ray.wait(list(running), num_returns=1)
                try:
                    result = ray.get(next(ready))
                except StopIteration:
                    actor = running.pop(ready)
                    for job in islice(waiting, 1):
                        start(actor, job)
                else:
                    yield result
        except ray.exceptions.RayActorError as error:
            raise FailedError(
                f"A Ray actor ended early: {_first_line(error)} Run the command again to continue."
            ) from error
        finally:
            for actor in started:
                ray.kill(actor)

    def actor(self, kind: type, arguments: tuple[Any, ...], *, gpus: float | None = None, threads: int = 1) -> RayActor:
        """Create an object in a new actor. Returns immediately; the first call waits until the cluster has room for it.

        Args:
            kind: The class of the object.
            arguments: Its arguments.
            gpus: GPUs of the actor, possibly a fraction; None: one if the cluster has any. Without a GPU it uses a core.
            threads: Number of calls that run at the same time.
        """
        ray = self._ray
        if gpus is None:
            gpus = 1 if ray.cluster_resources().get("GPU") else 0
        actor_class = ray.remote(num_cpus=0 if gpus else 1, num_gpus=gpus, max_concurrency=threads)(kind)
        return RayActor(ray, actor_class.remote(*arguments))

    def close(self) -> None:
        """Disconnect; a cluster that was started here ends."""
        self._ray.shutdown()

    def __enter__(self) -> RayCluster:
        """Return this object."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect."""
        self.close()


def _check_reachable(address: str) -> None:
    """Connect to an address with a port once; Ray itself tries for minutes.

    Raises:
        FailedError: Nothing answers there.
    """
    found = re.fullmatch(r"(?:ray://)?\[?([\w.:-]+?)\]?:(\d{1,5})", address)
    if found is None:
        return
    try:
        socket.create_connection((found[1], int(found[2])), REACH_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise FailedError(f"The Ray cluster cannot be used: nothing answers at {address}.") from error


def _environment() -> dict[str, Any]:
    """Environment of the actors: this package can be imported, and sums are reproducible."""
    path = os.pathsep.join(dict.fromkeys([str(Path(__file__).resolve().parents[1]), *(p for p in sys.path if p)]))
    return {"env_vars": {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}}


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
