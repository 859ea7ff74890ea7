"""An object on a replica, see `hermes.serving.interface.PlacedObject`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from hermes.errors import HermesError
from hermes.serving.interface import StreamLostError
from hermes.serving.ray_stream import ReplicaOfStream, call_replica

logger = logging.getLogger(__name__)

LOST: Final = "The machine that ran this comparison has failed. Start the comparison again."


class RayObject:
    """Calls an object on a replica. Thread-safe if the object is.

    Attributes:
        replica: The replica, where the object stays.
    """

    def __init__(self, replica: ReplicaOfStream, name: str) -> None:
        """Call the object `name` of a replica."""
        self.replica = replica
        self._name = name

    @classmethod
    def create(cls, replica: ReplicaOfStream, make: Callable[[Any], Any]) -> RayObject:
        """Create an object on a replica with `make`.

        Raises:
            StreamLostError: The replica has ended.
            HermesError: From `make`, or the replica does not respond.
        """
        return cls(replica, call_replica(replica, "place", make))

    @property
    def lost(self) -> bool:
        """Whether the replica has ended."""
        return self.replica.lost.is_set()

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the object; see `PlacedObject.call`."""
        try:
            return call_replica(self.replica, "call_placed", self._name, method, *arguments)
        except StreamLostError as error:
            raise StreamLostError(LOST) from error

    def discard(self) -> None:
        """Drop the object. Never raises."""
        try:
            call_replica(self.replica, "discard", self._name)
        except HermesError:
            logger.debug("an object could not be dropped", exc_info=True)
