"""The frames of an untrusted video file with their times, read lazily at a sampling rate.

Which frame is taken: the **first frame whose presentation time is at or after** each sampling instant
`start, start + 1/fps, start + 2/fps, …`. Every frame is given at most once and with its own presentation time (not the
instant's), so that variable frame rates stay true, and a rate above the file's own simply gives every frame. Times are
seconds from the first frame of the video track.
"""

from __future__ import annotations

import math
import os
import stat
import weakref
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from hermes.video.decoder_process import DecoderProcess, Frame, State, fork_server
from hermes.video.errors import VideoError, display_name
from hermes.video.formats import HEAD_BYTES, detect_format
from hermes.video.limits import LIMITS, Limits

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

__all__ = ["VideoError", "VideoInfo", "VideoSampler", "probe", "sample"]

MAX_SIDE: Final = 512


@dataclass(frozen=True)
class VideoInfo:
    """What is known of a video file.

    Attributes:
        path: The file.
        duration: Seconds from the first presented frame to the end of the last one; None where that is unknown, as for
            large files whose container does not state it. Once all frames were read it is exact.
        fps: Mean frames per second, or None where unknown.
        width: Pixels as shown, after rotation and with square pixels.
        height: Pixels as shown.
        rotation: Degrees clockwise by which frames are turned before they are given: 0, 90, 180 or 270.
        frame_count: Number of frames, or None where unknown.
        mirrored: Whether frames are mirrored left to right before they are turned.
    """

    path: Path
    duration: float | None
    fps: float | None
    width: int
    height: int
    rotation: int
    frame_count: int | None
    mirrored: bool = False


def probe(path: str | Path) -> VideoInfo:
    """Look at a video file and decode its first frame.

    Raises:
        VideoError: The file is not a readable video; the message is one sentence that says why.
    """
    sampler = VideoSampler(path, 1.0, max_side=1, _probe=True)
    sampler.close()
    return sampler.info


def sample(
    path: str | Path, fps: float, *, start: float = 0.0, end: float | None = None, max_side: int = MAX_SIDE
) -> VideoSampler:
    """Frames of a video at a sampling rate; an iterator of `(frame, seconds)`, see `VideoSampler`."""
    return VideoSampler(path, fps, start=start, end=end, max_side=max_side)


