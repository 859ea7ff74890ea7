"""The stream of one visitor that outlives a restart of the server: the offer to continue it, and what is saved of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from hermes.errors import HermesError
from ui.player.clips import Clip
from ui.player.conversation import Conversation
from ui.player.source import Source
from ui.runs.replay import Replay
from ui.settings.model_loader import ModelLoader
from ui.visitors.live_slot import LiveSlot, live_stream
from ui.visitors.page_view import PageView
from ui.visitors.playback import Playback
from ui.visitors.saved_stream import SavedStream
from ui.visitors.state import VisitorState
from ui.visitors.streams import check_restorable, restore_stream, return_slot, saveable_state

if TYPE_CHECKING:
    from hermes.serving.interface import StreamControl
    from hermes.view import StreamSettings


class SavedOffer:
    """Continues a saved stream of one visitor.

    Attributes:
        saved: The stream that is offered; None if there is none.
    """

    def __init__(
        self,
        state: VisitorState,
        loader: ModelLoader,
        playback: Playback,
        slot: LiveSlot,
        view: PageView,
        conversation: Conversation,
        clips: Mapping[str, Clip],
        policies: Mapping[str, Any],
    ) -> None:
        """Offer nothing yet.

        Args:
            state: The visitor's state. Its model is the one of the server.
            loader: Loads the models.
            playback: Starts the stream when a slot is free.
            slot: The visitor's live slot.
            view: Shows the stream.
            conversation: Receives the saved conversation.
            clips: The bundled clips by id.
            policies: The policies by name.
        """
        self._state = state
        self._first_settings: StreamSettings = state.settings
        self._loader = loader
        self._playback = playback
        self._slot = slot
        self._view = view
        self._conversation = conversation
        self._clips = clips
        self._policies = policies
        self.saved: SavedStream | None = None

    def resume(self) -> None:
        """Continue the saved stream with its settings, memory and conversation, and its position in a bundled clip.

        Raises:
            HermesError: It cannot be continued. The offer remains.
        """
        saved = self.saved
        if saved is None:
            raise HermesError("There is no saved stream to resume.")
        check_restorable(saved, self._policies, self._loader, self._first_settings)
        self._loader.ensure(saved.settings.model)
        self._playback.when_free(partial(self._restore, saved))

    def _restore(self, saved: SavedStream, is_wanted: Callable[[], bool]) -> bool:
        """Continue a saved stream unless this is no longer wanted. The lock is not held while the session is read.

        The new stream takes over the slot of the present one, which gets it back if the session cannot be continued.
        """
        state, engine = self._state, self._loader.engine
        with state.lock:
            if state.closed or not is_wanted():
                return False
            before = state.stream
            replaced = live_stream(before)
            held = replaced is not None and engine.is_live(replaced)
            stream = engine.open(saved.settings, replaced)
        clip = self._clips.get(saved.id) if saved.kind == "clip" and not saved.ended else None
        notices: list[str] = []
        restored = False
        try:
            restore_stream(stream, saved, clip.path if clip else None, notices.append)
            with state.lock:
                if not state.closed and state.stream is before and is_wanted():
                    self._show(stream, saved, clip, notices)
                    restored = True
        finally:
            if not restored:
                with state.lock:
                    if replaced is not None and held and state.stream is replaced:
                        return_slot(engine, stream, replaced)
                stream.close()
        if restored and before is not None:
            before.close()
        return restored

    def _show(self, stream: StreamControl, saved: SavedStream, clip: Clip | None, notices: Sequence[str]) -> None:
        """Replace the visitor's stream; the lock is held."""
        state = self._state
        state.stream, self.saved = stream, None
        state.settings = saved.settings
        state.playing = state.chosen = Source(saved.kind, saved.id, clip.path if clip else None, saved.title)
        state.native_fps = stream.file_fps
        self._slot.note_pause()
        self._conversation.restore(saved.turns)
        self._view.begin()
        self._view.resend_all(controls=True)
        for text in notices:
            self._view.notify("info", text)

    def saveable(self) -> tuple[StreamControl, dict[str, Any], tuple[Any, Any]] | None:
        """Return what `Autosave` saves, see `saveable_state`; None if there is nothing to save."""
        stream = self._state.stream
        if stream is None or isinstance(stream, Replay) or not hasattr(stream, "save"):
            return None
        progress = self._view.progress()
        if progress is None:
            return None
        state = self._state
        return saveable_state(stream, progress, state.settings, state.playing, list(self._conversation.turns))

    def message(self) -> dict[str, Any] | None:
        """Return the offer for the page; None if there is none. `failed` is whether the stream that is shown was lost."""
        if self.saved is None:
            return None
        return {**self.saved.offer(), "failed": bool(getattr(self._state.stream, "lost", False))}
