"""State of the player in one browser tab: the stream, notices, and whether the page has to reset."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from ui.player import payloads
from ui.player.clips import Clip
from ui.player.source import Source
from ui.settings.model_loader import Loading

if TYPE_CHECKING:
    from hermes.view import LiveView, StreamSettings


class PlayerState:
    """Builds the messages for the player of one browser tab. Thread-safe.

    Attributes:
        rejected: Path of the last upload that could not be opened, which the page no longer offers; "" if there is none.
    """

    def __init__(self) -> None:
        self.rejected = ""
        self._restarted = False
        self._notice: dict[str, Any] | None = None
        self._reported_error: str | None = None
        self._reported_notes = 0
        self._camera_frames = 0
        self._numbers = itertools.count(1)

    def notify(self, kind: str, text: str) -> None:
        """Show a notice next to the stream.

        Args:
            kind: "error" or "info".
            text: The message.
        """
        # Unique across visitors: during a lesson the same page shows the notices of two visitors.
        self._notice = {"id": uuid4().hex, "kind": kind, "text": text}

    def begin(self, *, reset: bool = True) -> None:
        """Switch to another stream and drop the notices of the previous one.

        Args:
            reset: Whether the page must discard what it shows; False if it shows the new stream already.
        """
        self._restarted, self._notice, self._reported_error, self._reported_notes = reset, None, None, 0

    def resend_all(self) -> None:
        """Make the page discard what it shows and receive the complete state."""
        self._restarted = True

    @property
    def restarting(self) -> bool:
        """Whether the next message makes the page discard what it shows."""
        return self._restarted

    def acknowledge_camera_frame(self, number: int) -> None:
        """Record that camera frame `number` has arrived, so that the browser can send the next one."""
        self._camera_frames = max(self._camera_frames, number)

    def update_notices(self, view: LiveView | None) -> None:
        """Show each error and each note of the stream once."""
        if view is not None and view.error and view.error != self._reported_error:
            self._reported_error = view.error
            self.notify("error", view.error)
        elif view is not None and view.notes[self._reported_notes :]:
            self._reported_notes += 1
            self.notify("info", view.notes[self._reported_notes - 1])

    def message(
        self,
        view: LiveView | None,
        shown: int,
        *,
        playing: Source,
        settings: StreamSettings,
        model: Loading | None,
        policy: Any,
        subject: tuple[Source, Clip | None],
        starting: bool,
        opening: bool,
        speeds: Mapping[int, float],
    ) -> dict[str, Any]:
        """Return the next message for the player, without the fields of recorded runs and recordings.

        Args:
            view: Current state of the stream, or None if there is no stream.
            shown: Number of the frame that the browser shows.
            playing: Source of the stream.
            settings: Settings of the visitor.
            model: Loading state of the selected model.
            policy: The selected policy.
            subject: The source that questions refer to, and the clip if it is one.
            starting: Whether the visitor waits for the model.
            opening: Whether a source is being opened.
            speeds: Playback speeds by the name that the browser uses.
        """
        restarted, self._restarted = self._restarted, False
        return {
            "n": next(self._numbers),
            "source": {"kind": playing.kind, "id": playing.id, "title": playing.title},
            "speed": next((name for name, speed in speeds.items() if speed == settings.speed), 1),
            "fps": settings.fps,
            "received": self._camera_frames,
            "restarted": restarted,
            "notice": self._notice,
            "rejected": self.rejected,
            "loading": (payloads.loading_progress(model) if starting else None)
            or payloads.opening_progress(subject[0].kind if opening else playing.kind, view, opening=opening),
            "about": payloads.about(model, policy, settings.changed),
            "chips": payloads.chips(*subject, model),
            **payloads.stream_state(view, -1 if restarted else shown),
        }
