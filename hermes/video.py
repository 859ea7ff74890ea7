"""Untrusted video files as frames with their times, taken lazily at a sampling rate.

Which frame is taken: the **first frame whose presentation time is at or after** each sampling instant
`start, start + 1/fps, start + 2/fps, …`. Every frame is given at most once and with its own presentation time (not the
instant's), so that variable frame rates stay true, and a rate above the file's own simply gives every frame. Times are
seconds from the first frame of the video track.

Frames between two instants are stepped over without converting them to pictures; where the gap is long, jumping to the
next key frame is tried, timed, and kept only while it is faster than stepping and lands where it should.
"""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import numpy as np

# Both are read when OpenCV opens its first file; what a broken file means is said in a VideoError instead.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")

import cv2

from hermes.containers import VideoError, check_container, display_name, why_unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

__all__ = ["VideoError", "VideoInfo", "VideoSampler", "probe", "sample"]

MAX_PIXELS: Final = 40_000_000  # 8K is 33 to 35 million; a decoder holds several such pictures
MIN_JUMP_FRAMES: Final = 48  # shorter gaps are stepped over
ASSUMED_FPS: Final = 25.0  # for files that tell neither times nor a rate


@dataclass(frozen=True)
class VideoInfo:
    """What a video file says about itself.

    Attributes:
        path: The file.
        duration: Seconds, or None where the file does not tell (recordings made in a browser often do not).
        fps: Mean frames per second, or None where unknown.
        width: Pixels as shown, after rotation and with square pixels.
        height: Pixels as shown.
        rotation: Degrees clockwise by which frames are turned before they are given: 0, 90, 180 or 270.
        frame_count: Number of frames, or None where unknown.
    """

    path: Path
    duration: float | None
    fps: float | None
    width: int
    height: int
    rotation: int
    frame_count: int | None


def probe(path: str | Path) -> VideoInfo:
    """Look at a video file and decode its first frame.

    Raises:
        VideoError: the file is not a readable video; the message is one sentence that says why.
    """
    capture, info = _open(Path(path))
    try:
        if not capture.grab() or not capture.retrieve()[0]:
            raise VideoError(f"{display_name(info.path)} is damaged: not one of its frames can be decoded.")
    finally:
        capture.release()
    return info


def sample(
    path: str | Path, fps: float, *, start: float = 0.0, end: float | None = None, max_side: int = 512
) -> VideoSampler:
    """Frames of a video at a sampling rate; an iterator of `(frame, seconds)`, see `VideoSampler`."""
    return VideoSampler(path, fps, start=start, end=end, max_side=max_side)


