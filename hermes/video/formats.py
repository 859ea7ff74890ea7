"""Detects the format of a video file from its first bytes, regardless of its name, before a demuxer reads it.

Only known formats are decoded, each by a single demuxer. Other files get a specific message. Playlists, which could make a
demuxer open other files or addresses, never reach one.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import Final

from hermes.video.errors import VideoError

HEAD_BYTES: Final = 65_536
MP4_BOXES: Final = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"moof", b"styp", b"sidx", b"uuid")
MP4_STILL: Final = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"avif")
WRAPS: Final = ("mpegts", "mpeg")
"""Demuxers whose timestamps have 33 bits."""
CANVASES: Final = ("gif", "apng")
"""Demuxers of animated pictures."""

VIDEO_STARTS: Final[tuple[tuple[bytes, str], ...]] = (
    (b"\x1aE\xdf\xa3", "matroska"),
    (b"FLV\x01", "flv"),
    (b"OggS", "ogg"),
    (b"\x00\x00\x01\xba", "mpeg"),
    (b"\x00\x00\x01\xb3", "mpegvideo"),
    (b"\x00\x00\x01\xb0", "m4v"),
    (b"\x00\x00\x01\xb5", "m4v"),
    (b"0&\xb2u\x8ef\xcf\x11", "asf"),
    (b"DKIF", "ivf"),
    (b"YUV4MPEG2 ", "yuv4mpegpipe"),
    (b"\x06\x0e+4\x02\x05\x01\x01", "mxf"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b".RMF", "rm"),
    (b"nut/multimedia container\x00", "nut"),
    (b"\x1f\x07\x00", "dv"),
)
PICTURE_STARTS: Final = (
    b"\x89PNG\r\n",
    b"\xff\xd8\xff",
    b"BM",
    b"II*\x00",
    b"MM\x00*",
    b"\xff\x0a",
    b"\x00\x00\x00\x0cJXL",
)
MPEG_AUDIO_STARTS: Final = (b"\xff\xfb", b"\xff\xfd", b"\xff\xf3", b"\xff\xf1", b"\xff\xf9")
SURROUND: Final = (b"\x0bw", b"\x7f\xfe\x80\x01")  # AC-3 and DTS
SOUND_STARTS: Final = (
    b"ID3",
    b"fLaC",
    b"#!AMR",
    b"FORM",
    b"wvpk",
    b"MAC ",
    b".snd",
    b"caff",
    b"TTA1",
    b"Creative Voice",
    b"MThd",
    *SURROUND,
    *MPEG_AUDIO_STARTS,
)

OTHER_FILES: Final = {
    "picture": "is a still picture, not a video.",
    "webp": "is an animated WebP picture, which cannot be decoded here: convert it to MP4, WebM or GIF.",
    "sound": "holds only sound, no pictures.",
    "text": "is a text file, not a video.",
    "unknown": "is not a video in a format known here (such as MP4, MOV, WebM, MKV or AVI).",
}


@dataclass(frozen=True)
class FileFormat:
    """A format of video files.

    Attributes:
        demuxer: Name of its demuxer in libavformat.
    """

    demuxer: str

    @property
    def canvas(self) -> bool:
        """Whether it is an animated picture."""
        return self.demuxer in CANVASES

    @property
    def wraps(self) -> bool:
        """Whether timestamps wrap to 0 after 2^33 ticks."""
        return self.demuxer in WRAPS

    @property
    def has_index(self) -> bool:
        """Whether an index lists every frame, so that lost frames are known."""
        return self.demuxer == "mov"

    @property
    def true_key_frames(self) -> bool:
        """Whether the container marks key frames reliably."""
        return self.demuxer in ("mov", "matroska")


def detect_format(head: bytes, name: str) -> FileFormat:
    """Return the format of a video file.

    Args:
        head: The first `HEAD_BYTES` bytes of the file.
        name: The file's name for messages, see `display_name`.

    Raises:
        VideoError: The file is empty or not a video in a known format.
    """
    if not head:
        raise VideoError(f"{name} is empty: the file has no bytes.")
    demuxer = _demuxer(head)
    if demuxer is None:
        raise VideoError(f"{name} {OTHER_FILES[_other_file(head)]}")
    return FileFormat(demuxer)


def canvas_size(head: bytes) -> tuple[int, int]:
    """Return width and height of an animated picture from its header; 0 for other files."""
    if head.startswith((b"GIF87a", b"GIF89a")):
        return int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little")
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
    return 0, 0


def _demuxer(head: bytes) -> str | None:
    if head[4:8] in MP4_BOXES and not (head[4:8] == b"ftyp" and head[8:12] in MP4_STILL):
        return "mov"
    if head.startswith(b"RIFF") and head[8:11] == b"AVI":
        return "avi"
    if head.startswith(b"\x89PNG\r\n\x1a\n") and head.find(b"acTL", 0, max(head.find(b"IDAT"), 0)) > 0:
        return "apng"
    for start, demuxer in VIDEO_STARTS:
        if head.startswith(start):
            return demuxer
    if _is_text(head):
        return None
    return "mpegts" if _is_transport_stream(head) else _elementary(head)


def _other_file(head: bytes) -> str:
    """The key in `OTHER_FILES` for a file that is not a video, from its first bytes."""
    riff = head[8:12] if head.startswith(b"RIFF") else b""
    if riff == b"WEBP":
        return "webp" if head[12:16] == b"VP8X" and len(head) > 20 and head[20] & 2 else "picture"
    if head.startswith(PICTURE_STARTS) or head[4:8] == b"ftyp":
        return "picture"
    if head.startswith(SOUND_STARTS) or riff == b"WAVE":
        return "sound"
    return "text" if _is_text(head) else "unknown"


def _is_transport_stream(head: bytes) -> bool:
    """Whether sync bytes follow each other at a packet size of MPEG transport streams, perhaps after other bytes."""
    for size in (188, 192, 204):
        for start in range(min(size, len(head))):
            marks = head[start::size][:8]
            if len(marks) >= 4 and marks == b"\x47" * len(marks):
                return True
    return head[:1] == b"\x47" and head[188:189] == b"\x47"


def _elementary(head: bytes) -> str | None:
    """The demuxer of H.264, H.265 or AV1 without a container; None for anything else."""
    if head.startswith(b"\x12\x00\x0a"):
        return "obu"
    if not re.match(rb"\x00{2,64}\x01", head):
        return None
    for match in re.finditer(rb"\x00\x00\x01(?=..)", head, re.DOTALL):
        first, second = head[match.end() : match.end() + 2]
        if first in (0x40, 0x42) and second & 0xC7 == 1:  # parameter sets of H.265
            return "hevc"
        if first & 0x9F == 7:  # a sequence parameter set of H.264
            return "h264"
    return None


def _is_text(head: bytes) -> bool:
    if b"\x00" in head:
        return head.startswith((b"\xff\xfe", b"\xfe\xff"))  # UTF-16
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # the last character may be cut
    except UnicodeDecodeError:
        return False
    return True
