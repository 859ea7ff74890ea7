"""Opening a video file with its demuxer and choosing its video track, with an error message for each kind of failure."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import av
import av.error

from hermes.video import explain
from hermes.video.errors import VideoError
from hermes.video.formats import HEAD_BYTES, canvas_size
from hermes.video.tracks import size_of, video_tracks

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.codeccontext import VideoCodecContext
    from av.video.stream import VideoStream

    from hermes.video.formats import FileFormat
    from hermes.video.limits import Limits

ASSUMED_FPS: Final = 25.0
"""For files that contain neither times nor a frame rate."""
MAX_FPS: Final = 480.0
READ_BYTES: Final = 1 << 18
LONGEST_SIDE: Final = 100_000
"""Largest width or height of a frame that is decoded, in pixels."""


class MediaFile:
    """An open video file and its video track.

    Attributes:
        file: The file.
        format: Its format.
        name: Its name for messages.
        limits: The limits that apply to it.
        size_bytes: Size of the file.
        head: Its first `HEAD_BYTES` bytes.
        container: The open container.
        track: The video track.
        time_base: Seconds per tick of the track's timestamps.
        seconds_per_tick: The same as a float.
        fps: Mean frames per second as the container states them; None if it does not.
        ignores_edits: Whether the edit list is ignored because it selects no frames.
    """

    def __init__(
        self, file: BinaryIO, file_format: FileFormat, name: str, limits: Limits, tick: Callable[[], None]
    ) -> None:
        """Open a file.

        Args:
            file: The file, opened for reading.
            file_format: Its format, see `hermes.video.formats`.
            name: Its name for messages.
            limits: The limits that apply to it.
            tick: Called before each operation that may take long.

        Raises:
            VideoError: The file cannot be opened or has no video track that can be decoded.
        """
        self.file, self.format, self.name, self.limits = file, file_format, name, limits
        self.size_bytes = file.seek(0, 2)
        file.seek(0)
        self.head = file.read(HEAD_BYTES)
        self._tick = tick
        self.ignores_edits = False
        self.container = self._open()
        self._select_track()

    @property
    def max_pixels(self) -> int:
        """The largest frame that is decoded."""
        return self.limits.canvas_pixels if self.format.canvas else self.limits.pixels

    @property
    def has_sound(self) -> bool:
        """Whether the file has an audio track."""
        return any(stream.type == "audio" for stream in self.container.streams)

    @property
    def pixel_ratio(self) -> float | None:
        """Width of a pixel divided by its height; None if the container does not state it."""
        ratio = self.track.sample_aspect_ratio
        return float(ratio) if ratio else None

    def ignore_edits(self) -> None:
        """Open the container again without its edit list, because that list selects no frame."""
        self.ignores_edits = True
        self.container.close()
        self.container = self._open({"ignore_editlist": "1"})
        self._select_track()

    def prepare(self, context: VideoCodecContext) -> None:
        """Set the limits of a decoder before its first packet."""
        # The Theora decoder cannot take the headers of an appended recording in more than one thread.
        context.thread_count = 1 if context.name == "theora" else self.limits.threads
        context.thread_type = "AUTO"
        context.options = {**context.options, "max_pixels": str(self.max_pixels)}

    def track_at(self, offset: int, end: int | None) -> VideoStream | None:
        """Return the video track of the recording that begins at an offset; None if the current track continues there.

        A transport stream can contain several recordings. libavformat keeps the decoder and the tracks of the first.

        Args:
            offset: Offset in the file.
            end: Offset of the next packet of the current track; None if there is none, or if it follows immediately.
        """
        position = self.file.tell()
        tracks = self._tracks_at(offset, end)
        current = (self.track.id, self.track.codec_context.name)
        is_other = tracks and current not in [(track.id, track.codec_context.name) for track in tracks]
        if is_other and not self._exceeds(*size_of(tracks[0])):
            found = [track for track in self._tracks_at(offset, None) if track.id == tracks[0].id]
            if found:
                return found[0]
        self.file.seek(position)
        return None

    def _tracks_at(self, offset: int, end: int | None) -> list[VideoStream]:
        """The video tracks in a part of the file, best first."""
        try:
            container = self._open_container(_Window(self.file, offset, end), {})
        except (av.error.FFmpegError, OSError, ValueError):
            return []
        return [track for track in video_tracks(container) if track.codec_context is not None]

    def switch(self, track: VideoStream) -> None:
        """Continue with a track that `track_at` returned."""
        self.track = track
        self.container = track.container  # type: ignore[assignment]

    def _exceeds(self, width: int, height: int) -> bool:
        """Whether frames of this size are not decoded."""
        return width * height > self.max_pixels or max(width, height) > LONGEST_SIDE

    def too_large(self, width: int, height: int) -> str:
        """Return the message for frames that are too large."""
        if self.format.canvas:
            reason = (
                f"an animated picture may have at most {self.max_pixels / 1e6:.1f} million pixels here, because each of "
                "its frames takes long to decode."
            )
        else:
            reason = "larger than 8K video, the largest that is decoded here."
        return f"{self.name} is {width} × {height} pixels: {reason}"

    @property
    def only_cover(self) -> str:
        """The message for an audio file with a cover picture."""
        return f"{self.name} holds only sound, with a cover picture but no video."

    def undecodable(self) -> str:
        """Return the message for a file of which no frame could be decoded."""
        if explain.is_encrypted(self.file, self.format):
            return explain.encrypted(self.name)
        if self._exceeds(*size_of(self.track)):
            return self.too_large(*size_of(self.track))
        return f"{self.name} is damaged: not one of its frames can be decoded."

    def _open(self, more: dict[str, str] | None = None) -> InputContainer:
        if self.format.demuxer in ("mov", "matroska", "asf") and explain.is_encrypted(self.file, self.format):
            raise VideoError(explain.encrypted(self.name))
        if self._exceeds(*canvas_size(self.head)):
            raise VideoError(self.too_large(*canvas_size(self.head)))
        self.file.seek(0)
        try:
            return self._open_container(self.file, more or {})
        except (av.error.FFmpegError, OSError, ValueError):
            raise VideoError(explain.why_unreadable(self.file, self.format, self.name, self.limits)) from None

    def _open_container(self, file: Any, more: dict[str, str]) -> InputContainer:
        """Open a container. Only the file itself can be read: all protocols and other demuxers are excluded."""
        options = {
            "protocol_whitelist": "none",
            "format_whitelist": self.format.demuxer,
            "max_streams": str(self.limits.streams),
            "max_pixels": str(4 * self.limits.pixels),  # so that the message can state the size of larger frames
            **more,
        }
        if self.format.wraps:
            options["correct_ts_overflow"] = "0"  # `FrameClock` does that, also across appended recordings
        self._tick()
        return av.open(
            file,
            "r",
            format=self.format.demuxer,
            options=options,
            metadata_errors="ignore",
            buffer_size=READ_BYTES,
        )

    def _select_track(self) -> None:
        self.track = self._choose()
        self.prepare(self.track.codec_context)
        self.time_base = self.track.time_base or Fraction(1, 1_000_000)
        self.seconds_per_tick = float(self.time_base)
        self.fps = _valid_rate(self.track)

    def _choose(self) -> VideoStream:
        tracks = video_tracks(self.container)
        if not tracks:
            cover = bool(self.container.streams.video)
            if self.has_sound:
                raise VideoError(self.only_cover if cover else explain.only_sound(self.name))
            if cover:
                raise VideoError(f"{self.name} is a still picture, not a video.")
            if self.container.streams:
                raise VideoError(f"{self.name} holds no pictures, only text or data.")
            raise VideoError(explain.why_unreadable(self.file, self.format, self.name, self.limits))
        track = tracks[0]
        if track.codec_context is None:
            raise VideoError(explain.unsupported(self.file, self.format, self.name))
        if self._exceeds(*size_of(track)):
            raise VideoError(self.too_large(*size_of(track)))
        return track


class _Window(io.RawIOBase):
    """The part of a file between two offsets."""

    def __init__(self, file: BinaryIO, start: int, end: int | None) -> None:
        self._file, self._start = file, start
        self._end = file.seek(0, 2) if end is None else end
        file.seek(start)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        left = max(self._end - self._file.tell(), 0)
        return self._file.read(left if size < 0 else min(size, left))

    def seek(self, offset: int, whence: int = 0) -> int:
        base = (self._start, self._file.tell(), self._end)[whence]
        return self._file.seek(max(base + offset, self._start)) - self._start

    def tell(self) -> int:
        return self._file.tell() - self._start

    def close(self) -> None:
        """Leave the file open."""
        with contextlib.suppress(ValueError):
            super().close()


def _valid_rate(track: VideoStream) -> float | None:
    for rate in (track.average_rate, track.guessed_rate):
        if rate and 0 < rate <= MAX_FPS:
            return float(rate)
    return None
