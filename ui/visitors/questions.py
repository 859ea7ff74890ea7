"""The questions of one visitor: asked to what it watches, with the advice for models of a rendered world."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ui.player import payloads
from ui.player.clips import Clip
from ui.player.conversation import Conversation
from ui.player.source import Source
from ui.visitors.state import VisitorState
from ui.visitors.visitor_settings import VisitorSettings


class Questions:
    """Asks the stream or recorded run in a visitor's state."""

    def __init__(
        self, state: VisitorState, settings: VisitorSettings, conversation: Conversation, clips: Mapping[str, Clip]
    ) -> None:
        """Add the turns to `conversation`. `clips` are the bundled clips by id."""
        self._state = state
        self._settings = settings
        self._conversation = conversation
        self._clips = clips

    def ask(self, question: str, *, wait: bool = True) -> Iterator[dict[str, Any]]:
        """Ask a question and yield a message for the chat after each piece of the answer; see `Conversation.ask`."""
        state = self._state
        advice = self.advice(state.playing) if state.replay is None else None
        note = advice["answer"] if advice else ""
        return self._conversation.ask(state.stream, question, self._settings.policy_title, note, wait=wait)

    def halt(self) -> None:
        """Stop the current answer. Its text so far is kept, and waiting questions are answered next."""
        self._conversation.stop_current()
        self._stop_answer()

    def clear(self) -> None:
        """Remove the questions and answers. The memory of the stream does not change."""
        self._conversation.clear()
        self._stop_answer()

    def _stop_answer(self) -> None:
        stream = self._state.stream
        if stream is not None:
            stream.stop_answer()

    def clip_of(self, source: Source) -> Clip | None:
        """Return the bundled clip of a source; None for other sources."""
        return self._clips.get(source.id) if source.kind == "clip" else None

    def advice(self, source: Source) -> dict[str, Any] | None:
        """Return the note that the model cannot answer questions about a source, or None if it can."""
        return payloads.advice(source, self.clip_of(source), self._settings.model)

    def shown_advice(self) -> dict[str, Any] | None:
        """Return the note that the model does not know what the source shows, before and while it plays."""
        if self._state.replay is not None:
            return None
        return self.advice(self._state.chosen) or self.advice(self._state.playing)
