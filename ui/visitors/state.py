"""The state that the parts of a visitor share: what it watches and with which settings."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ui.player.source import Source
from ui.runs.replay import Replay

if TYPE_CHECKING:
    from hermes.serving.interface import StreamControl
    from hermes.view import StreamSettings


MAX_OPENING: Final = 2
"""Video files that a visitor opens at a time. Each takes a decoder process; others wait."""


@dataclass(eq=False)
class VisitorState:
    """State of one visitor. `lock` guards changes; no part holds it while it waits for a file or a measurement.

    Attributes:
        settings: Settings of the stream, or of the next one.
        chosen: The selected source.
        stream: The live stream or recorded run that is shown; None before the first.
        playing: Source of `stream`.
        native_fps: Frame rate of its file; None if it is unknown, or for other sources.
        closed: Whether the visitor has left.
        lock: Guards the other attributes.
        openings: Held while a video file is opened; see `MAX_OPENING`.
    """

    settings: StreamSettings
    chosen: Source
    stream: StreamControl | Replay | None = None
    playing: Source = field(default_factory=lambda: Source(""))
    native_fps: float | None = None
    closed: bool = False
    lock: threading.RLock = field(default_factory=threading.RLock)
    openings: threading.Semaphore = field(default_factory=lambda: threading.BoundedSemaphore(MAX_OPENING))

    @property
    def replay(self) -> Replay | None:
        """The recorded run that is shown; None if it is a stream or nothing."""
        stream = self.stream
        return stream if isinstance(stream, Replay) else None

    @property
    def is_playing(self) -> bool:
        """Whether the stream or recorded run plays."""
        stream = self.stream
        return stream is not None and stream.status().state == "playing"
