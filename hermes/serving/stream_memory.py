"""The memory of one live stream: its session, thumbnails, rates and snapshots for display."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from hermes.backbones.base import Backbone
from hermes.recognition import Recognised
from hermes.session.stream_session import StreamSession
from hermes.snapshot import Snapshot
from hermes.video.thumbnails import VIEW_WIDTH, FramePictures, Thumbnails, jpeg
from hermes.view import StreamSettings

logger = logging.getLogger(__name__)

Frame = npt.NDArray[np.uint8]
SNAPSHOT_SECONDS = 0.2
"""Shortest time in seconds between two snapshots that are taken only for viewers."""


def open_session(model: Backbone, settings: StreamSettings) -> StreamSession:
    """Create an empty session with a visitor's settings.

    Raises:
        HermesError: A setting is invalid for the model.
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
    """A session with thumbnails and rates. The stream's lock guards all changes; any thread may read the attributes.

    Attributes:
        session: The session.
        snapshot: Its memory as of the last snapshot; None before the first.
        recognised: What the vision tower recognised in the newest frame then; None if the model's does not.
        thumbnails: Thumbnails of the frames.
        frame_index: Number of the newest frame; -1 before the first.
        ingest_fps: Frames per second over the last chunks; 0 before the first.
    """

    def __init__(self, session: StreamSession) -> None:
        """Start with an empty session."""
        self.session = session
        self.snapshot: Snapshot | None = None
        self.recognised: Recognised | None = None
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
        """Record that a viewer reads snapshots, so that they are kept up to date; returns whether the last one is stale."""
        self._viewed = True
        return self._stale

    @property
    def wants_snapshot(self) -> bool:
        """Whether a viewer waits for a newer snapshot and `SNAPSHOT_SECONDS` have passed since the last one."""
        return self._stale and self._viewed and time.monotonic() - self._published_at > SNAPSHOT_SECONDS

    def publish(self, *, force: bool) -> None:
        """Take a snapshot if `force` is set or if `wants_snapshot`."""
        if force or self.wants_snapshot:
            self._stale = self._viewed = False
            self.snapshot, self._published_at = self.session.snapshot(), time.monotonic()
            self.recognised = _recognised(self.session)

    def reset(self, session: StreamSession, pictures: FramePictures | None = None) -> None:
        """Free the memory and continue with another session, either empty or loaded from a file with its pictures."""
        self.close()
        self.session = session
        self.frame_index, self._jpeg, self.ingest_fps = session.steps_seen - 1, None, 0.0
        if pictures is not None:
            seen = {i: picture for i, picture in pictures.thumbnails.items() if 0 <= i < session.steps_seen}
            self.thumbnails = Thumbnails(seen)
            self._jpeg = (self.frame_index, pictures.newest) if pictures.newest else None
        self._speeds.clear()
        self.publish(force=True)

    def close(self) -> None:
        """Free the memory."""
        self.session.close()
        self.thumbnails.clear()
        self._newest = self._jpeg = self.snapshot = self.recognised = None

    # Display ------------------------------------------------------------------------------------------------------

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

    def pictures(self) -> FramePictures:
        """Return the pictures that belong to the session as it is now."""
        return FramePictures(self.thumbnails.all(), self.frame_jpeg() or b"")

    def frame_jpeg(self) -> bytes | None:
        """Return the newest frame as JPEG, or the last one that could be encoded; None before the first."""
        newest, known = self._newest, self._jpeg
        if newest is None:
            return known[1] if known is not None else None  # of a restored session
        index, frame = newest
        if known is None or known[0] != index:
            try:
                self._jpeg = known = (index, jpeg(frame, VIEW_WIDTH, 85))
            except Exception:
                logger.exception("a picture of the newest frame could not be encoded")
        return known[1] if known is not None else None


def _recognised(session: StreamSession) -> Recognised | None:
    """Return the most likely object in the newest frame according to the vision tower; None if it recognises none."""
    objects, names = session.state.objects, session.model.object_names
    if objects is None:
        return None
    share, index = objects.max(0)
    return Recognised(names[int(index)], round(float(share), 3), round(min(float(objects.sum()), 1.0), 3))


def _same_size(batch: list[tuple[Frame, float]]) -> Iterator[tuple[Frame, list[float]]]:
    """Group consecutive frames of equal size into arrays, because a camera may change its resolution."""
    start = 0
    for i in range(1, len(batch) + 1):
        if i == len(batch) or batch[i][0].shape != batch[start][0].shape:
            yield np.stack([frame for frame, _ in batch[start:i]]), [seconds for _, seconds in batch[start:i]]
            start = i
