"""Choosing the video track of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from av.stream import Disposition

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

PICTURE_CODECS: Final = ("mjpeg", "png", "webp", "bmp", "gif")
"""Codecs of cover pictures, which are not always marked as such."""
NO_VIDEO: Final = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.dependent


def video_tracks(container: InputContainer) -> list[VideoStream]:
    """Return the video tracks except cover art and thumbnails, best first.

    Preferred, in this order: tracks that can be decoded, that have more than one frame, that are not cover pictures by their
    codec, larger tracks, the default track.
    """
    tracks = [stream for stream in container.streams.video if not stream.disposition & NO_VIDEO]
    return sorted(tracks, key=_rank)


def size_of(track: VideoStream) -> tuple[int, int]:
    """Return width and height as the container states them; 0 if it does not or if there is no decoder."""
    context = track.codec_context
    return (0, 0) if context is None else (context.width, context.height)


def _rank(track: VideoStream) -> tuple[bool, bool, bool, int, bool, int]:
    width, height = size_of(track)
    return (
        track.codec_context is None,
        track.frames == 1,
        track.frames == 0 and track.codec_context is not None and track.codec_context.name in PICTURE_CODECS,
        -width * height,
        not track.disposition & Disposition.default,
        track.index,
    )
