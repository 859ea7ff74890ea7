"""The earlier moments of a live stream, reduced to the tokens that each layer held of each frame, within fixed limits."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from hermes.snapshot import Snapshot

MAX_MOMENTS: Final = 120
MAX_BYTES: Final = 4_000_000


def without_tokens(snapshot: Snapshot) -> Snapshot:
    """Return a snapshot with `kept` and the frame times, but without single tokens, evictions and answer."""
    none = np.zeros(0, np.float32)
    return replace(
        snapshot,
        offsets=np.zeros(snapshot.num_layers + 1, np.int64),
        frame=np.zeros(0, np.int32),
        patch=np.zeros(0, np.int16),
        kind=np.zeros(0, np.int8),
        mass=none,
        position=none,
        importance=none,
        guidance_attention=none,
        recency=none,
        token_seconds=none,
        held_by=none,
        first_frame=np.zeros(0, np.int32),
        archived=np.zeros((0, 0), np.uint16),
        evictions=(),
        answer=None,
    )


class Trail:
    """Collects moments of one stream. Above a limit, every second moment is dropped. Not thread-safe."""

    def __init__(self) -> None:
        """Start empty."""
        self._moments: list[Snapshot] = []
        self._step = 1

    def note(self, snapshot: Snapshot | None) -> None:
        """Add a moment of the stream. A moment with fewer frames than the last one starts a new stream."""
        if snapshot is None or not snapshot.frames_seen:
            return
        seen = self._moments[-1].frames_seen if self._moments else 0
        if snapshot.frames_seen < seen or (self._moments and snapshot.num_layers != self._moments[-1].num_layers):
            self._moments, self._step, seen = [], 1, 0
        if snapshot.frames_seen < seen + self._step:
            return
        self._moments.append(without_tokens(snapshot))
        while len(self._moments) > MAX_MOMENTS or (
            len(self._moments) > 1 and sum(moment.kept.nbytes for moment in self._moments) > MAX_BYTES
        ):
            self._moments = self._moments[::2]
            self._step *= 2

    def until(self, snapshot: Snapshot) -> tuple[Snapshot, ...]:
        """Return the collected moments before a snapshot of the same stream, and the snapshot's own, oldest first."""
        before = [moment for moment in self._moments if moment.frames_seen < snapshot.frames_seen]
        return (*before, without_tokens(snapshot))
