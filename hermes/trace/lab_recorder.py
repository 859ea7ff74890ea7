"""Takes the views of several memories on the same frames as they come, and writes them as one lab run."""

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
    """Records memories side by side, each with a `Recorder`; pictures are kept once for all.

    Attributes:
        lanes: A recorder for each memory; each takes the views of its own, see `Recorder.add`.
    """

    def __init__(self, lanes: int, limit: int = LIMIT) -> None:
        """Begin empty, for a number of memories; the file will take about `limit` bytes at most."""
        self._pictures = Pictures(int(limit * _PICTURES_SHARE))
        share = int(limit * (1 - _PICTURES_SHARE) / lanes)
        self.lanes = tuple(Recorder(share, self._pictures, MEMORY // lanes) for _ in range(lanes))

    @property
    def seconds(self) -> float:
        """Stream time of the newest moment, in seconds; 0 before the first."""
        return max(lane.seconds for lane in self.lanes)

    @property
    def frames(self) -> int:
        """Frames that the memory which has seen most has seen."""
        return max(lane.frames for lane in self.lanes)

    @property
    def moments(self) -> int:
        """Moments held so far, of all memories."""
        return sum(lane.moments for lane in self.lanes)

    def write(self, path: str | Path, head: Head, lanes: Sequence[Head], events_fps: float | None = None) -> int:
        """Write what was recorded so far; the file appears whole or not at all. Recording may go on afterwards.

        Args:
            path: Where to.
            head: What the lab run says of itself.
            lanes: What each memory says of itself, with its conversation: the same questions at the same times.
            events_fps: Frames a second in which `head.events` count; None: not known.

        Returns:
            Bytes of the file.

        Raises:
            TraceError: A memory has seen nothing, or the file cannot be written.
        """
        parts: dict[str, bytes] = {}
        folders = [f"lanes/{i}" for i in range(len(self.lanes))]
        for folder, recorder, one in zip(folders, self.lanes, lanes, strict=True):
            parts |= {f"{folder}/{name}": data for name, data in recorder.parts(one).items()}
        more = {"seconds": self.seconds, "frames": self.frames, "lanes": folders, "events_fps": events_fps}
        head = replace(head, chat=())
        first = {LAB_HEAD: dump(head, more, LAB_FORMAT, LAB_VERSION), **self._pictures.parts()}
        return write(Path(path), {**first, **parts})
