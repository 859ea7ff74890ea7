"""Decodes one video file and samples its frames. Runs in a decoder process, see `hermes.video.decoder_process`.

Frames between two sampling instants are decoded, but not converted to RGB. In containers whose key frames are reliable, the
packets before the last key frame at or before the next instant are not decoded at all.
"""

from __future__ import annotations

import errno
import heapq
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import av.error

from hermes.video import explain
from hermes.video.clock import LossEstimator
from hermes.video.container import ASSUMED_FPS, MediaFile
from hermes.video.conversion import FrameConverter, Picture, displayed_size, orientation_of
from hermes.video.durations import (
    PacketScan,
    is_cut_picture,
    last_frame_ticks,
    new_clock,
    scan_packets,
    stated_duration,
    stated_end,
)
from hermes.video.errors import VideoError
from hermes.video.limits import LONGEST_SECONDS, Limits, cpu_seconds
from hermes.video.packets import MAX_FAILURES, PacketQueue, PacketReader

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from hermes.video.formats import FileFormat

TICK_SECONDS = 0.02
"""Least time between two checks of the limits on time."""
MAX_REORDER = 16
"""Most frames by which a codec with B-frames changes their order."""


@dataclass(frozen=True)
class Metadata:
    """Metadata of a video file, see `hermes.video.sampler.VideoInfo`."""

    duration: float | None
    fps: float | None
    width: int
    height: int
    rotation: int
    mirrored: bool
    frame_count: int | None


@dataclass(frozen=True)
class Sampling:
    """The sampling parameters, see `hermes.video.sampler.VideoSampler`; `end` may be infinite."""

    fps: float
    start: float
    end: float
    max_side: int


