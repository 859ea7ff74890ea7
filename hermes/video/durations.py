"""The duration of a video: counted from its packets, or as its container states it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hermes.video.clock import FrameClock, unwrapped
from hermes.video.container import ASSUMED_FPS, MediaFile
from hermes.video.errors import VideoError
from hermes.video.packets import PacketReader, theora_header
from hermes.video.tracks import PICTURE_CODECS

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream


@dataclass(frozen=True)
class PacketScan:
    """The result of reading all packets of a file.

    Attributes:
        duration: Seconds from the first frame to the end of the last.
        frames: Number of frames.
        fps: Mean frames per second; None if the duration is 0.
    """

    duration: float
    frames: int
    fps: float | None


def new_clock(media: MediaFile) -> FrameClock:
    """Return a clock for the frames of a file."""
    interval = max(1, round(1 / (media.fps or ASSUMED_FPS) / media.seconds_per_tick))
    return FrameClock(media.seconds_per_tick, interval, wraps=media.format.wraps)


def scan_packets(media: MediaFile, reader: PacketReader) -> PacketScan | None:
    """Read a small file completely to find its exact duration; None for a large file or one without packets.

    Raises:
        VideoError: The file is a still picture, or holds only sound.
    """
    limits = media.limits
    if media.size_bytes > limits.index_bytes:
        return None
    first_track = media.track
    most = limits.most_index_packets if stated_duration(media) is None else limits.index_packets
    packets = list(itertools.islice(reader, most))
    reader.put_back(packets)
    if len(packets) == most:
        return None
    shown = [packet for packet in packets if not packet.is_discard and theora_header(packet) is None]
    if len(shown) == 1 and (media.format.canvas or _is_still_brand(media)):
        if _was_animated(media):
            raise VideoError(f"{media.name} is cut short: only one of its pictures is left.")
        raise VideoError(f"{media.name} is a still picture, not a video.")
    if len(shown) == 1 and media.has_sound and first_track.codec_context.name in PICTURE_CODECS:
        raise VideoError(media.only_cover)
    if not shown:
        return None
    clock = new_clock(media)
    last = 0
    for stamp, length in _in_presentation_order(shown, 2 / media.seconds_per_tick, wraps=media.format.wraps):
        clock.place(stamp)
        last = length
    seconds = float((clock.now + last_frame_ticks(media, reader, clock, last)) * media.time_base)
    return PacketScan(seconds, len(shown), len(shown) / seconds if seconds > 0 else None)


def last_frame_ticks(media: MediaFile, reader: PacketReader, clock: FrameClock, stated: int) -> int:
    """Return how long the last frame is displayed, in ticks.

    Args:
        media: The file.
        reader: Its reader, after the last packet.
        clock: The clock, at the last frame.
        stated: The duration of its packet; 0 if it is not stated, as in Matroska. Then the frame lasts one usual interval if
            the file ends with it, and no time if the sound continues.
    """
    container = media.container
    if media.format.demuxer == "matroska" and container.duration and len(container.streams) > 1:
        end = reader.ends.get(media.track.index, 0.0)
        if container.duration / 1e6 > end + 1.0:
            return 0
    ticks = stated or clock.usual()
    return min(ticks, max(clock.usual() * 4, round(1.0 / media.seconds_per_tick)))


def stated_duration(media: MediaFile) -> float | None:
    """Return the track's duration in seconds as the container states it; None if it does not or cannot be trusted."""
    if media.format.wraps:
        return None
    track = media.track
    if track.duration and track.duration > 0 and not (media.has_sound and media.format.demuxer == "asf"):
        return track.duration * media.seconds_per_tick
    tag = _clock_time(track.metadata.get("DURATION", ""))
    if tag is not None:
        return max(tag - (track.start_time or 0) * media.seconds_per_tick, 0.0) or None
    whole = media.container.duration
    return whole / 1e6 if whole and whole > 0 and not media.has_sound else None


def stated_end(media: MediaFile) -> float | None:
    """Return where the file ends on its own clock in seconds as the container states it; None if that is unreliable."""
    if media.format.wraps or media.format.canvas or media.ignores_edits:
        return None
    if media.format.demuxer == "mov":
        track = media.track
        return track.duration * media.seconds_per_tick if track.duration else None
    return (media.container.duration or 0) / 1e6 or None


def is_cut_picture(media: MediaFile, frames: int) -> bool:
    """Whether an animated picture ends before its last frame. `frames`: the number of frames in the file."""
    if media.format.demuxer == "gif":
        return not _ends_with_trailer(media)
    return media.format.demuxer == "apng" and frames < _apng_frames(media.head)


def _is_still_brand(media: MediaFile) -> bool:
    return media.format.demuxer == "mov" and media.head[8:12] in (b"avis", b"avif", b"msf1")


def _was_animated(media: MediaFile) -> bool:
    """Whether a file with one picture had more."""
    if media.format.demuxer == "gif":
        return not _ends_with_trailer(media)
    if media.format.demuxer == "apng":
        return _apng_frames(media.head) > 1
    return media.track.frames > 1


def _ends_with_trailer(media: MediaFile) -> bool:
    media.file.seek(max(media.size_bytes - 64, 0))
    return media.file.read().rstrip(b"\0").endswith(b";")


def _apng_frames(head: bytes) -> int:
    control = head.find(b"acTL")
    return int.from_bytes(head[control + 4 : control + 8], "big") if control > 0 else 0


def _in_presentation_order(
    packets: list[Packet[VideoStream]], reorder: float, *, wraps: bool
) -> Iterator[tuple[int | None, int]]:
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


def _clock_time(text: str) -> float | None:
    """Seconds of a time such as 00:01:02.500000000; None for anything else."""
    parts = text.split(":")
    try:
        hours, minutes, seconds = (float(part) for part in parts)
    except ValueError:
        return None
    total = 3600 * hours + 60 * minutes + seconds
    return total if math.isfinite(total) and total > 0 else None