class VideoSampler:
    """Iterates over `(frame, seconds)`: uint8 `[height, width, 3]` RGB and the frame's presentation time.

    All frames of one sampler have one size: that of the video's first frame, scaled down so that no side exceeds
    `max_side` (never scaled up); a frame of another shape is letterboxed. The file is opened once, and decoded in a process
    of its own that is at most `limits.slots` frames ahead. Can be used as a context manager; it closes itself at the end.

    Args:
        path: The video file.
        fps: Sampling rate in frames per second, above 0 and at most 1,000.
        start: First sampling instant in seconds, 0 or later.
        end: Frames at or after this time are not given; None for all.
        max_side: Largest width or height of the frames given, 1 or more.
        limits: What decoding may cost.

    Attributes:
        info: What is known of the file; exact about the duration once all frames were read.
        size: Width and height of the frames given.
        fps: Sampling rate in frames per second.
        step: Seconds between sampling instants.

    Raises:
        VideoError: The file is not a readable video, or an argument is out of range. While iterating: it cannot be decoded
            any further.
    """

    def __init__(
        self,
        path: str | Path,
        fps: float,
        *,
        start: float = 0.0,
        end: float | None = None,
        max_side: int = MAX_SIDE,
        limits: Limits = LIMITS,
        _probe: bool = False,
    ) -> None:
        if not (math.isfinite(fps) and 0 < fps <= 1000):
            raise VideoError(f"The sampling rate must be above 0 and at most 1,000 frames per second, not {fps}.")
        if not (math.isfinite(start) and start >= 0):
            raise VideoError(f"The start must be 0 seconds or later, not {start}.")
        if end is not None and not end > start:
            raise VideoError(f"The end must come after the start ({start} s), not at {end} s.")
        if max_side < 1:
            raise VideoError(f"Frames must be at least 1 pixel wide, not {max_side}.")
        path = Path(path)
        name = display_name(path)
        file = _open(path, name, limits)
        try:
            file_format = detect_format(_head(file, name), name)
            request = {
                "demuxer": file_format.demuxer,
                "fps": fps,
                "start": start,
                "end": None if end is None or math.isinf(end) else end,
                "max_side": min(max_side, 100_000),
                "probe": _probe,
            }
            self._process = DecoderProcess(file, name, limits, request, fork_server())
        finally:
            os.close(file)
        self._release = weakref.finalize(self, self._process.close)
        try:
            opened = self._process.opened()
        except VideoError:
            self.close()
            raise
        self.fps = fps
        self.step = 1.0 / fps
        self.size = opened.size
        self.info = VideoInfo(
            path.absolute(),
            opened.duration,
            opened.fps,
            opened.width,
            opened.height,
            opened.rotation,
            opened.frame_count,
            opened.mirrored,
        )
        if opened.duration is not None and start >= opened.duration + 0.001:
            self.close()
            raise VideoError(f"{name} is {opened.duration:.1f} s long, so it cannot be read from {start:.1f} s on.")

    @property
    def state(self) -> State:
        """What has been counted up to the frame read last."""
        return self._process.state

    @property
    def skipped(self) -> int:
        """Frames so far that were in the file but could not be decoded, as far as gaps in their times tell."""
        return self.state.skipped

    @property
    def ended_early(self) -> bool:
        """True once the file has ended well before the duration it states (it was cut short)."""
        return self.state.ended_early

    @property
    def decoded(self) -> int:
        """Frames decoded so far, whether given or not."""
        return self.state.decoded

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on what was changed about the times so far: gaps that were shortened."""
        return self.state.notes

    def __iter__(self) -> Iterator[tuple[Frame, float]]:
        return self

    def __next__(self) -> tuple[Frame, float]:
        if not self._release.alive:
            raise StopIteration
        try:
            given = self._process.next_frame()
        except VideoError:
            if not self._release.alive:  # closed meanwhile by another thread
                raise StopIteration from None
            self.close()
            raise
        if given is not None:
            return given
        if self.state.duration is not None:
            self.info = replace(self.info, duration=self.state.duration)
        self.close()
        raise StopIteration

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the decoder process; further iteration ends at once."""
        self._release()


def _head(file: int, name: str) -> bytes:
    """The first bytes of a file.

    Raises:
        VideoError: The disk or the file system reports an error.
    """
    try:
        return os.pread(file, HEAD_BYTES, 0)
    except OSError as error:
        raise VideoError(f"{name} cannot be read: {error.strerror or error}.") from None


def _open(path: Path, name: str, limits: Limits) -> int:
    """A descriptor of a regular file.

    Raises:
        VideoError: Missing, not a file, not readable, or too large.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except FileNotFoundError:
        raise VideoError(f"There is no file {name}.") from None
    except PermissionError:
        raise VideoError(f"{name} may not be read: permission denied.") from None
    except (OSError, ValueError) as error:
        raise VideoError(f"{name} cannot be opened: {getattr(error, 'strerror', None) or error}.") from None
    found = os.fstat(file)
    if stat.S_ISREG(found.st_mode) and found.st_size <= limits.file_bytes:
        return file
    os.close(file)
    if stat.S_ISDIR(found.st_mode):
        raise VideoError(f"{name} is a folder, not a video file.")
    if not stat.S_ISREG(found.st_mode):
        raise VideoError(f"{name} is a device or a pipe, not a video file.")
    raise VideoError(f"{name} is larger than {limits.file_bytes / 2**30:.0f} GB, the most that is read here.")