class Decoder:
    """Decodes a file once, from its first frame to its last, and samples its frames.

    Attributes:
        metadata: Metadata of the file.
        size: Width and height of the sampled pictures.
        skipped: Frames that could not be decoded.
        decoded: Frames decoded so far, sampled or not.
        ended_early: Whether the file ended well before the duration it states.
        duration: Seconds from the first frame to the end of the last; None until the file has been read to its end.
    """

    def __init__(
        self,
        file: BinaryIO,
        file_format: FileFormat,
        name: str,
        sampling: Sampling,
        limits: Limits,
        tick: Callable[[], None],
    ) -> None:
        """Open a file and decode its first frame.

        Args:
            file: The file, opened for reading.
            file_format: Its format, see `hermes.video.formats`.
            name: Its name for messages.
            sampling: The sampling parameters.
            limits: The limits on time and memory.
            tick: Called before each packet is read or decoded.

        Raises:
            VideoError: The file cannot be decoded; the message states the reason.
        """
        self.skipped = 0
        self.decoded = 0
        self.ended_early = False
        self.duration: float | None = None
        self._sampling, self._limits, self._name, self._grant = sampling, limits, name, tick
        self._cpu_before, self._ticked = cpu_seconds(), -math.inf
        self._seconds = 0.0  # of the newest frame
        self._failed = 0
        self._media = MediaFile(file, file_format, name, limits, self._tick)
        first, scan = self._start()
        if first is None and file_format.demuxer == "mov" and not explain.is_encrypted(file, file_format):
            self._media.ignore_edits()
            first, scan = self._start()
        if first is None:
            raise VideoError(self._media.undecodable())
        self._first: VideoFrame | None = first
        self._scanned = scan.duration if scan else None
        self._expected_end = _plausible(stated_end(self._media))
        self.metadata = self._describe(first, scan)
        scale = min(1.0, sampling.max_side / max(self.metadata.width, self.metadata.height))
        self.size = (max(1, round(self.metadata.width * scale)), max(1, round(self.metadata.height * scale)))
        self._converter = FrameConverter(self.size)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user about changes to the times."""
        edits = ("The edit list of this file selects no frames, so all frames are shown.",)
        return (*(edits if self._media.ignores_edits else ()), *self._clock.notes())

    def sample(self, canvas: Callable[[], Picture]) -> Iterator[float]:
        """Write each sampled frame into the picture that `canvas` returns, then yield its time in seconds.

        Raises:
            VideoError: The rest of the file cannot be decoded.
        """
        sampling = self._sampling
        step = 1.0 / sampling.fps
        tolerance = min(0.002, 0.1 * step)  # containers round times to a millisecond
        instant = 0
        frame, self._first = self._first, None
        while frame is not None:
            at = self._place(frame)
            target = sampling.start + instant * step
            if at is not None and at >= sampling.end:
                return
            if at is not None and at >= target - tolerance:
                self._converter.convert(frame, self._media.pixel_ratio, canvas())
                instant = max(instant + 1, math.floor((at + tolerance - sampling.start) / step) + 1)
                yield at
            frame = self._next_frame(sampling.start + instant * step - tolerance)
        self.skipped += self._failed
        self._failed = 0
        self._finish()

    # Opening ------------------------------------------------------------------------------------------------------

    def _start(self) -> tuple[VideoFrame | None, PacketScan | None]:
        """Read the file from its start; returns its first frame and, for a small file, a scan of its packets."""
        media = self._media
        self._context = media.track.codec_context
        self._reader = PacketReader(media, self._tick)
        track, container = media.track, media.container
        scan = scan_packets(media, self._reader)
        media.track, media.container = track, container  # a scan may have reached a later recording
        self._clock = new_clock(media)
        self._losses = LossEstimator(1 / (media.fps or ASSUMED_FPS))
        self._queue = PacketQueue(self._reader, media, self._clock)
        self._unassigned = self._failed = 0
        self._failures_in_a_row = self._empty_packets = 0
        self._last_duration = 0
        self._stamp: int | None = None
        self._ready: deque[VideoFrame] = deque()
        self._flushed = False
        self._landing: int | None = None
        self._decode_order: list[int] | None = None
        if media.format.demuxer == "avi" and self._context.has_b_frames:
            self._decode_order = []
        return self._next_frame(-math.inf), scan

    def _describe(self, first: VideoFrame, scan: PacketScan | None) -> Metadata:
        orientation = orientation_of(first)
        width, height = displayed_size(first, self._media.pixel_ratio, orientation)
        return Metadata(
            duration=_plausible(scan.duration if scan else stated_duration(self._media)),
            fps=self._media.fps or _plausible(scan.fps if scan else None),
            width=width,
            height=height,
            rotation=orientation.rotation,
            mirrored=orientation.mirrored,
            frame_count=scan.frames if scan else (self._media.track.frames or None),
        )

    # Decoding -----------------------------------------------------------------------------------------------------

    def _next_frame(self, target: float) -> VideoFrame | None:
        """The next decoded frame; frames before `target` seconds may be dropped. None at the end."""
        while True:
            while self._ready:
                frame = self._ready.popleft()
                if self._is_whole(frame):
                    return frame
            if self._flushed or self._fails_for_good:
                return None
            packet = self._queue.next(target)
            if packet is not None:
                self._prepare(packet)
            self._decode(packet)

    @property
    def _fails_for_good(self) -> bool:
        """Whether too many packets failed or contained no frame to try the rest of the file."""
        return self._failures_in_a_row >= MAX_FAILURES or self._empty_packets >= self._limits.empty_packets

    def _is_whole(self, frame: VideoFrame) -> bool:
        """Whether a frame was decoded completely; counts it as failed if it was not."""
        self.decoded += 1
        if self._landing is not None:
            if frame.pts is not None and frame.pts < self._landing:
                return False  # refers to frames that were dropped
            self._landing = None
        if frame.is_corrupt:
            self._failed += 1
            return False
        return True

    def _prepare(self, packet: Packet[VideoStream]) -> None:
        """Restart the decoder where packets were dropped, and replace it where another recording begins."""
        if self._queue.is_landing(packet):
            self._ready.clear()
            self._context.flush_buffers()
            self._landing = packet.pts
            self._clock.pass_over()
        if packet.stream.codec_context is not self._context:
            self._decode(None)
            self._flushed = False
            self._media.switch(packet.stream)
            self._context = packet.stream.codec_context
        self._reader.note(packet)
        if self._decode_order is not None and packet.pts is not None:
            heapq.heappush(self._decode_order, packet.pts)

    def _decode(self, packet: Packet[VideoStream] | None) -> None:
        """Hand a packet to the decoder; None at the end."""
        self._tick()
        self._flushed = packet is None
        self._empty_packets += 1
        try:
            if packet is not None and packet.is_corrupt:
                packet.is_corrupt = False  # a gap in the packet numbers of a stream says nothing about this frame
            frames = self._context.decode(packet)
            self._ready.extend(frames)
            self._failures_in_a_row = 0
            if frames:
                self._empty_packets = 0
        except av.error.FFmpegError as error:
            if error.errno == errno.ENOMEM:
                raise MemoryError from error
            self._failed += 1
            self._failures_in_a_row += 1

    def _tick(self) -> None:
        """Extend the time limit, unless the file takes more processor time than its length justifies.

        Called before each packet is read or decoded, since packets that are skipped or hold no frame take time, too. The
        limits are checked at intervals, because a check takes longer than reading a small packet.

        Raises:
            VideoError: It does.
        """
        now = time.monotonic()
        if now - self._ticked < TICK_SECONDS:
            return
        self._ticked = now
        self._grant()
        used = cpu_seconds() - self._cpu_before
        if used > self._limits.base_cpu_seconds + self._limits.cpu_rate * self._seconds:
            raise VideoError(
                f"{self._name} takes too long to decode: {used:.0f} seconds of processor time for the first "
                f"{self._seconds:.1f} seconds of video. Convert it to a smaller size, for example 1280 × 720."
            )

    # Times --------------------------------------------------------------------------------------------------------

    def _place(self, frame: VideoFrame) -> float | None:
        """The time of a frame in seconds, None for a second one at the same time; counts frames lost before it."""
        before, passed_over, gaps = self._clock.now, self._clock.passes_over, len(self._clock.gaps)
        stamp, stamp_before = self._stamp_of(frame), self._stamp
        now = self._clock.place(stamp, damaged=self._failed > 0)
        self._stamp = stamp
        self._last_duration = (frame.duration or 0) if stamp is not None else 0
        if now is None:
            return None
        lost = 0
        if before >= 0 and not passed_over and not self._media.format.has_index and len(self._clock.gaps) == gaps:
            interval = (now - before) / (self._repeats_before(stamp) + 1) * self._media.seconds_per_tick
            lost = self._losses.lost(interval, lambda frames: self._reader.holds_bytes_for(frames, stamp_before, stamp))
        self._unassigned += self._failed  # decoders return frames late: the gap that these leave may come later
        self.skipped += self._failed + max(0, lost - self._unassigned)
        self._unassigned = max(0, self._unassigned - lost)
        self._failed = 0
        self._seconds = max(float(now * self._media.time_base), 0.0)
        return float(now * self._media.time_base)

    def _stamp_of(self, frame: VideoFrame) -> int | None:
        """The presentation timestamp of a frame.

        AVI numbers frames in decoding order. The frames come in presentation order, so that each gets the smallest number
        that was not used. Numbers of frames that were lost are dropped once no reordering explains them.
        """
        if self._decode_order is None or frame.pts is None:
            return frame.pts
        stamps = self._decode_order
        while stamps and stamps[0] < frame.pts - MAX_REORDER * self._clock.interval:
            heapq.heappop(stamps)
        return heapq.heappop(stamps) if stamps else frame.pts

    def _repeats_before(self, stamp: int | None) -> int:
        """How often the frame before is repeated before a timestamp."""
        repeats, count = self._reader.repeats, 0
        while stamp is not None and repeats and repeats[0] < stamp:
            repeats.popleft()
            count += 1
        return count

    def _finish(self) -> None:
        """Set the duration, and check whether a part of the file is missing or encrypted."""
        media, clock = self._media, self._clock
        ticks = last_frame_ticks(media, self._reader, clock, self._last_duration)
        self.duration = float((max(clock.now, 0) + ticks) * media.time_base)
        much = max(1.0, 2.5 * clock.usual() * media.seconds_per_tick)
        if media.format.demuxer == "mpegts" and explain.ends_encrypted(media.file, media.track.id):
            raise VideoError(explain.encrypted_from(media.name, self.duration))
        if media.format.canvas and is_cut_picture(media, self.decoded + self.skipped):
            self.ended_early = True
        if self._scanned is not None and self._scanned - self.duration > much:
            self.ended_early = True  # the rest was read, but not decoded
        stated = self._expected_end
        if stated is None or clock.span is None:
            return
        if media.format.demuxer == "mov":
            reached = clock.span * media.seconds_per_tick + ticks * media.seconds_per_tick
        else:  # some programs state the time of the end, others the length
            start = min((media.container.start_time or 0) / 1e6, 0.0)
            reached = max(self._reader.ends.values(), default=0.0) - start
        self.ended_early |= stated - reached > much


def _plausible(value: float | None) -> float | None:
    """Return a duration or a frame rate unless no video has it, which a damaged or malicious file may state."""
    return value if value is not None and value < LONGEST_SECONDS else None
