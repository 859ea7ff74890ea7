"""Lazy sampling of the frames of an untrusted video file.

For each sampling instant `start, start + 1/fps, start + 2/fps, …`, the **first frame at or after** the instant is returned,
at most once and with its own presentation time. Variable frame rates therefore keep their times, and a sampling rate above
the file's rate returns every frame. Times are seconds from the first frame of the video track.
"""

from __future__ import annotations

import math
import os
import stat
import weakref
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from hermes.video.decoder_process import DecoderProcess, Frame, State, fork_server
from hermes.video.errors import VideoError, display_name
from hermes.video.formats import HEAD_BYTES, detect_format
from hermes.video.limits import LIMITS, MAX_SIDE, MIN_SAMPLED, Limits

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

__all__ = ["VideoError", "VideoInfo", "VideoSampler", "probe", "sample"]


@dataclass(frozen=True)
class VideoInfo:
    """Metadata of a video file.

    Attributes:
        path: The file.
        duration: Seconds from the first presented frame to the end of the last one; None if unknown, as for large
            files whose container does not state it. It is exact once all frames have been read.
        fps: Mean frames per second, or None if unknown.
        width: Displayed width in pixels, after rotation and with square pixels.
        height: Displayed height in pixels.
        rotation: Degrees clockwise by which frames were rotated for display: 0, 90, 180 or 270.
        frame_count: Number of frames, or None if unknown.
        mirrored: Whether frames were mirrored left to right before the rotation.
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
    """Open a video file, decode its first frame and return its metadata.

    Raises:
        VideoError: The file cannot be decoded; the message is one sentence that states the reason.
    """
    sampler = VideoSampler(path, 1.0, max_side=1, _probe=True)
    sampler.close()
    return sampler.info


def sample(
    path: str | Path, fps: float, *, start: float = 0.0, end: float | None = None, max_side: int = MAX_SIDE
) -> VideoSampler:
    """Open a video file and return an iterator of `(frame, seconds)`, see `VideoSampler`."""
    return VideoSampler(path, fps, start=start, end=end, max_side=max_side)


class VideoSampler:
    """Iterates over `(frame, seconds)`: uint8 `[height, width, 3]` RGB and the frame's presentation time.

    All frames have the size of the video's first frame, scaled down so that no side exceeds `max_side` (never scaled up).
    A frame of another shape is letterboxed. The file is opened once and decoded in a separate process, which is at most
    `limits.slots` frames ahead. A sampler is a context manager, and closes itself after the last frame.

    Args:
        path: The video file.
        fps: Sampling rate in frames per second, 0.000001 to 1,000.
        start: First sampling instant in seconds, 0 or later.
        end: Frames at or after this time are not returned; None: no limit.
        max_side: Largest width or height of the returned frames, 1 or more.
        limits: The limits on time and memory.

    Attributes:
        info: Metadata of the file. The duration is exact once all frames have been read.
        size: Width and height of the returned frames.
        fps: Sampling rate in frames per second.
        max_side: The limit of width and height that was given.
        step: Seconds between sampling instants.

    Raises:
        VideoError: The file cannot be decoded, or an argument is out of range. While iterating: the rest of the file cannot
            be decoded.
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
        if not MIN_SAMPLED <= fps <= 1000:
            raise VideoError(f"The sampling rate must be {MIN_SAMPLED:f} to 1,000 frames per second, not {fps}.")
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
        self._ahead: tuple[Frame, float] | None = None
        try:
            opened = self._process.opened()
        except VideoError:
            self.close()
            raise
        self.fps = fps
        self.max_side = max_side
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
        """Counters up to the last frame that was read."""
        return self._process.state

    @property
    def skipped(self) -> int:
        """Frames so far that could not be decoded, as far as gaps between frame times show them."""
        return self.state.skipped

    @property
    def ended_early(self) -> bool:
        """Whether the file ended well before the duration it states, because it was cut short."""
        return self.state.ended_early

    @property
    def decoded(self) -> int:
        """Frames decoded so far, returned or not."""
        return self.state.decoded

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user about changes to the times so far, such as shortened gaps."""
        return self.state.notes

    def __iter__(self) -> Iterator[tuple[Frame, float]]:
        return self

    def peek(self) -> tuple[Frame, float] | None:
        """Return the next frame and its time without removing it from the iteration; None at the end.

        Raises:
            VideoError: The rest of the file cannot be decoded.
        """
        if self._ahead is None:
            self._ahead = next(self, None)
        return self._ahead

    @property
    def open(self) -> bool:
        """Whether the sampler was not closed, and has not ended."""
        return bool(self._release.alive)

    def __next__(self) -> tuple[Frame, float]:
        if not self._release.alive:
            raise StopIteration
        if self._ahead is not None:
            ahead, self._ahead = self._ahead, None
            return ahead
        try:
            item = self._process.next_frame()
        except VideoError:
            if not self._release.alive:  # closed meanwhile by another thread
                raise StopIteration from None
            self.close()
            raise
        if item is not None:
            return item
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
        """End the decoder process. Further iteration stops immediately."""
        self._release()


def _head(file: int, name: str) -> bytes:
    """Return the first bytes of a file.

    Raises:
        VideoError: The disk or the file system reports an error.
    """
    try:
        return os.pread(file, HEAD_BYTES, 0)
    except OSError as error:
        raise VideoError(f"{name} cannot be read: {error.strerror or error}.") from None


def _open(path: Path, name: str, limits: Limits) -> int:
    """Open a regular file and return its descriptor.

    Raises:
        VideoError: The file is missing, not a regular file, not readable, or too large.
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
    raise VideoError(f"{name} is larger than {limits.file_bytes / 2**30:.0f} GB, the largest that is read here.")
