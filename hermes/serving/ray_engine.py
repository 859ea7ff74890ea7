"""An engine whose streams run on the actors of a Ray cluster, see `hermes.serving.interface.StreamEngine`.

Each actor is a replica: an engine with its own models. A stream is placed on the replica with the most free live slots and
stays there. If an actor ends, its streams are lost and another actor replaces it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from hermes.backbones.downloads import ConsentError
from hermes.backbones.sources import large_download
from hermes.errors import FailedError, HermesError
from hermes.ray_workers import ActorLostError, RayActor, RayCluster
from hermes.serving.interface import PlacedObject, StreamControl, StreamLostError
from hermes.serving.model_info import ModelInfo
from hermes.serving.ray_object import RayObject
from hermes.serving.ray_stream import CALL_SECONDS, SILENT_SECONDS, RayStream
from hermes.serving.replica import Replica
from hermes.serving.slots import BUSY, BusyError

if TYPE_CHECKING:
    from hermes.backbones.downloads import Confirm, Progress
    from hermes.memory.encoded import Layout
    from hermes.view import StreamSettings

logger = logging.getLogger(__name__)

LOAD_SECONDS: Final = 3600.0
"""Longest time in seconds in which an actor must start and load a model."""
PROGRESS_SECONDS: Final = 0.5
RESTART_SECONDS: Final = 10.0
"""Time in seconds after which an actor that ended before it started is replaced."""
WATCH_SECONDS: Final = 5.0
"""Time in seconds after which a call that waits for free slots is repeated."""
ROOM_SECONDS: Final = 5.0
"""Time in seconds in which a replica must report its free slots to the queue."""
CALLS_PER_STREAM: Final = 4
"""Calls that run at the same time for one stream: an answer, an update, an action and a save."""


@dataclass(eq=False)
class RayReplica:
    """A replica, as the page sees it.

    Attributes:
        actor: The actor.
        where: Its machine and process; None until it has started.
        lost: Whether the actor has ended.
        models: Names of the models that it has loaded.
        silent_until: Until when it counts as full, because it did not respond; compares with `time.monotonic`.
    """

    actor: RayActor
    where: tuple[str, int] | None = None
    lost: threading.Event = field(default_factory=threading.Event)
    models: set[str] = field(default_factory=set)
    silent_until: float = 0.0


class RayEngine:
    """Places streams on the replicas of a cluster. Thread-safe."""

    def __init__(
        self,
        cluster: RayCluster,
        replicas: int,
        max_streams: int = 16,
        *,
        gpus: float | None = None,
        max_pixels: int | None = None,
        plugins: Sequence[str] = (),
    ) -> None:
        """Start the actors.

        Args:
            cluster: The cluster.
            replicas: Number of actors.
            max_streams: Maximum number of live streams per actor.
            gpus: GPUs per actor, see `RayCluster.actor`.
            max_pixels: See `Engine`.
            plugins: Files or modules that register policies; they must exist on all machines of the cluster.
        """
        self._cluster = cluster
        self._gpus = gpus
        self._threads = 16 + CALLS_PER_STREAM * max_streams
        self._arguments = (max_streams, max_pixels, tuple(plugins))
        self._infos: dict[str, ModelInfo] = {}
        self._loading = threading.Lock()
        self._guard = threading.Lock()  # guards `_replicas`
        self._on_free: Callable[[], None] = _nothing
        self._closed = threading.Event()
        self._replicas = [self._start() for _ in range(replicas)]

    # Replicas -----------------------------------------------------------------------------------------------------

    def _start(self) -> RayReplica:
        """Start an actor and watch it in a thread."""
        actor = self._cluster.actor(Replica, self._arguments, gpus=self._gpus, threads=self._threads)
        replica = RayReplica(actor)
        threading.Thread(target=self._watch, args=(replica,), name="watch a replica", daemon=True).start()
        return replica

    def _watch(self, replica: RayReplica) -> None:
        """Notify the listener when slots become free, until the actor ends; then replace it."""
        known = 0
        while not self._closed.is_set():
            if replica.lost.is_set():  # a call of a stream noticed it first
                self._lose(replica, "a call failed")
                return
            try:
                if replica.where is None:
                    replica.where = replica.actor.call("where", timeout=LOAD_SECONDS)
                    logger.info("A replica runs on %s in process %d", *replica.where)
                changes = replica.actor.call("wait_for_room", known, WATCH_SECONDS, timeout=LOAD_SECONDS)
            except ActorLostError as error:
                self._lose(replica, str(error))
                return
            except Exception:
                logger.exception("a replica does not report its free slots")
                self._closed.wait(SILENT_SECONDS)
                continue
            if changes != known:
                known = changes
                self._on_free()

    def _lose(self, replica: RayReplica, reason: str) -> None:
        """Record that an actor has ended, and start another one with the same models."""
        replica.lost.set()
        if self._closed.is_set():
            return
        logger.warning("The replica at %s has ended: %s", replica.where, reason)
        replica.actor.kill()  # it may still run if only the connection failed
        if replica.where is None and self._closed.wait(RESTART_SECONDS):
            return
        with self._guard:
            if replica not in self._replicas:
                return
            self._replicas.remove(replica)
            successor = self._start()
            self._replicas.append(successor)
        try:
            for name in list(self._infos):
                successor.actor.call("load", name, timeout=LOAD_SECONDS)
                successor.models.add(name)
        except Exception:
            if not self._closed.is_set():
                logger.exception("The models could not be loaded on another replica")
            return
        self._on_free()

    def _ready(self, model: str) -> list[RayReplica]:
        """Return the replicas that have loaded a model.

        Raises:
            BusyError: A replica that has ended is being replaced.
            HermesError: The model was not loaded.
        """
        with self._guard:
            running = [replica for replica in self._replicas if not replica.lost.is_set()]
        ready = [replica for replica in running if model in replica.models]
        if not ready and model in self._infos:
            raise BusyError("The model is being loaded on another machine. Please try again in a moment.")
        if not ready:
            raise HermesError(f"The model “{model}” is not loaded yet; please wait a moment.")
        return ready

    def _call(self, model: str, method: str, *arguments: Any, timeout: float = CALL_SECONDS) -> Any:
        """Call a method of any replica that has loaded a model.

        Raises:
            HermesError: The model is not loaded, or from the method.
        """
        try:
            return self._ready(model)[0].actor.call(method, *arguments, timeout=timeout)
        except (ActorLostError, TimeoutError) as error:
            raise FailedError("A machine of this server does not respond. Try again in a moment.") from error

    # Models -------------------------------------------------------------------------------------------------------

    def load(self, name: str, progress: Progress | None = None, confirm: Confirm | None = None) -> ModelInfo:
        """Load a model on all replicas; see `Engine.load` for the arguments and errors."""
        download = large_download(name) if confirm is not None and name not in self._infos else None
        if download is not None and confirm is not None and not confirm(download):
            raise ConsentError(download)
        with self._loading:
            with self._guard:
                missing = [replica for replica in self._replicas if name not in replica.models]
            calls = [(replica, replica.actor.begin("load", name)) for replica in missing]
            for replica, call in calls:
                self._infos[name] = self._follow(replica, call, name, progress)
                replica.models.add(name)
            if progress:
                progress(f"{name} is ready", 1.0)
            return self._infos[name]

    def _follow(self, replica: RayReplica, call: Any, name: str, progress: Progress | None) -> ModelInfo:
        """Wait until a replica has loaded a model, and report its progress."""
        until = time.monotonic() + LOAD_SECONDS
        try:
            while True:
                try:
                    info: ModelInfo = replica.actor.result(call, PROGRESS_SECONDS)
                    return info
                except TimeoutError:
                    if time.monotonic() > until:
                        raise
                if progress and replica.where is None:
                    progress("Waiting until the Ray cluster has started all actors", 0.0)
                elif progress:
                    progress(*replica.actor.call("progress", name, timeout=LOAD_SECONDS))
        except (ActorLostError, TimeoutError) as error:
            raise FailedError(f"The model could not be loaded on a machine of the Ray cluster: {error}") from error

    def models(self) -> list[ModelInfo]:
        """The models loaded so far."""
        return list(self._infos.values())

    def check(self, settings: StreamSettings) -> None:
        """See `Engine.check`."""
        self._call(settings.model, "check", settings)

    def layout(self, model: str, height: int, width: int) -> Layout:
        """See `Engine.layout`."""
        found: Layout = self._call(model, "layout", model, height, width)
        return found

    def achievable_fps(self, settings: StreamSettings) -> float | None:
        """See `Engine.achievable_fps`; all replicas count as equally fast."""
        rate: float | None = self._call(settings.model, "achievable_fps", settings, timeout=LOAD_SECONDS)
        return rate

    # Streams ------------------------------------------------------------------------------------------------------

    def open(self, settings: StreamSettings, replacing: StreamControl | None = None) -> RayStream:
        """Open a stream on the replica of `replacing`, or else on the one with the most free slots; see `Engine.open`."""
        before = replacing if isinstance(replacing, RayStream) and not replacing.lost else None
        if before is not None:
            return RayStream.open(before.replica, settings, before)
        for replica in self._by_room(settings.model):
            try:
                return RayStream.open(replica, settings)
            except (BusyError, StreamLostError):
                continue
        raise BusyError(BUSY)

    def place(self, make: Callable[[Any], Any], model: str, replacing: PlacedObject | None = None) -> RayObject:
        """Create an object on the replica of `replacing`, or else on the one with the most free slots.

        See `hermes.serving.interface.StreamEngine.place`.
        """
        if isinstance(replacing, RayObject) and not replacing.lost:
            return RayObject.create(replacing.replica, make)
        for replica in self._by_room(model):
            try:
                return RayObject.create(replica, make)
            except StreamLostError:
                continue
        raise BusyError(BUSY)

    def _by_room(self, model: str) -> list[RayReplica]:
        """Return the replicas with free slots: those with the most first, among equals those with the fewest streams."""
        rooms = []
        for replica in self._ready(model):
            try:
                free, streams = replica.actor.call("room", timeout=CALL_SECONDS)
            except (ActorLostError, TimeoutError):
                continue
            if free > 0:
                rooms.append((-free, streams, uuid4().hex, replica))
        return [replica for *_, replica in sorted(rooms, key=lambda room: room[:3])]

    def is_live(self, stream: object) -> bool:
        """See `Engine.is_live`."""
        return isinstance(stream, RayStream) and stream.is_live

    def enter(self, stream: RayStream, replacing: RayStream | None = None) -> None:
        """See `Engine.enter`."""
        stream.enter(replacing)

    def finish(self, stream: RayStream) -> None:
        """See `Engine.finish`."""
        stream.finish()

    @property
    def free_slots(self) -> int:
        """Number of free live slots of all replicas that respond."""
        with self._guard:
            running = [replica for replica in self._replicas if replica.models and not replica.lost.is_set()]
        return sum(self._free_slots_of(replica) for replica in running)

    def _free_slots_of(self, replica: RayReplica) -> int:
        """Return the number of free slots of a replica; 0 for a while if it does not respond, since the queue waits here."""
        if time.monotonic() < replica.silent_until:
            return 0
        try:
            free: int = replica.actor.call("room", timeout=ROOM_SECONDS)[0]
        except ActorLostError:
            return 0
        except TimeoutError:
            logger.warning("The replica at %s does not respond", replica.where)
            replica.silent_until = time.monotonic() + SILENT_SECONDS
            return 0
        return free

    def on_free(self, listener: Callable[[], None]) -> None:
        """See `Engine.on_free`."""
        self._on_free = listener

    def close(self) -> None:
        """End the actors with their streams."""
        self._closed.set()
        with self._guard:
            replicas, self._replicas = self._replicas, []
        for replica in replicas:
            try:
                replica.actor.call("shut_down", timeout=CALL_SECONDS)
            except Exception:
                logger.debug("a replica did not close its streams", exc_info=True)
            replica.lost.set()
            replica.actor.kill()


def _nothing() -> None:
    """No action."""
