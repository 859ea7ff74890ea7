"""What the page of one visitor shows: the player, the memory board, and details of both."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from hermes.errors import HermesError
from hermes.serving.interface import StreamLostError
from ui.board.cells import Wanted
from ui.board.detail import word_detail
from ui.board.evidence import Judge, judge_of
from ui.board.feed import judge_of_source
from ui.opening import Opening
from ui.player.clips import Clip
from ui.player.conversation import Conversation
from ui.player.state import PlayerState
from ui.visitors.readout import Polled, StreamProgress, StreamReadout
from ui.visitors.state import VisitorState

if TYPE_CHECKING:
    from hermes.serving.interface import StreamReader


class PageView:
    """The player and the board of one visitor.

    Attributes:
        player: Builds the messages for the player.
        returned: How often the page must request the stream, the chat and the settings again.
        lab_opened: How often the page must show Compare.
    """

    def __init__(self, state: VisitorState, clips: Mapping[str, Clip], conversation: Conversation) -> None:
        """Show nothing yet. `clips` provide the ground truth that answers are judged by."""
        self._state = state
        self._conversation = conversation
        self.player = PlayerState()
        self._clips = clips
        self._fps = state.settings.fps
        self._reader: StreamReader | None = None  # reads what is shown
        self._board_failed = False
        self.returned = 0
        self.lab_opened = 0

    def begin(self, label: str = "", opening: Opening | None = None) -> None:
        """Reset board and player for a new memory, unless the browser already shows its opening moment.

        Args:
            label: Text of the divider in the chat, if questions refer to another live stream from now on.
            opening: The moment that the browser shows.
        """
        state, replay = self._state, self._state.replay
        if label:
            self._conversation.begin_stream(label)
        fps = replay.run.settings.fps if replay else min(state.settings.fps, state.native_fps or math.inf)
        named = replay.run.clip_id if replay else state.playing.id
        clips = {named: self._clips[named]} if named in self._clips else {}
        sent = opening.feed if opening else None
        if state.stream is not None:
            self._reader = state.stream.attach(partial(StreamReadout, clips, state.playing, fps, replay, sent))
        self._fps = fps
        self.player.begin(reset=opening is None)

    def notify(self, kind: str, text: str) -> None:
        """Show a notice next to the stream; `kind` is "error" or "info"."""
        self.player.notify(kind, text)

    def note_lab(self) -> None:
        """Make the page show Compare, because a recorded comparison was opened in the player."""
        self.lab_opened += 1
        self.notify("info", "This file is a recorded comparison. It opens in the view Compare.")

    def resend_all(self, *, controls: bool = False) -> None:
        """Make the page discard what it shows and receive the complete state; with `controls`, also chat and settings."""
        self.returned += controls
        self.player.resend_all()

    def mark(self, words: str) -> None:
        """Mark a change of the memory's settings on the time axis of the board."""
        if self._reader is not None:
            self._reader.call("mark", words)

    def poll(self, acknowledged: int | None, wanted: Wanted | None, shown: int) -> Polled | None:
        """Return an update from where the stream runs; None without a stream.

        A failure of the board does not affect the player, and is reported once until it ends.

        Args:
            acknowledged: Number of the last board message that the browser applied.
            wanted: Which parts of the board the browser shows; only these are sent.
            shown: Number of the frame that the browser shows.
        """
        stream, reader = self._state.stream, self._reader
        if stream is None or reader is None:
            return None
        try:
            polled: Polled = reader.call("poll", acknowledged, wanted, -1 if self.player.restarting else shown)
        except HermesError:  # the stream was lost, or does not respond
            polled = Polled(stream.status(), freed=bool(getattr(stream, "freed", False)))
        if polled.failed and not self._board_failed:
            self.notify("error", "The board cannot be updated because of an internal error. The stream continues.")
        self._board_failed = polled.failed
        return polled

    def progress(self) -> StreamProgress | None:
        """Return the progress of the stream, for saving; None if there is no stream, or it was lost."""
        if self._reader is None:
            return None
        try:
            progress: StreamProgress = self._reader.call("progress")
        except StreamLostError:
            return None
        return progress

    def detail(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return details on request: tokens or history of a frame, attention heads of a layer, or the board as a page."""
        stream, replay = self._state.stream, self._state.replay
        if stream is None or self._reader is None:
            return {"id": request.get("id"), "error": "No frames yet. Press Start."}
        if request.get("kind") == "word":
            turn = request.get("turn")
            trace = replay.trace(turn) if replay is not None else self._conversation.trace(turn)
            return word_detail(trace, request)
        reply: dict[str, Any] = self._reader.call("detail", request)
        return reply

    def judge(self) -> Judge:
        """Return the judge of the answers about what is shown. Without ground truth it only finds what they attended to."""
        state = self._state
        return judge_of_source(self._clips, state.playing, state.replay, lambda: self._fps) or judge_of(())
