"""Pauses of a stream that its visitor did not request: during a lesson, and while the connection is lost."""

from __future__ import annotations

from collections.abc import Callable

from hermes.errors import HermesError


class Interruptions:
    """Pauses a stream and resumes it in the state before. Errors are reported to the visitor, who did not request it."""

    def __init__(
        self,
        is_playing: Callable[[], bool],
        is_camera: Callable[[], bool],
        transport: Callable[[str], None],
        report: Callable[[str], None],
    ) -> None:
        """Control a stream.

        Args:
            is_playing: Returns whether it plays.
            is_camera: Returns whether its source is a camera.
            transport: Applies "pause", "resume" or "stop"; raises HermesError if the stream is lost, for example.
            report: Shows an error message to the visitor.
        """
        self._is_playing = is_playing
        self._is_camera = is_camera
        self._transport = transport
        self._report = report
        self._by_guest = False
        self._by_disconnect = False

    def begin_guest(self) -> None:
        """Pause while another visitor is shown. A camera stops; its memory is kept."""
        self._by_guest = self._is_playing() and not self._is_camera()
        if self._by_guest:
            self._apply("pause")
        elif self._is_camera():
            self._apply("stop")

    def end_guest(self) -> None:
        """Resume what `begin_guest` paused."""
        if self._by_guest:
            self._apply("resume")
        self._by_guest = False

    def begin_disconnect(self) -> None:
        """Pause because the page lost its connection, so that the visitor misses nothing."""
        self._by_disconnect = self._is_playing()
        if self._by_disconnect:
            self._apply("pause")

    def end_disconnect(self) -> None:
        """Resume what `begin_disconnect` paused. A camera waits until its page records again."""
        if self._by_disconnect and not self._is_camera():
            self._apply("resume")
        self._by_disconnect = False

    def _apply(self, action: str) -> None:
        try:
            self._transport(action)
        except HermesError as error:
            self._report(str(error))
