"""Which track of a file holds its pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from av.stream import Disposition

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

PICTURE_CODECS: Final = ("mjpeg", "png", "webp", "bmp", "gif")
"""Codecs of cover pictures that are not marked as such."""
NO_VIDEO: Final = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.dependent


def video_tracks(container: InputContainer) -> list[VideoStream]:
    """The video tracks that are no cover art and no thumbnails, best first.

    The best one can be decoded, has more than one frame, is no picture that may be a cover, is the largest, and is the
    default track, in this order.
    """
    tracks = [stream for stream in container.streams.video if not stream.disposition & NO_VIDEO]
    return sorted(tracks, key=_rank)


def size_of(track: VideoStream) -> tuple[int, int]:
    """Width and height as the container states them; 0 where it does not, or where there is no decoder."""
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
