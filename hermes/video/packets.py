"""Reading the packets of a video track, and skipping those that no sampled frame needs."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

import av.error

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

    from hermes.video.clock import FrameClock
    from hermes.video.container import MediaFile

MIN_SKIP_FRAMES: Final = 6
"""Shorter stretches are decoded instead of skipped."""
MAX_FAILURES: Final = 1000
"""Reading stops after this many consecutive errors."""
MAX_SWITCHES: Final = 100
"""Changes of the track in a transport stream that are followed."""
MAX_SEARCHES: Final = 200
"""Jumps of the clock in a transport stream at which another track is looked for. Each takes about 10 ms."""
PACKET_BYTES: Final = 1024
"""Memory of a packet in addition to its data."""
MAX_UNDATED: Final = 16
JUMP_SECONDS: Final = 1.0
TS_PACKET: Final = 188
MIN_REST_BYTES: Final = 20 * TS_PACKET
MAX_POSITIONS: Final = 512
COMMENT: Final = 0x81
"""A Theora header that the decoder rejects."""


class PacketReader:
    """Iterates over the packets of a file's video track. Damaged stretches are skipped.

    In a transport stream, it follows a change of the codec or of the track's identifier (appended recordings): packets then
    refer to another `stream`.

    Attributes:
        ends: Latest end of any packet by track index, in seconds.
        repeats: Timestamps of empty packets, which mean that the frame before them is displayed for longer.
    """

    def __init__(self, media: MediaFile, tick: Callable[[], None]) -> None:
        """Read a file; `tick` is called before each packet is read."""
        self.ends: dict[int, float] = {}
        self.repeats: deque[int] = deque()
        self._media, self._tick = media, tick
        self._positions: dict[int, int] = {}  # offset in the file by timestamp
        self._steps: deque[int] = deque(maxlen=64)  # between these offsets
        self._offset = 0  # of the container in the file
        self._searches = 0
        self._packets: Iterator[Packet[VideoStream]] = self._read()

    def __iter__(self) -> Iterator[Packet[VideoStream]]:
        return self

    def __next__(self) -> Packet[VideoStream]:
        return next(self._packets)

    def put_back(self, packets: Iterable[Packet[VideoStream]]) -> None:
        """Put packets back that were read, in front of the others."""
        rest = self._packets
        self._packets = _chained(list(packets), rest)

    def note(self, packet: Packet[VideoStream]) -> None:
        """Note the position of a packet that is about to be decoded, see `holds_bytes_for`."""
        if packet.pts is None or packet.pos is None or packet.pos < 0:
            return
        if self._positions:
            self._steps.append(packet.pos - next(reversed(self._positions.values())))
        self._positions[packet.pts] = packet.pos
        while len(self._positions) > MAX_POSITIONS:
            del self._positions[next(iter(self._positions))]

    def holds_bytes_for(self, frames: int, before: int | None, after: int | None) -> bool:
        """Return whether the file has enough bytes for `frames` lost frames between two timestamps.

        A pause in the recording or a jump of its clock leaves a gap in the timestamps without losing a frame.
        """
        first, second = (self._positions.get(stamp) if stamp is not None else None for stamp in (before, after))
        if first is None or second is None or not self._steps:
            return True
        return abs(second - first) > statistics.median(self._steps) * (1 + frames / 2)

    def _read(self) -> Iterator[Packet[VideoStream]]:
        """The packets of all recordings in the file."""
        if self._media.format.demuxer != "mpegts":
            yield from self._demux()
            return
        switches = 0
        while (yield from self._read_recording()) and switches < MAX_SWITCHES:
            switches += 1

    def _read_recording(self) -> Generator[Packet[VideoStream], None, bool]:
        """The packets of one recording in a transport stream; returns whether another one follows."""
        last: Packet[VideoStream] | None = None
        undated: list[Packet[VideoStream]] = []  # where one recording follows another, some packets belong to neither
        for packet in self._demux():
            if last is not None and (packet.dts is None or packet.pos is None) and len(undated) < MAX_UNDATED:
                undated.append(packet)
                continue
            if last is not None and self._jumps(last, packet) and self._switch(last, packet):
                return True
            yield from undated
            undated.clear()
            yield packet
            if packet.dts is not None and packet.pos is not None:
                last = packet
        if last is not None and self._has_rest(last) and self._switch(last, None):
            return True
        yield from undated
        return False

    def _demux(self) -> Iterator[Packet[VideoStream]]:
        """The packets of the current track."""
        failures = 0
        media = self._media
        ticks: dict[int, float] = {}  # seconds per tick by track; a packet computes its fraction again each time
        while failures < MAX_FAILURES:
            try:
                self._tick()
                for packet in media.container.demux():
                    failures = 0
                    is_video = packet.stream_index == media.track.index
                    if packet.size == 0:  # the end, or a repetition of the frame before
                        if packet.pts is not None and is_video:
                            self.repeats.append(packet.pts)
                        continue
                    if packet.pts is not None:
                        index = packet.stream_index
                        if index not in ticks:
                            ticks[index] = float(packet.time_base)
                        end = (packet.pts + (packet.duration or 0)) * ticks[index]
                        self.ends[index] = max(self.ends.get(index, end), end)
                    if is_video and theora_header(packet) != COMMENT:
                        yield packet  # type: ignore[misc]
                    self._tick()
                return
            except (av.error.EOFError, EOFError):
                return
            except (av.error.FFmpegError, OSError):  # OSError: a demuxer seeks beyond the end of a damaged file
                failures += 1

    def _jumps(self, before: Packet[VideoStream], packet: Packet[VideoStream]) -> bool:
        """Whether the decoding times of two packets are those of different recordings."""
        if before.dts is None or packet.dts is None:
            return False
        return not 0 <= (packet.dts - before.dts) * self._media.seconds_per_tick <= JUMP_SECONDS

    def _has_rest(self, last: Packet[VideoStream]) -> bool:
        """Whether the file continues after the last packet of the track."""
        position = self._offset + max(last.pos or 0, 0)
        return self._media.size_bytes - position - 2 * last.size > MIN_REST_BYTES

    def _switch(self, last: Packet[VideoStream], following: Packet[VideoStream] | None) -> bool:
        """Continue with another recording between two packets of the track; False if there is none."""
        if last.pos is None or last.pos < 0 or self._searches >= MAX_SEARCHES:
            return False
        self._searches += 1
        start, end = self._offset + last.pos + TS_PACKET, None
        if following is not None and following.pos is not None:
            before = following.pos - MIN_REST_BYTES  # the tables of the recording that follows precede its first packet
            if before - last.pos > 2 * last.size + MIN_REST_BYTES:
                end = self._offset + before
        track = self._media.track_at(start, end)
        if track is None:
            return False
        self._media.switch(track)
        self._media.prepare(track.codec_context)
        self._offset = start
        return True


class PacketQueue:
    """Hands packets to the decoder, and drops those that are only needed for frames before the next sampling instant."""

    def __init__(self, reader: PacketReader, media: MediaFile, clock: FrameClock) -> None:
        """Take packets from a reader; `clock` has the time of the newest frame."""
        self._reader, self._media, self._clock = reader, media, clock
        self._held: deque[Packet[VideoStream]] = deque()
        self._stamp: int | None = None
        self._stamp_before: int | None = None
        self._landing: Packet[VideoStream] | None = None

    def next(self, target: float) -> Packet[VideoStream] | None:
        """Return the next packet to decode; None at the end.

        Args:
            target: Time in seconds of the next sampling instant. Earlier frames are not needed.
        """
        if not self._may_skip(target):
            return self._held.popleft() if self._held else self._pull()
        held = 0
        while True:
            packet = self._pull()
            if packet is None:
                break
            if packet.is_keyframe and self._held and self._reaches(packet, target):
                self._held.clear()
                self._landing = packet
                held = 0
            self._held.append(packet)
            held += packet.size + PACKET_BYTES
            stamp = packet.dts if packet.dts is not None else packet.pts
            if stamp is None or not self._steps_evenly() or held > self._media.limits.held_bytes:
                break
            if self._clock.ahead(stamp) * self._media.seconds_per_tick >= target:
                break
        return self._held.popleft() if self._held else None

    def is_landing(self, packet: Packet[VideoStream]) -> bool:
        """Whether packets before this key frame were dropped, so that the decoder has to start again."""
        landed = packet is self._landing
        if landed:
            self._landing = None
        return landed

    def _may_skip(self, target: float) -> bool:
        """Whether to look for a later key frame."""
        if self._held or self._clock.now < 0 or not self._media.format.true_key_frames:
            return False
        gap = target / self._media.seconds_per_tick - self._clock.now
        return gap > MIN_SKIP_FRAMES * self._clock.usual() and self._stamp is not None and self._steps_evenly()

    def _pull(self) -> Packet[VideoStream] | None:
        packet = next(self._reader, None)
        if packet is not None:
            self._stamp_before, self._stamp = self._stamp, packet.dts if packet.dts is not None else packet.pts
        return packet

    def _steps_evenly(self) -> bool:
        """Whether the timestamps of the last two packets neither fall nor leave a gap."""
        if self._stamp is None:
            return False
        return self._stamp_before is None or self._clock.is_regular_step(self._stamp - self._stamp_before)

    def _reaches(self, packet: Packet[VideoStream], target: float) -> bool:
        """Whether no frame before this key frame is needed."""
        if packet.pts is None or not self._steps_evenly():
            return False
        return self._clock.ahead(packet.pts) * self._media.seconds_per_tick <= target


def theora_header(packet: Packet[Any]) -> int | None:
    """Return the type of the Theora header in a packet, as at the start of an appended recording; None for a frame."""
    start = bytes(memoryview(packet)[:7])
    return start[0] if start[1:] == b"theora" and start[0] & 0x80 else None


def _chained(first: list[Packet[VideoStream]], rest: Iterator[Packet[VideoStream]]) -> Iterator[Packet[VideoStream]]:
    yield from first
    yield from rest
