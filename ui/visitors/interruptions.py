"""Pauses of a stream that its visitor did not request: during a lesson, and while the connection is lost."""

from __future__ import annotations

from collections.abc import Callable


class Interruptions:
    """Pauses a stream and resumes it in the state before."""

    def __init__(
        self, is_playing: Callable[[], bool], is_camera: Callable[[], bool], transport: Callable[[str], None]
    ) -> None:
        """Control a stream.

        Args:
            is_playing: Returns whether it plays.
            is_camera: Returns whether its source is a camera.
            transport: Applies "pause", "resume" or "stop".
        """
        self._is_playing = is_playing
        self._is_camera = is_camera
        self._transport = transport
        self._by_guest = False
        self._by_disconnect = False

    def begin_guest(self) -> None:
        """Pause while another visitor is shown. A camera stops; its memory is kept."""
        self._by_guest = self._is_playing() and not self._is_camera()
        if self._by_guest:
            self._transport("pause")
        elif self._is_camera():
            self._transport("stop")

    def end_guest(self) -> None:
        """Resume what `begin_guest` paused."""
        if self._by_guest:
            self._transport("resume")
        self._by_guest = False

    def begin_disconnect(self) -> None:
        """Pause because the page lost its connection, so that the visitor misses nothing."""
        self._by_disconnect = self._is_playing()
        if self._by_disconnect:
            self._transport("pause")

    def end_disconnect(self) -> None:
        """Resume what `begin_disconnect` paused. A camera waits until its page records again."""
        if self._by_disconnect and not self._is_camera():
            self._transport("resume")
        self._by_disconnect = False
