"""Records the views of several memories on the same frames and writes them as one lab run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hermes.trace.archive import write
from hermes.trace.head import Head, dump
from hermes.trace.lab_run import LAB_FORMAT, LAB_VERSION
from hermes.trace.pictures import Pictures
from hermes.trace.recorder import LIMIT, MEMORY, Recorder
from hermes.trace.run import LAB_HEAD

_PICTURES_SHARE = 0.3


class LabRecorder:
    """Records several memories, each with its own `Recorder`; pictures are stored once.

    Attributes:
        lanes: One recorder per memory, see `Recorder.add`.
    """

    def __init__(self, lanes: int, limit: int = LIMIT) -> None:
        """Start empty.

        Args:
            lanes: Number of memories.
            limit: Approximate upper bound of the file in bytes.
        """
        self._pictures = Pictures(int(limit * _PICTURES_SHARE))
        share = int(limit * (1 - _PICTURES_SHARE) / lanes)
        self.lanes = tuple(Recorder(share, self._pictures, MEMORY // lanes) for _ in range(lanes))

    @property
    def seconds(self) -> float:
        """Stream time of the newest moment, in seconds; 0 before the first."""
        return max(lane.seconds for lane in self.lanes)

    @property
    def frames(self) -> int:
        """Largest number of frames that a memory has seen."""
        return max(lane.frames for lane in self.lanes)

    @property
    def moments(self) -> int:
        """Number of recorded moments of all memories."""
        return sum(lane.moments for lane in self.lanes)

    def write(self, path: str | Path, head: Head, lanes: Sequence[Head], events_fps: float | None = None) -> int:
        """Write the recording so far to a file, which is replaced atomically. Recording can continue afterwards.

        Args:
            path: The output file.
            head: Metadata of the lab run.
            lanes: Metadata of each memory with its conversation: the same questions at the same times.
            events_fps: Frame rate of the frame numbers in `head.events`; None: unknown.

        Returns:
            Size of the file in bytes.

        Raises:
            TraceError: A memory has seen no frame, or the file cannot be written.
        """
        parts: dict[str, bytes] = {}
        folders = [f"lanes/{i}" for i in range(len(self.lanes))]
        for folder, recorder, one in zip(folders, self.lanes, lanes, strict=True):
            parts |= {f"{folder}/{name}": data for name, data in recorder.parts(one).items()}
        more = {"seconds": self.seconds, "frames": self.frames, "lanes": folders, "events_fps": events_fps}
        head = replace(head, chat=())
        first = {LAB_HEAD: dump(head, more, LAB_FORMAT, LAB_VERSION), **self._pictures.parts()}
        return write(Path(path), {**first, **parts})
