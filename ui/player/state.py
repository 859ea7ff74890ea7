"""What one browser's player is told: the stream's state, sentences beside it, and whether to begin afresh."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ui.player import payloads
from ui.player.clips import Clip
from ui.player.source import Source
from ui.settings.model_loader import Loading

if TYPE_CHECKING:
    from hermes.view import LiveView, StreamSettings

_IDS = itertools.count(1)


class PlayerNews:
    """Messages for the player of one browser. Methods may be called by any thread."""

    def __init__(self) -> None:
        self._restarted = False
        self._notice: dict[str, Any] | None = None
        self._told_error: str | None = None
        self._notes = 0
        self._shots = 0

    def tell(self, kind: str, text: str) -> None:
        """Show a sentence beside the stream: kind "error" or "info"."""
        self._notice = {"id": next(_IDS), "kind": kind, "text": text}

    def begin(self, *, afresh: bool = True) -> None:
        """Another stream is shown: what was said beside the one before is over. `afresh`: the browser shows it not yet."""
        self._restarted, self._notice, self._told_error, self._notes = afresh, None, None, 0

    def tell_afresh(self) -> None:
        """The browser has to forget what it shows, and is told everything anew."""
        self._restarted = True

    def count_shot(self, number: int) -> None:
        """Camera picture `number` has arrived, so that the browser may send another."""
        self._shots = max(self._shots, number)

    def heed(self, view: LiveView | None) -> None:
        """Report each problem and each note of the stream once."""
        if view is not None and view.error and view.error != self._told_error:
            self._told_error = view.error
            self.tell("error", view.error)
        elif view is not None and view.notes[self._notes :]:
            self._notes += 1
            self.tell("info", view.notes[self._notes - 1])

    def state(
        self,
        view: LiveView | None,
        shown: int,
        *,
        playing: Source,
        settings: StreamSettings,
        model: Loading | None,
        policy: Any,
        clip: Clip | None,
        starting: bool,
        speeds: Mapping[int, float],
    ) -> dict[str, Any]:
        """The next message, without what a recorded run or a recording adds.

        Args:
            view: The stream now; None: there is none.
            shown: Number of the picture that the browser shows.
            playing: Where the stream comes from.
            settings: The visitor's own.
            model: How far the chosen model is loaded.
            policy: The chosen policy.
            clip: The chosen clip, whose questions are suggested.
            starting: Whether somebody waits for the model.
            speeds: What the browser calls each speed.
        """
        restarted, self._restarted = self._restarted, False
        return {
            "n": next(_IDS),
            "source": {"kind": playing.kind, "id": playing.id, "title": playing.title},
            "speed": next((name for name, speed in speeds.items() if speed == settings.speed), 1),
            "fps": settings.fps,
            "received": self._shots,
            "restarted": restarted,
            "notice": self._notice,
            "loading": payloads.waiting(model) if starting else None,
            "about": payloads.about(model, policy, settings.changed),
            "chips": payloads.chips(clip, model),
            **payloads.stream_state(view, -1 if restarted else shown),
        }
