"""What one stream has seen: the session that remembers it, and what a page may read of it at any time."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from hermes.backbones.base import Backbone
from hermes.session.stream_session import StreamSession
from hermes.snapshot import Snapshot
from hermes.video.thumbnails import Thumbnails, jpeg
from hermes.view import StreamSettings

logger = logging.getLogger(__name__)

Frame = npt.NDArray[np.uint8]
VIEW_WIDTH = 448
SNAPSHOT_SECONDS = 0.2
"""Shortest time between two snapshots that nothing but a viewer asks for."""


def open_session(model: Backbone, settings: StreamSettings) -> StreamSession:
    """An empty session with a visitor's settings.

    Raises:
        HermesError: A setting does not fit the model.
    """
    return StreamSession(
        model,
        settings.policy,
        settings.budget,
        settings.guidance,
        chunk=settings.chunk,
        changed=dict(settings.changed),
    )


class LiveMemory:
    """A session with pictures and rates beside it. The stream's lock guards all changes; any thread may read the attributes.

    Attributes:
        session: The session.
        snapshot: Its memory as of the last snapshot; None before the first.
        thumbnails: Small pictures of the frames.
        frame_index: Number of the newest frame; -1 before the first.
        ingest_fps: Frames per second over the last chunks; 0 before the first.
    """

    def __init__(self, session: StreamSession) -> None:
        """Start with an empty session."""
        self.session = session
        self.snapshot: Snapshot | None = None
        self.thumbnails = Thumbnails()
        self.frame_index = -1
        self.ingest_fps = 0.0
        self._newest: tuple[int, Frame] | None = None
        self._jpeg: tuple[int, bytes] | None = None
        self._published_at = 0.0
        self._stale = self._viewed = False
        self._speeds: deque[tuple[int, float]] = deque(maxlen=16)

    def push(self, batch: list[tuple[Frame, float]]) -> None:
        """Push frames with their times into the session."""
        began = time.perf_counter()
        self._stale = True
        for frames, times in _same_size(batch):
            first, waiting = self.session.steps_seen, self.session.frames_waiting
            self.session.push(frames, times)
            merged = self.session.layout.frames_per_step
            self._remember(first, frames[merged - 1 - waiting :: merged])
        self._speeds.append((len(batch), time.perf_counter() - began))
        frames_pushed, seconds = (sum(x) for x in zip(*self._speeds, strict=True))
        self.ingest_fps = frames_pushed / seconds if seconds else 0.0

    def _remember(self, first: int, frames: Frame) -> None:
        if not len(frames):
            return
        self.thumbnails.add(first, frames)
        self.frame_index = first + len(frames) - 1
        self._newest = self.frame_index, frames[-1].copy()  # not the whole chunk

    # Snapshots ----------------------------------------------------------------------------------------------------

    def note_view(self) -> bool:
        """Note that somebody reads the snapshot, so that it is kept fresh; returns whether it is out of date."""
        self._viewed = True
        return self._stale

    @property
    def wants_snapshot(self) -> bool:
        """Whether somebody has read a snapshot that is out of date, and the last one was not taken just now."""
        return self._stale and self._viewed and time.monotonic() - self._published_at > SNAPSHOT_SECONDS

    def publish(self, *, force: bool) -> None:
        """Take a snapshot if `force` is set, or if somebody reads snapshots and the last one is out of date."""
        if force or self.wants_snapshot:
            self._stale = self._viewed = False
            self.snapshot, self._published_at = self.session.snapshot(), time.monotonic()

    def begin_again(self, session: StreamSession) -> None:
        """Free everything and continue with another session, which is empty or was loaded."""
        self.close()
        self.session = session
        self.frame_index, self._jpeg, self.ingest_fps = session.steps_seen - 1, None, 0.0
        self._speeds.clear()
        self.publish(force=True)

    def close(self) -> None:
        """Free the memory."""
        self.session.close()
        self.thumbnails.clear()
        self._newest = self.snapshot = None

    # What a page reads --------------------------------------------------------------------------------------------

    @property
    def clock(self) -> float:
        """Time of the newest frame as of the last snapshot, in seconds; nan before the first."""
        snapshot = self.snapshot
        return snapshot.seconds if snapshot is not None else float("nan")

    @property
    def first_token_ms(self) -> float | None:
        """Time to first token of the last answer; None before the first."""
        first = self.session.stats.first_token_seconds
        return first * 1000 if first is not None and np.isfinite(first) else None

    def frame_jpeg(self) -> bytes | None:
        """The newest frame; None before the first. If it cannot be encoded, the last one that could be."""
        newest, known = self._newest, self._jpeg
        if newest is None:
            return None
        index, frame = newest
        if known is None or known[0] != index:
            try:
                self._jpeg = known = (index, jpeg(frame, VIEW_WIDTH, 85))
            except Exception:
                logger.exception("a picture of the newest frame could not be encoded")
        return known[1] if known is not None else None


def _same_size(batch: list[tuple[Frame, float]]) -> Iterator[tuple[Frame, list[float]]]:
    """Frames in stretches of one size, as arrays: a camera may change its resolution."""
    start = 0
    for i in range(1, len(batch) + 1):
        if i == len(batch) or batch[i][0].shape != batch[start][0].shape:
            yield np.stack([frame for frame, _ in batch[start:i]]), [seconds for _, seconds in batch[start:i]]
            start = i
