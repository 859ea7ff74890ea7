"""What the page shows of a chosen upload before it starts: its first frame and its facts.

The decoder that has read the first frame waits for a while, so that the file is opened once.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from typing import Any, Final
from uuid import uuid4

from hermes import video
from hermes.video.thumbnails import VIEW_WIDTH, jpeg
from hermes.view import StreamSettings
from ui.player.source import Source

KEPT_SECONDS: Final = 60.0
"""Time after which the decoder of a chosen upload is closed if the stream was not started."""


class UploadPreview:
    """The preview of one visitor's chosen upload. Thread-safe."""

    def __init__(self, openings: threading.Semaphore) -> None:
        """Start without an upload. `openings` is held while a file is opened."""
        self._openings = openings
        self._lock = threading.Lock()
        self._source: Source | None = None
        self._sampler: video.VideoSampler | None = None
        self._timer: threading.Timer | None = None
        self._facts: dict[str, Any] | None = None
        self._jpeg = b""
        self.info: video.VideoInfo | None = None

    def open(self, source: Source, settings: StreamSettings, is_wanted: Callable[[], bool] = lambda: True) -> None:
        """Read the first frame of an upload, unless it is the one that is shown.

        Args:
            source: The upload.
            settings: Frame rate and size at which it will be played.
            is_wanted: Returns whether it should still be shown. Reading takes a while, and the visitor may choose another
                source or leave meanwhile.

        Raises:
            VideoError: It cannot be played. Nothing is shown then.
        """
        with self._lock:
            if self._source == source or not is_wanted():
                return
            before = self._clear()
        if before is not None:
            before.close()
        if source.path is None:
            return
        with self._openings:
            if not is_wanted():  # after waiting for other openings
                return
            sampler = video.sample(source.path, settings.fps, max_side=settings.max_side)
            try:
                first, size = sampler.peek(), source.path.stat().st_size
            except FileNotFoundError as error:
                sampler.close()
                raise video.VideoError(
                    "This file was deleted, because newer ones were uploaded. Choose it again."
                ) from error
            except BaseException:
                sampler.close()
                raise
        info = sampler.info
        picture = jpeg(first[0], VIEW_WIDTH, 85) if first is not None else b""
        facts = {
            "n": uuid4().hex,
            "seconds": info.duration,
            "width": info.width,
            "height": info.height,
            "fps": info.fps,
            "bytes": size,
        }
        surplus: video.VideoSampler | None = sampler
        with self._lock:
            if is_wanted():
                surplus = self._clear()  # of another upload that was opened at the same time
                self._source, self._sampler, self.info = source, sampler, info
                self._jpeg, self._facts = picture, facts
                self._timer = threading.Timer(KEPT_SECONDS, self._expire, (sampler,))
                self._timer.daemon = True
                self._timer.start()
        if surplus is not None:
            surplus.close()

    def take(self, source: Source, settings: StreamSettings) -> video.VideoSampler | None:
        """Return the waiting decoder if it reads this source as `settings` require, else None. The caller must close it."""
        with self._lock:
            if self._source != source or self._sampler is None:
                return None
            sampler, self._sampler = self._sampler, None
            if self._timer is not None:
                self._timer.cancel()
            if sampler.open and (sampler.fps, sampler.max_side) == (settings.fps, settings.max_side):
                return sampler
        sampler.close()
        return None

    def _expire(self, sampler: video.VideoSampler) -> None:
        with self._lock:
            if self._sampler is not sampler:
                return
            self._sampler = None
        sampler.close()

    def message(self, shown: object) -> dict[str, Any]:
        """Return the fields `preview` (facts, or None) and, unless the page shows it already, `poster`.

        Args:
            shown: Number of the poster that the page shows.
        """
        with self._lock:
            facts, picture = self._facts, self._jpeg
        message: dict[str, Any] = {"preview": facts}
        if facts is not None and picture and facts["n"] != shown:
            message["poster"] = {"n": facts["n"], "jpeg": base64.b64encode(picture).decode("ascii")}
        return message

    def close(self) -> None:
        """Show nothing, and close the decoder."""
        with self._lock:
            sampler = self._clear()
        if sampler is not None:
            sampler.close()

    def _clear(self) -> video.VideoSampler | None:
        """Show nothing, and return the decoder to be closed; the lock is held."""
        sampler, self._sampler = self._sampler, None
        self._source = self._facts = self.info = None
        if self._timer is not None:
            self._timer.cancel()
        return sampler
