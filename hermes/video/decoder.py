"""Decodes one video file and samples its frames. It runs in a decoder process, see `hermes.video.decoder_process`.

Frames between two sampling instants are decoded without making pictures of them. Where key frames can be trusted, the
packets before the last key frame that is not after the next instant are not decoded at all.
"""

from __future__ import annotations

import errno
import itertools
import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import av
import av.error
from av.packet import Packet

from hermes.video import explain
from hermes.video.clock import FrameClock, Pace, unwrapped
from hermes.video.errors import VideoError
from hermes.video.kinds import HEAD_BYTES, canvas_size
from hermes.video.limits import Limits, cpu_seconds
from hermes.video.pictures import Painter, Picture, shown_size, turn_of
from hermes.video.tracks import PICTURE_CODECS, size_of, video_tracks

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from hermes.video.kinds import FileKind

ASSUMED_FPS: Final = 25.0  # for files that tell neither times nor a rate
MAX_FPS: Final = 480.0
MIN_SKIP_FRAMES: Final = 6  # shorter stretches are decoded
MAX_FAILURES: Final = 1000  # packets in a row that cannot be read or decoded
COMMENT: Final = 0x81  # the Theora header that its decoder refuses
READ_BYTES: Final = 1 << 18


@dataclass(frozen=True)
class Facts:
    """What is known of a file when it is open, see `hermes.video.sampler.VideoInfo`."""

    duration: float | None
    fps: float | None
    width: int
    height: int
    rotation: int
    mirrored: bool
    frame_count: int | None


@dataclass(frozen=True)
class Sampling:
    """Which frames to give, see `hermes.video.sampler.VideoSampler`; `end` may be infinite."""

    fps: float
    start: float
    end: float
    max_side: int