class VideoSampler:
    """Iterates over `(frame, seconds)`: uint8 `[height, width, 3]` RGB and the frame's presentation time.

    All frames of one sampler have one size: that of the video, scaled down so that no side exceeds `max_side` (never
    scaled up). One decoded frame is in memory at a time. Can be used as a context manager; it closes itself at the end.

    Args:
        path: The video file.
        fps: Sampling rate in frames per second, above 0 and at most 1,000.
        start: First sampling instant in seconds, 0 or later.
        end: Frames at or after this time are not given; None for all.
        max_side: Largest width or height of the frames given, 1 or more.

    Attributes:
        info: What the file says about itself.
        size: Width and height of the frames given.
        step: Seconds between sampling instants.
        skipped: Frames so far that were in the file but could not be decoded, as far as gaps in their times tell.
        ended_early: True once the file has ended well before the duration it promises (it was cut short).

    Raises:
        VideoError: the file is not a readable video, or an argument is out of range. While iterating: not one frame
            could be decoded.
    """

    def __init__(
        self, path: str | Path, fps: float, *, start: float = 0.0, end: float | None = None, max_side: int = 512
    ) -> None:
        if not (math.isfinite(fps) and 0 < fps <= 1000):
            raise VideoError(f"The sampling rate must be above 0 and at most 1,000 frames per second, not {fps}.")
        if not (math.isfinite(start) and start >= 0):
            raise VideoError(f"The start must be 0 seconds or later, not {start}.")
        if end is not None and not end > start:
            raise VideoError(f"The end must come after the start ({start} s), not at {end} s.")
        if max_side < 1:
            raise VideoError(f"Frames must be at least 1 pixel wide, not {max_side}.")
        self.skipped = 0
        self.ended_early = False
        self._capture, self.info = _open(Path(path))
        if self.info.duration is not None and start >= self.info.duration + 0.001:
            self._capture.release()
            name, length = display_name(self.info.path), self.info.duration
            raise VideoError(f"{name} is {length:.1f} s long, so it cannot be read from {start:.1f} s on.")
        longest = max(self.info.width, self.info.height)
        scale = min(1.0, max_side / longest)
        self.size = (max(1, round(self.info.width * scale)), max(1, round(self.info.height * scale)))
        self.step = 1.0 / fps
        self._start = start
        self._end = math.inf if end is None else end
        self._tolerance = min(0.002, 0.1 * self.step)  # containers round times to a millisecond
        self._interval = 1.0 / (self.info.fps or ASSUMED_FPS)
        self._pace = _Pace(self._interval)
        self._instant = 0  # number of the next sampling instant
        self._now = -1.0  # time of the frame last stepped to
        self._stepped = 0  # frames since the file was opened
        self._counting = False  # the file tells no times: count frames instead
        self._can_jump = bool(self.info.fps and self.info.duration)
        self._unplaced = 0  # failures whose gap in the times has not been seen yet
        self._given = 0
        self._step_cost, self._jump_cost = 0.0, 0.0  # measured seconds; 0 is unknown

    def __iter__(self) -> Iterator[tuple[np.ndarray, float]]:
        return self

    def __next__(self) -> tuple[np.ndarray, float]:
        while self._advance(self._start + self._instant * self.step):
            if self._now >= self._end:
                break
            frame = self._picture()
            self._instant += 1
            if frame is None:
                self.skipped += 1
                continue
            passed = math.floor((self._now + self._tolerance - self._start) / self.step) + 1
            self._instant = max(self._instant, passed)
            self._given += 1
            return frame, self._now
        was_open = self._capture.isOpened()
        self.close()
        if was_open and not self._given and self._start == 0.0:
            raise VideoError(f"{display_name(self.info.path)} is damaged: not one of its frames can be decoded.")
        raise StopIteration

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the file; further iteration ends at once."""
        self._capture.release()

    def _advance(self, target: float) -> bool:
        """Step to the first frame at or after `target`; False at the end of the file."""
        gap = (target - max(self._now, 0.0)) / self._interval
        if self._can_jump and gap >= MIN_JUMP_FRAMES and self._jump_cost <= gap * self._step_cost + 1e-9:
            self._jump(target)
        before, began = self._stepped, time.perf_counter()
        while self._now < target - self._tolerance:
            if not self._capture.isOpened() or not self._grab():
                return False
            if self._now >= self._end:
                break
        if self._stepped > before:
            self._step_cost = _mean(self._step_cost, (time.perf_counter() - began) / (self._stepped - before))
        return True

    def _grab(self) -> bool:
        """Decode the next frame whose time moves forward, without making a picture of it; False at the end."""
        failed = 0
        while failed <= self._patience():
            if not self._capture.grab():
                failed += 1  # either the end, or one frame that cannot be decoded: the next may be sound
                continue
            self._stepped += 1
            at = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000.0
            if self._stepped == 2 and at <= self._now:
                self._counting, self._can_jump = True, False
            if self._counting:
                at = (self._stepped - 1) * self._interval
            if self._stepped > 1 and at <= self._now:
                self.skipped += 1
                continue
            lost = self._pace.missing(at - self._now) if self._stepped > 1 else 0
            self._unplaced += failed  # a decoder gives frames late: the gap that these leave may come later
            self.skipped += failed + max(0, lost - self._unplaced)
            self._unplaced = max(0, self._unplaced - lost)
            self._now = max(at, 0.0)
            return True
        missing = (self.info.duration or 0.0) - max(self._now, 0.0)
        self.ended_early = missing > max(1.0, 2.5 * self._interval)
        return False

    def _patience(self) -> int:
        """How many frames in a row may fail before the file counts as ended."""
        if self.info.duration is None:
            return 100
        return min(20_000, 2 + round((self.info.duration - self._now) / self._interval))

    def _jump(self, target: float) -> None:
        """Seek to just before `target`; give seeking up for this file where it lands anywhere else."""
        began = time.perf_counter()
        moved = self._capture.set(cv2.CAP_PROP_POS_MSEC, max(target - 2 * self._interval, 0.0) * 1000.0)
        at = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000.0
        if moved and max(self._now, 1e-6) <= at < target - self._tolerance:
            self._stepped += 1
            self._now = at
            self._jump_cost = _mean(self._jump_cost, time.perf_counter() - began)
            return
        # Seeking counts frames at the mean rate, which misses where the rate varies: start over, and step.
        self._can_jump = False
        self._capture.release()
        self._capture, _ = _open(self.info.path)
        self._now, self._stepped = -1.0, 0
        self._pace = _Pace(self._interval)

    def _picture(self) -> np.ndarray | None:
        """The frame stepped to as RGB at the sampler's size; None where it cannot be made."""
        try:
            whole, picture = self._capture.retrieve()
            if not whole or picture is None or picture.size == 0:
                return None
            if (picture.shape[1], picture.shape[0]) != self.size:
                picture = cv2.resize(picture, self.size, interpolation=cv2.INTER_AREA)
            return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        except cv2.error:
            return None


