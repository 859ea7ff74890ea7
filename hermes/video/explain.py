"""Finds out why a file cannot be decoded, from its headers, after a demuxer or decoder has rejected it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, Final

from hermes.video.formats import HEAD_BYTES, FileFormat

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hermes.video.limits import Limits

ENCRYPTED_ENTRIES: Final = (b"encv", b"drmi")
CONTAINER_BOXES: Final = (b"trak", b"mdia", b"minf", b"stbl")
MAX_BOXES: Final = 20_000
TS_PACKET: Final = 188
TAIL_BYTES: Final = 1 << 20
LAST_PACKETS: Final = 32
ASF_ENCRYPTION: Final = (
    b"\xfb\xb3\x11\x22\x23\xbd\xd2\x11\xb4\xb7\x00\xa0\xc9\x55\xfc\x6e",
    b"\x14\xe6\x8a\x29\x22\x26\x17\x4c\xb9\x35\xda\xe0\x7e\xe9\x28\x9c",
)
ASF_VIDEO: Final = re.escape(bytes.fromhex("c0ef19bc4d5bcf11a8fd00805f5c442b"))
SEGMENT: Final = b"\x18\x53\x80\x67"
TRACKS: Final = b"\x16\x54\xae\x6b"
TRACK_ENTRY, TRACK_TYPE, CODEC_ID = b"\xae", b"\x83", b"\x86"
ENCODINGS, ENCODING, ENCRYPTION = b"\x6d\x80", b"\x62\x40", b"\x50\x35"
LONGEST_CODEC: Final = 40
"""Longest name of a codec in a message, in bytes."""

CONVERT: Final = "convert it, for example to H.264 video in an MP4 file."


@dataclass
class _Movie:
    """The index of an MP4 file: the types of its tracks and the codecs of its video tracks."""

    found: bool = False
    whole: bool = False
    tracks: int = 0
    handlers: set[bytes] = field(default_factory=set)
    video_entries: list[bytes] = field(default_factory=list)


def is_encrypted(file: BinaryIO, file_format: FileFormat) -> bool:
    """Whether the headers of a file mark its pictures as encrypted."""
    file.seek(0)
    head = file.read(HEAD_BYTES)
    if file_format.demuxer == "mov":
        entries = _movie(file).video_entries
        return bool(entries) and all(entry in ENCRYPTED_ENTRIES for entry in entries)
    if file_format.demuxer == "matroska":
        tracks = _matroska_video_tracks(head)
        return bool(tracks) and all(track.encrypted for track in tracks)
    if file_format.demuxer == "asf":
        return any(mark in head for mark in ASF_ENCRYPTION)
    if file_format.demuxer == "mpegts":
        return _scrambled(head, None)
    return False


def why_unreadable(file: BinaryIO, file_format: FileFormat, name: str, limits: Limits) -> str:
    """Return a sentence that states why a demuxer rejected a file of a known format."""
    file.seek(0)
    head = file.read(HEAD_BYTES)
    if is_encrypted(file, file_format):
        return encrypted(name)
    movie = _movie(file) if file_format.demuxer == "mov" else None
    problem = _index_problem(movie, limits) if movie else ""
    if problem:
        return f"{name} {problem}"
    if file_format.demuxer == "avi" and int.from_bytes(head[4:8], "little") > file.seek(0, 2):
        return f"{name} is cut short: it ends before its first frame."
    sound = any(mark in head for mark in (b"A_OPUS", b"A_VORBIS", b"A_AAC", b"OpusHead", b"\x01vorbis"))
    pictures = any(mark in head for mark in (b"V_", b"\x80theora", b"VP80"))
    if sound and not pictures:
        return only_sound(name)
    return f"{name} cannot be decoded: it is damaged, or in a format that is not known here."


def _index_problem(movie: _Movie, limits: Limits) -> str:
    """The problem with the index of an MP4 file, as the end of a sentence; empty if there is none."""
    if not movie.whole:
        return "is cut short: the index of its frames is missing, so nothing in it can be played."
    if movie.tracks > limits.streams:
        return f"has {movie.tracks:,} tracks; at most {limits.streams} are read here."
    if movie.handlers and b"vide" not in movie.handlers:
        return f"holds no pictures{', only sound' if b'soun' in movie.handlers else ''}."
    return ""


def encrypted(name: str) -> str:
    """Return the message for an encrypted file."""
    return f"{name} is encrypted (protected by DRM), so its pictures cannot be decoded without the key."


def only_sound(name: str) -> str:
    """Return the message for a file without a video track."""
    return f"{name} holds no pictures, only sound."


def unsupported(file: BinaryIO, file_format: FileFormat, name: str) -> str:
    """Return the message for a file whose video codec is not supported; it names the codec."""
    codec = _codec_name(file, file_format)
    problem = f"uses the video codec {codec}, which" if codec else "uses a video codec that"
    return f"{name} {problem} is not supported here: {CONVERT}"


def _codec_name(file: BinaryIO, file_format: FileFormat) -> str:
    """The name of the video codec in the file; empty if it cannot be found."""
    file.seek(0)
    head = file.read(HEAD_BYTES)
    raw = b""
    if file_format.demuxer == "mov":
        raw = next(iter(_movie(file).video_entries), b"")
    elif file_format.demuxer == "matroska":
        raw = next((track.codec for track in _matroska_video_tracks(head)), b"")
    elif file_format.demuxer == "avi":
        match = re.search(rb"strh.{4}vids(.{4})", head, re.DOTALL)
        raw = match.group(1) if match else b""
    elif file_format.demuxer == "asf":
        match = re.search(ASF_VIDEO + rb".{38}.{11}.{16}(.{4})", head, re.DOTALL)  # header, sizes, BITMAPINFOHEADER
        raw = match.group(1) if match else b""
    elif file_format.demuxer == "ivf":
        raw = head[8:12]
    text = "".join(chr(byte) for byte in raw[:LONGEST_CODEC] if 32 < byte < 127)
    return f"“{text}”" if text else ""


def ends_encrypted(file: BinaryIO, pid: int) -> bool:
    """Whether the last packets of a track in a transport stream are encrypted."""
    size = file.seek(0, 2)
    file.seek(max(size - TAIL_BYTES, 0))
    return _scrambled(file.read(TAIL_BYTES), pid)


def encrypted_from(name: str, seconds: float) -> str:
    """Return the message for a file that is encrypted from a time on."""
    return f"{name} is encrypted (protected by DRM) from {seconds:.1f} s on, so the rest cannot be decoded without the key."


def _scrambled(data: bytes, pid: int | None) -> bool:
    """Whether most of the last packets of a track in a part of a transport stream are scrambled.

    Args:
        data: The part.
        pid: Identifier of the track; None: any track.
    """
    start = next((at for at in range(min(TS_PACKET, len(data))) if data[at::TS_PACKET][:5] == b"\x47" * 5), None)
    if start is None:
        return False
    marks: dict[int, list[bool]] = {}
    for at in range(start, len(data) - TS_PACKET + 1, TS_PACKET):
        marks.setdefault((data[at + 1] & 0x1F) << 8 | data[at + 2], []).append(data[at + 3] & 0xC0 != 0)
    tracks = marks.values() if pid is None else [marks.get(pid, [])]
    return any(len(track) > 4 and sum(track[-LAST_PACKETS:]) > len(track[-LAST_PACKETS:]) / 2 for track in tracks)


@dataclass(frozen=True)
class _MatroskaTrack:
    codec: bytes
    encrypted: bool


def _matroska_video_tracks(head: bytes) -> list[_MatroskaTrack]:
    """The video tracks in the first bytes of a Matroska file."""
    tracks = []
    for segment in _elements(head, SEGMENT):
        for listing in _elements(segment, TRACKS):
            for entry in _elements(listing, TRACK_ENTRY):
                if any(inside[-1:] == b"\x01" for inside in _elements(entry, TRACK_TYPE)):
                    codec = next((inside for inside in _elements(entry, CODEC_ID)), b"")
                    encodings = [
                        inside for group in _elements(entry, ENCODINGS) for inside in _elements(group, ENCODING)
                    ]
                    encrypted = any(True for inside in encodings for _ in _elements(inside, ENCRYPTION))
                    tracks.append(_MatroskaTrack(codec, encrypted))
    return tracks


def _elements(data: bytes, wanted: bytes) -> Iterator[bytes]:
    """The content of each EBML element of one type in `data`; the last one may be cut short."""
    at = 0
    while at + 2 <= len(data):
        length = 9 - data[at].bit_length()  # of an identifier: 1 to 4 bytes
        kind = data[at : at + length]
        at += length
        if length > 4 or at >= len(data):
            return
        length = 9 - data[at].bit_length()  # of a size: 1 to 8 bytes
        if length > 8 or at + length > len(data):
            return
        size = int.from_bytes(data[at : at + length], "big") - (1 << 7 * length)
        at += length
        unknown = size == (1 << 7 * length) - 1
        if kind == wanted:
            yield data[at:] if unknown else data[at : at + size]
        if unknown:
            return
        at += size


def _movie(file: BinaryIO) -> _Movie:
    size = file.seek(0, 2)
    movie = _Movie()
    for kind, start, end in _boxes(file, 0, size):
        if kind == b"moov":
            movie.found, movie.whole = True, end <= size
            _read_tracks(file, start, min(end, size), movie)
            break
    return movie


def _read_tracks(file: BinaryIO, start: int, end: int, movie: _Movie) -> None:
    """Collect the tracks of the movie box whose content is between two offsets."""
    for kind, inside, stop in _boxes(file, start, end):
        if kind == b"trak":
            movie.tracks += 1
            track = _Movie()
            _read_track(file, inside, min(stop, end), track)
            movie.handlers |= track.handlers
            if b"vide" in track.handlers:
                movie.video_entries += track.video_entries


def _read_track(file: BinaryIO, start: int, end: int, track: _Movie, depth: int = 0) -> None:
    for kind, inside, stop in _boxes(file, start, end):
        if kind in CONTAINER_BOXES and depth < 5:
            _read_track(file, inside, min(stop, end), track, depth + 1)
        elif kind == b"hdlr":
            file.seek(inside + 8)
            handler = file.read(4)
            if handler in (b"vide", b"soun", b"text", b"subt", b"sbtl", b"meta"):
                track.handlers.add(handler)
        elif kind == b"stsd":
            track.video_entries += [entry for entry, _, _ in _boxes(file, inside + 8, min(stop, end))]


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """The boxes of an MP4 file between two offsets: type, and start and end of the content."""
    for _ in range(MAX_BOXES):
        if start + 8 > end:
            return
        file.seek(start)
        header = file.read(16)
        if len(header) < 8:
            return
        size, kind, inside = int.from_bytes(header[:4], "big"), header[4:8], start + 8
        if size == 1 and len(header) == 16:
            size, inside = int.from_bytes(header[8:], "big"), start + 16
        elif size == 0:
            size = end - start
        if size < inside - start:
            return
        yield kind, inside, start + size
        start += size
