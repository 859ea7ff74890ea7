"""What a file really is, whatever its name says: looked at before a decoder touches it.

Only containers whose first bytes are known reach the decoder. That gives each wrong file its own sentence, and it keeps
playlists (which could make the decoder open other files or addresses) away from it.
"""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from hermes.errors import HermesError

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD_BYTES: Final = 65_536
MP4_BOXES: Final = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"moof", b"styp")
MP4_STILL: Final = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"avif")
VIDEO_STARTS: Final = (
    b"\x1aE\xdf\xa3",  # Matroska, WebM
    b"FLV\x01",
    b"OggS",
    b"\x00\x00\x01\xba",  # MPEG program stream
    b"\x00\x00\x01\xb3",  # MPEG video
    b"\x00\x00\x00\x01",  # H.264 and H.265 without a container
    b"\x00\x00\x01\xb0",  # MPEG-4 video
    b"0&\xb2u\x8ef\xcf\x11",  # ASF, WMV
    b"DKIF",  # IVF
    b"YUV4MPEG2 ",
    b"\x06\x0e+4\x02\x05\x01\x01",  # MXF
    b"GIF87a",
    b"GIF89a",
)
PICTURE_STARTS: Final = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"BM", b"II*\x00", b"MM\x00*")
SOUND_STARTS: Final = (b"ID3", b"fLaC", b"\xff\xfb", b"\xff\xf3", b"\xff\xf1", b"\xff\xf9", b"#!AMR", b"FORM")

WRONG_KINDS: Final = {
    "picture": "is a still picture, not a video.",
    "sound": "holds only sound, no pictures.",
    "text": "is a text file, not a video.",
    "unknown": "is not a video in a format known here (such as MP4, MOV, WebM, MKV or AVI).",
}


class VideoError(HermesError):
    """A file that cannot be shown as a video; the message is one sentence that says why."""


def display_name(path: Path) -> str:
    """The file's name in quotes, printable and at most 80 characters long, for messages."""
    name = "".join(c if c.isprintable() else "�" for c in path.name)
    return f'"{name}"' if len(name) <= 80 else f'"{name[:60]}…{name[-19:]}"'


def check_container(path: Path) -> None:
    """Let a file through whose first bytes are those of a video container.

    Raises:
        VideoError: missing, not a file, not readable, empty, or something other than a video.
    """
    name, head = display_name(path), _read_head(path)
    if not head:
        raise VideoError(f"{name} is empty: the file has no bytes.")
    kind = _kind(head)
    if kind != "video":
        raise VideoError(f"{name} {WRONG_KINDS[kind]}")


def why_unreadable(path: Path) -> str:
    """Why the decoder refused a file that `check_container` let through: one sentence."""
    name = display_name(path)
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        if head[4:8] in MP4_BOXES:
            size = path.stat().st_size
            movie = next(((start, end) for kind, start, end in _boxes(file, 0, size) if kind == b"moov"), None)
            if movie is None or movie[1] > size:
                return f"{name} is cut short: the index of its frames is missing, so nothing in it can be played."
            handlers = set(_handlers(file, *movie))
            if handlers and b"vide" not in handlers:
                return f"{name} holds no pictures{', only sound' if b'soun' in handlers else ''}."
    sound = any(mark in head for mark in (b"A_OPUS", b"A_VORBIS", b"A_AAC", b"OpusHead", b"\x01vorbis"))
    pictures = any(mark in head for mark in (b"V_", b"\x80theora", b"VP80"))
    if sound and not pictures:
        return f"{name} holds no pictures, only sound."
    return f"{name} cannot be decoded: it is damaged, or in a format that is not known here."


def _read_head(path: Path) -> bytes:
    name = display_name(path)
    try:
        if not path.exists():
            raise VideoError(f"There is no file {name}.")
        if path.is_dir():
            raise VideoError(f"{name} is a folder, not a video file.")
        if not path.is_file():
            raise VideoError(f"{name} is a device or a pipe, not a video file.")
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except PermissionError:
        raise VideoError(f"{name} may not be read: permission denied.") from None
    except (OSError, ValueError) as error:
        raise VideoError(f"{name} cannot be opened: {getattr(error, 'strerror', None) or error}.") from None


def _kind(head: bytes) -> str:
    """`"video"` or a key of `WRONG_KINDS`, from the first bytes of a file."""
    riff = head[8:12] if head.startswith(b"RIFF") else b""
    if head[4:8] in MP4_BOXES:
        return "picture" if head[8:12] in MP4_STILL else "video"
    if head.startswith(VIDEO_STARTS) or riff == b"AVI " or _is_transport_stream(head):
        return "video"
    if head.startswith(PICTURE_STARTS) or riff == b"WEBP":
        return "picture"
    if head.startswith(SOUND_STARTS) or riff == b"WAVE":
        return "sound"
    return "text" if _is_text(head) else "unknown"


def _is_transport_stream(head: bytes) -> bool:
    return any(
        head[at : at + 1] == b"\x47" and head[at + step : at + step + 1] == b"\x47" for at, step in ((0, 188), (4, 192))
    )


def _is_text(head: bytes) -> bool:
    if b"\x00" in head:
        return head.startswith((b"\xff\xfe", b"\xfe\xff"))  # UTF-16
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # the last character may be cut
    except UnicodeDecodeError:
        return False
    return True


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """The boxes of an MP4 file between two offsets: kind, start and end of what is inside."""
    while start + 8 <= end:
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


def _handlers(file: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    """The kind of each track of an MP4 file (`vide`, `soun`, …), `start` to `end` being the inside of its movie box."""
    for kind, inside, stop in _boxes(file, start, end):
        if kind in (b"trak", b"mdia"):
            yield from _handlers(file, inside, min(stop, end))
        elif kind == b"hdlr":
            file.seek(inside + 8)
            yield file.read(4)
