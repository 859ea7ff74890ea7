"""The questions of one visitor: asked to what it watches, with notes on what the model knows."""

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
        note = self.answer_note(question) if state.replay is None else ""
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
        """Return the note on what the model knows of a source; None if there is none."""
        return payloads.advice(source, self.clip_of(source), self._settings.model_for(source))

    def answer_note(self, question: str) -> str:
        """Return the note to show with the answer to a question; "" if there is none."""
        source = self._state.playing
        return payloads.answer_note(question, source, self.clip_of(source), self._settings.model_for(source))

    def subject(self, *, starting: bool) -> Source:
        """Return the source that questions refer to: what plays live, or else what is selected or starts."""
        state = self._state
        selected = state.stream is None or state.replay is not None or starting
        return state.chosen if selected else state.playing

    def shown_advice(self, subject: Source) -> dict[str, Any] | None:
        """Return the note above the question field.

        Args:
            subject: The source that questions refer to.

        Returns:
            What the model knows of the selected source, see `payloads.advice`, and what is shown until that starts; None
            for a recorded run, or if there is nothing to say.
        """
        chosen = self._state.chosen
        if chosen.kind == "run":
            return None
        shown = self._state.playing if self._state.replay is not None else subject
        advice = self.advice(chosen)
        return advice if chosen == shown else payloads.advice_before_start(shown, advice)