class Decoder:
    """Gives the sampled frames of a file, one after the other.

    Attributes:
        facts: What is known of the file.
        size: Width and height of the pictures.
        skipped: Frames that could not be decoded.
        decoded: Frames decoded, whether given or not.
        ended_early: Whether the file ended well before the duration it states.
        duration: Seconds of all presented frames; None until the file has been read to its end.
    """

    def __init__(
        self, file: BinaryIO, kind: FileKind, name: str, sampling: Sampling, limits: Limits, tick: Callable[[], None]
    ) -> None:
        """Open a file and decode its first frame.

        Args:
            file: The file, opened for reading.
            kind: Its kind, see `hermes.video.kinds`.
            name: Its name for messages.
            sampling: Which frames to give.
            limits: What it may cost.
            tick: Called before each packet is decoded.

        Raises:
            VideoError: The file cannot be decoded; the message says why.
        """
        self.skipped = 0
        self.decoded = 0
        self.ended_early = False
        self.duration: float | None = None
        self._file, self._kind, self._name = file, kind, name
        self._sampling, self._limits, self._tick = sampling, limits, tick
        self._cpu_before = cpu_seconds()
        self._bytes = file.seek(0, 2)
        file.seek(0)
        self._head = file.read(HEAD_BYTES)
        self._container = self._open()
        self._track = self._choose()
        self._context = self._track.codec_context
        # The Theora decoder cannot take the headers of an appended recording in more than one thread.
        self._context.thread_count = 1 if self._context.name == "theora" else limits.threads
        self._context.thread_type = "AUTO"
        self._context.options = {**self._context.options, "max_pixels": str(self._most_pixels)}
        self._time_base = self._track.time_base or Fraction(1, 1_000_000)
        self._seconds_per_tick = float(self._time_base)
        self._fps = _sane_rate(self._track)
        interval = max(1, round(1 / (self._fps or ASSUMED_FPS) / self._seconds_per_tick))
        self._ends: dict[int, float] = {}
        self._repeats: deque[int] = deque()  # timestamps of empty packets
        self._packets: Iterator[Packet[VideoStream]] = self._read()
        scan = self._scan(interval)
        self._scanned = scan.duration if scan else None
        self._clock = FrameClock(self._seconds_per_tick, interval, wraps=kind.wraps)
        self._pace = Pace(1 / (self._fps or ASSUMED_FPS))
        self._unplaced = 0
        self._failed = 0
        self._failures_in_a_row = 0
        self._last_duration = 0
        self._held: deque[Packet[VideoStream]] = deque()
        self._ready: deque[VideoFrame] = deque()
        self._flushed = False
        self._landing: int | None = None
        self._key = self._key_before = None  # type: int | None
        first = self._next_frame(-math.inf)
        if first is None:
            raise VideoError(self._why_nothing())
        self._first: VideoFrame | None = first
        self.facts = self._describe(first, scan)
        scale = min(1.0, sampling.max_side / max(self.facts.width, self.facts.height))
        self.size = (max(1, round(self.facts.width * scale)), max(1, round(self.facts.height * scale)))
        self._painter = Painter(self.size)
        self._expected_end = self._stated_end()

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on what was changed about the times."""
        return self._clock.notes()

    # Opening ------------------------------------------------------------------------------------------------------

    @property
    def _most_pixels(self) -> int:
        return self._limits.canvas_pixels if self._kind.canvas else self._limits.pixels

    def _open(self) -> InputContainer:
        """Open the container. Nothing but the file itself may be read: no protocol is allowed, no other demuxer."""
        if self._kind.demuxer in ("mov", "matroska", "asf") and explain.is_encrypted(self._file, self._kind):
            raise VideoError(explain.encrypted(self._name))
        width, height = canvas_size(self._head)
        if width * height > self._most_pixels:
            raise VideoError(f"{self._name} is {width} × {height} pixels: {self._too_large}")
        self._file.seek(0)
        options = {
            "protocol_whitelist": "none",
            "format_whitelist": self._kind.demuxer,
            "max_streams": str(self._limits.streams),
            "max_pixels": str(
                4 * self._limits.pixels
            ),  # a frame that is too large is still looked at, to state its size
        }
        if self._kind.wraps:
            options["correct_ts_overflow"] = "0"  # the clock does that, and is not misled by appended recordings
        self._tick()
        try:
            return av.open(
                self._file,
                "r",
                format=self._kind.demuxer,
                options=options,
                metadata_errors="ignore",
                buffer_size=READ_BYTES,
            )
        except (av.error.FFmpegError, OSError, ValueError):
            raise VideoError(explain.why_unreadable(self._file, self._kind, self._name, self._limits)) from None

    def _choose(self) -> VideoStream:
        tracks = video_tracks(self._container)
        if not tracks:
            sound = any(stream.type == "audio" for stream in self._container.streams)
            cover = bool(self._container.streams.video)
            if sound and cover:
                raise VideoError(self._only_cover)
            if sound:
                raise VideoError(explain.only_sound(self._name))
            if cover:
                raise VideoError(f"{self._name} is a still picture, not a video.")
            if self._container.streams:
                raise VideoError(f"{self._name} holds no pictures, only text or data.")
            raise VideoError(explain.why_unreadable(self._file, self._kind, self._name, self._limits))
        track = tracks[0]
        if track.codec_context is None:
            raise VideoError(explain.unsupported(self._file, self._kind, self._name))
        width, height = size_of(track)
        if width * height > self._most_pixels:
            raise VideoError(f"{self._name} is {width} × {height} pixels: {self._too_large}")
        return track

    @property
    def _too_large(self) -> str:
        if self._kind.canvas:
            return (
                f"an animated picture may have at most {self._most_pixels / 1e6:.1f} million pixels here, because each of "
                "its frames costs much time to decode."
            )
        return "larger than 8K video, the most that is read here."

    @property
    def _only_cover(self) -> str:
        return f"{self._name} holds only sound, with a cover picture but no video."

    def _describe(self, first: VideoFrame, scan: _Scan | None) -> Facts:
        turn = turn_of(first)
        width, height = shown_size(first, self._pixel_ratio(), turn)
        return Facts(
            duration=scan.duration if scan else self._stated_duration(),
            fps=self._fps or (scan.fps if scan else None),
            width=width,
            height=height,
            rotation=turn.rotation,
            mirrored=turn.mirrored,
            frame_count=scan.frames if scan else (self._track.frames or None),
        )

    def _pixel_ratio(self) -> float | None:
        ratio = self._track.sample_aspect_ratio
        return float(ratio) if ratio else None

    def _why_nothing(self) -> str:
        if explain.is_encrypted(self._file, self._kind):
            return explain.encrypted(self._name)
        width, height = size_of(self._track)
        if width * height > self._most_pixels:
            return f"{self._name} is {width} × {height} pixels: {self._too_large}"
        return f"{self._name} is damaged: not one of its frames can be decoded."

    # Durations ----------------------------------------------------------------------------------------------------

    def _scan(self, interval: int) -> _Scan | None:
        """Read a small file completely, so that its duration is known exactly; None for a large one."""
        if self._bytes > self._limits.index_bytes:
            return None
        most = None if self._stated_duration() is None else self._limits.index_packets
        packets = list(itertools.islice(self._packets, most))
        if len(packets) == most:
            self._packets = itertools.chain(packets, self._packets)
            return None
        self._packets = iter(packets)
        shown = [p for p in packets if not p.is_discard and _theora_header(p) is None]
        if len(shown) == 1 and (self._kind.canvas or self._is_still_brand()):
            if self._was_animated():
                raise VideoError(f"{self._name} is cut short: only one of its pictures is left.")
            raise VideoError(f"{self._name} is a still picture, not a video.")
        sound = any(stream.type == "audio" for stream in self._container.streams)
        if len(shown) == 1 and sound and self._context.name in PICTURE_CODECS:
            raise VideoError(self._only_cover)
        clock = FrameClock(self._seconds_per_tick, interval, wraps=self._kind.wraps)
        if not shown:
            return None
        last = 0
        for stamp, length in _presented(shown, 2 / self._seconds_per_tick, wraps=self._kind.wraps):
            clock.place(stamp)
            last = length
        seconds = float((clock.now + self._lasting(last, clock)) * self._time_base)
        return _Scan(seconds, len(shown), len(shown) / seconds if seconds > 0 else None)

    def _is_still_brand(self) -> bool:
        return self._kind.demuxer == "mov" and self._head[8:12] in (b"avis", b"avif", b"msf1")

    def _was_animated(self) -> bool:
        """Whether an animated picture had more pictures than the one that is left."""
        if self._kind.demuxer == "gif":
            self._file.seek(max(self._bytes - 64, 0))
            return not self._file.read().rstrip(b"\0").endswith(b";")
        if self._kind.demuxer == "apng":
            control = self._head.find(b"acTL")
            return control > 0 and int.from_bytes(self._head[control + 4 : control + 8], "big") > 1
        return self._track.frames > 1

    def _lasting(self, length: int, clock: FrameClock) -> int:
        """Ticks that the last frame lasts.

        Matroska does not state that, unless the file ends with the frame: then it is one usual interval.
        """
        if self._kind.demuxer == "matroska" and self._container.duration and len(self._container.streams) > 1:
            mine = self._ends.get(self._track.index, 0.0)
            if self._container.duration / 1e6 > mine + 1.0:
                return 0
        length = length or clock.usual()
        return min(length, max(clock.usual() * 4, round(1.0 / self._seconds_per_tick)))

    def _stated_duration(self) -> float | None:
        """Seconds of the track as the container states them; None where it does not, or cannot be trusted."""
        if self._kind.wraps:
            return None
        track = self._track
        sound = any(stream.type == "audio" for stream in self._container.streams)
        if track.duration and track.duration > 0 and not (sound and self._kind.demuxer == "asf"):
            return track.duration * self._seconds_per_tick
        tag = _clock_time(track.metadata.get("DURATION", ""))
        if tag is not None:
            return max(tag - (track.start_time or 0) * self._seconds_per_tick, 0.0) or None
        whole = self._container.duration
        return whole / 1e6 if whole and whole > 0 and not sound else None

    def _stated_end(self) -> float | None:
        """Where the file as a whole is said to end, on its own clock in seconds; None where that cannot be trusted."""
        if self._kind.wraps or self._kind.canvas:
            return None
        if self._kind.demuxer == "mov":
            track = self._track
            return track.duration * self._seconds_per_tick if track.duration else None
        return (self._container.duration or 0) / 1e6 or None

    def _note_end(self) -> None:
        """Everything was read: the duration is known, and whether something is missing."""
        clock = self._clock
        lasting = self._lasting(self._last_duration, clock)
        frame = lasting * self._seconds_per_tick
        self.duration = float((max(clock.now, 0) + lasting) * self._time_base)
        much = max(1.0, 2.5 * clock.usual() * self._seconds_per_tick)
        if self._scanned is not None and self._scanned - self.duration > much:
            self.ended_early = True  # the rest was read, but not decoded
        stated = self._expected_end
        if stated is None or clock.span is None:
            return
        if self._kind.demuxer == "mov":
            reached = clock.span * self._seconds_per_tick + frame
        else:  # some programs state the time of the end, others the length
            start = min((self._container.start_time or 0) / 1e6, 0.0)
            reached = max(self._ends.values(), default=0.0) - start
        self.ended_early |= stated - reached > much

    # Reading and decoding -----------------------------------------------------------------------------------------

    def _read(self) -> Iterator[Packet[VideoStream]]:
        """The packets of the track; damaged stretches are stepped over."""
        failures = 0
        while failures < MAX_FAILURES:
            try:
                self._tick()
                for packet in self._container.demux():
                    failures = 0
                    if packet.size == 0:  # the end, or the frame before is shown for longer
                        if packet.pts is not None and packet.stream_index == self._track.index:
                            self._repeats.append(packet.pts)
                        continue
                    if packet.pts is not None:
                        end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                        index = packet.stream_index
                        self._ends[index] = max(self._ends.get(index, end), end)
                    if packet.stream_index == self._track.index and _theora_header(packet) != COMMENT:
                        yield packet  # type: ignore[misc]
                    self._tick()
                return
            except (av.error.EOFError, EOFError):
                return
            except (av.error.FFmpegError, OSError):  # OSError: a damaged file makes a demuxer seek out of the file
                failures += 1

    def _next_frame(self, target: float) -> VideoFrame | None:
        """The next decoded frame; packets may be left out that are only needed for frames before `target` seconds."""
        while True:
            if self._ready:
                frame = self._ready.popleft()
                if self._is_whole(frame):
                    return frame
                continue
            if self._flushed or self._failures_in_a_row >= MAX_FAILURES:
                return None
            packet = self._next_packet(target)
            self._decode(packet)

    def _is_whole(self, frame: VideoFrame) -> bool:
        """Whether a frame was decoded completely; counts it as failed if it was not."""
        self.decoded += 1
        if self._landing is not None:
            if frame.pts is not None and frame.pts < self._landing:
                return False  # refers to frames that were left out
            self._landing = None
        if frame.is_corrupt:
            self._failed += 1
            return False
        return True

    def _decode(self, packet: Packet[VideoStream] | None) -> None:
        """Hand a packet to the decoder; None: there are no more."""
        self._tick()
        self._spend()
        self._flushed = packet is None
        try:
            if packet is not None and packet.is_corrupt:
                packet.is_corrupt = False  # a gap in the packet numbers of a stream says nothing about this frame
            self._ready.extend(self._context.decode(packet))
            self._failures_in_a_row = 0
        except av.error.FFmpegError as error:
            if error.errno == errno.ENOMEM:
                raise MemoryError from error
            self._failed += 1
            self._failures_in_a_row += 1

    def _next_packet(self, target: float) -> Packet[VideoStream] | None:
        """The next packet to decode, see `_next_frame`; None at the end."""
        if not self._may_skip(target):
            return self._held.popleft() if self._held else self._pull()
        held = 0
        while True:
            packet = self._pull()
            if packet is None:
                break
            if packet.is_keyframe and self._held and self._reaches(packet, target):
                self._land(packet)
                held = 0
            self._held.append(packet)
            held += packet.size
            stamp = packet.dts if packet.dts is not None else packet.pts
            if stamp is None or not self._steps_evenly() or held > self._limits.held_bytes:
                break
            if self._clock.ahead(stamp) * self._seconds_per_tick >= target:
                break
        return self._held.popleft() if self._held else None

    def _may_skip(self, target: float) -> bool:
        """Whether it is worth looking for a later key frame."""
        if self._held or self._clock.now < 0 or not self._kind.true_key_frames:
            return False
        gap = target / self._seconds_per_tick - self._clock.now
        return gap > MIN_SKIP_FRAMES * self._clock.usual() and self._key is not None and self._steps_evenly()

    def _pull(self) -> Packet[VideoStream] | None:
        packet = next(self._packets, None)
        if packet is not None:
            self._key_before, self._key = self._key, packet.dts if packet.dts is not None else packet.pts
        return packet

    def _steps_evenly(self) -> bool:
        """Whether the timestamps of the packets that were read last neither fall nor leave a gap."""
        if self._key is None:
            return False
        return self._key_before is None or self._clock.is_regular_step(self._key - self._key_before)

    def _reaches(self, packet: Packet[VideoStream], target: float) -> bool:
        """Whether no frame before this key frame is needed."""
        if packet.pts is None or not self._steps_evenly():
            return False
        return self._clock.ahead(packet.pts) * self._seconds_per_tick <= target

    def _land(self, packet: Packet[VideoStream]) -> None:
        """Leave out everything that was held, and begin to decode at a key frame."""
        self._held.clear()
        self._ready.clear()
        self._context.flush_buffers()
        self._landing = packet.pts
        self._clock.pass_over()

    def _spend(self) -> None:
        """Stop a file that costs more processor time than its length justifies."""
        used = cpu_seconds() - self._cpu_before
        seconds = max(self._clock.now, 0) * self._seconds_per_tick if hasattr(self, "_clock") else 0.0
        if used > self._limits.base_cpu_seconds + self._limits.cpu_rate * seconds:
            raise VideoError(
                f"{self._name} takes too long to decode: {used:.0f} seconds of processor time for the first {seconds:.1f} "
                "seconds of video. Convert it to a smaller size, for example 1280 × 720."
            )

    # Sampling -----------------------------------------------------------------------------------------------------

    def sample(self, canvas: Callable[[], Picture]) -> Iterator[float]:
        """Write each sampled frame into the picture that `canvas` returns, then yield its time in seconds."""
        sampling = self._sampling
        step = 1.0 / sampling.fps
        tolerance = min(0.002, 0.1 * step)  # containers round times to a millisecond
        instant = 0
        frame = self._first
        self._first = None
        while frame is not None:
            at = self._place(frame)
            target = sampling.start + instant * step
            if at is not None and at >= sampling.end:
                return
            if at is not None and at >= target - tolerance:
                self._painter.paint(frame, self._pixel_ratio(), canvas())
                instant = max(instant + 1, math.floor((at + tolerance - sampling.start) / step) + 1)
                yield at
            frame = self._next_frame(sampling.start + instant * step - tolerance)
        self.skipped += self._failed
        self._failed = 0
        self._note_end()

    def _place(self, frame: VideoFrame) -> float | None:
        """The time of a frame in seconds, and the count of those that are missing before it."""
        before, passed_over, gaps = self._clock.now, self._clock.passes_over, len(self._clock.gaps)
        now = self._clock.place(frame.pts, damaged=self._failed > 0)
        self._last_duration = (frame.duration or 0) if frame.pts is not None else 0
        if now is None:
            return None
        lost = 0
        if before >= 0 and not passed_over and not self._kind.has_index and len(self._clock.gaps) == gaps:
            repeated = 0
            while frame.pts is not None and self._repeats and self._repeats[0] < frame.pts:
                self._repeats.popleft()
                repeated += 1
            gap = (now - before) / (repeated + 1)
            lost = self._pace.missing(gap * self._seconds_per_tick)
        self._unplaced += self._failed  # a decoder gives frames late: the gap that these leave may come later
        self.skipped += self._failed + max(0, lost - self._unplaced)
        self._unplaced = max(0, self._unplaced - lost)
        self._failed = 0
        return float(now * self._time_base)


@dataclass(frozen=True)
class _Scan:
    """What reading all packets of a file tells: seconds, frames and their mean rate."""

    duration: float
    frames: int
    fps: float | None


def _presented(packets: list[Packet[VideoStream]], reorder: float, *, wraps: bool) -> Iterator[tuple[int | None, int]]:
    """Timestamp and duration of packets in the order of presentation.

    Another recording begins where decoding times fall or, for packets without one, where presentation times fall by more
    than `reorder` ticks.
    """
    stretch: list[tuple[int, int]] = []
    decoding: int | None = None
    latest = reference = 0
    for packet in packets:
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is None:
            yield from sorted(stretch)
            stretch = []
            yield None, 0
            continue
        dts = packet.dts
        if wraps:
            stamp = unwrapped(stamp, reference)
            dts = None if dts is None else unwrapped(dts, reference)
            reference = stamp
        if stretch:
            falls = dts < decoding if dts is not None and decoding is not None else stamp < latest - reorder
            if falls:
                yield from sorted(stretch)
                stretch = []
        latest = max(stamp, latest) if stretch else stamp
        decoding = dts if dts is not None or not stretch else decoding
        stretch.append((stamp, packet.duration or 0))
    yield from sorted(stretch)


def _theora_header(packet: Packet[Any]) -> int | None:
    """The kind of Theora header that a packet holds, as at the start of an appended recording; None for a frame."""
    start = bytes(memoryview(packet)[:7])
    return start[0] if start[1:] == b"theora" and start[0] & 0x80 else None


def _sane_rate(track: VideoStream) -> float | None:
    for rate in (track.average_rate, track.guessed_rate):
        if rate and 0 < rate <= MAX_FPS:
            return float(rate)
    return None


def _clock_time(text: str) -> float | None:
    """Seconds of a time such as 00:01:02.500000000; None for anything else."""
    parts = text.split(":")
    try:
        hours, minutes, seconds = (float(part) for part in parts)
    except ValueError:
        return None
    total = 3600 * hours + 60 * minutes + seconds
    return total if math.isfinite(total) and total > 0 else None