class _Pace:
    """Counts frames that are missing from a file of constant rate, by the gaps between frame times."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._regular, self._all = 0, 0

    def missing(self, gap: float) -> int:
        """Frames lost in `gap` seconds between two neighbours: 0 where the rate varies."""
        parts = gap / self._interval
        self._all += 1
        if abs(parts - 1.0) < 0.1:
            self._regular += 1
            return 0
        whole = round(parts)
        constant = self._all > 4 and self._regular >= 0.8 * self._all
        return whole - 1 if constant and whole >= 2 and abs(parts - whole) < 0.1 else 0


def _mean(old: float, new: float) -> float:
    return new if old == 0.0 else 0.7 * old + 0.3 * new


def _open(path: Path) -> tuple[cv2.VideoCapture, VideoInfo]:
    """Open a file whose container is known. The absolute path keeps names such as `concat:x` plain names."""
    check_container(path)
    path = path.absolute()
    threads = min(4, os.cpu_count() or 1)
    try:
        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, threads])
    except (cv2.error, UnicodeEncodeError):
        raise VideoError(why_unreadable(path)) from None
    if not capture.isOpened():
        raise VideoError(why_unreadable(path))
    info = _describe(path, capture)
    if info.width < 1 or info.height < 1:
        capture.release()
        raise VideoError(why_unreadable(path))
    if info.width * info.height > MAX_PIXELS:
        capture.release()
        size = f"{info.width} × {info.height}"
        raise VideoError(f"{display_name(path)} is {size} pixels: larger than 8K video, the most that is read here.")
    return capture, info


def _describe(path: Path, capture: cv2.VideoCapture) -> VideoInfo:
    width, height = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
    rotation = int(capture.get(cv2.CAP_PROP_ORIENTATION_META)) % 360
    across, down = capture.get(cv2.CAP_PROP_SAR_NUM), capture.get(cv2.CAP_PROP_SAR_DEN)
    if across > 0 and down > 0 and across != down and 0.1 < across / down < 10:
        if rotation % 180:
            height = max(1, round(height * across / down))
        else:
            width = max(1, round(width * across / down))
    rate = capture.get(cv2.CAP_PROP_FPS)
    fps = rate if math.isfinite(rate) and 0 < rate <= 480 else None
    count = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    known = math.isfinite(count) and 0 < count < 1e10
    return VideoInfo(
        path=path,
        duration=count / fps if known and fps else None,
        fps=fps,
        width=width,
        height=height,
        rotation=rotation,
        frame_count=int(count) if known else None,
    )
