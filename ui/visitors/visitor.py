"""One visitor: the stream, settings and conversation of a browser tab. Independent of Gradio and the browser.

Every user action on the page is a method of `Visitor`; the event handlers only translate. Its parts (`parts`) do the work:
the source (`playback`), settings (`visitor_settings`), questions (`questions`) and saved stream (`saved_offer`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from hermes.trace import Run
from ui.lab.stream_result import stream_result
from ui.opening import Opening
from ui.ordering import Turns
from ui.player.source import Source, read_source
from ui.visitors.parts import VisitorParts
from ui.visitors.saved_stream import SavedStream

if TYPE_CHECKING:
    from hermes.serving.interface import StreamControl


class Visitor(VisitorParts):
    """One browser tab: the actions of its user. Thread-safe."""

    # Source and transport -----------------------------------------------------------------------------------------

    def source(self, request: Mapping[str, Any]) -> Source:
        """Return the source that the browser requests.

        Raises:
            HermesError: The clip does not exist, or the file was not uploaded by this visitor.
        """
        return read_source(request, self._clips, self.uploads)

    def choose(self, source: Source) -> None:
        """Select a source; see `Playback.choose`."""
        self._playback.choose(source)

    def start(self, source: Source, until: float | None = None) -> None:
        """Play a source with an empty memory, or wait in the queue for a live slot; see `Playback.start`."""
        self._playback.start(source, until)

    def restart(self) -> None:
        """Play the same source from the start, with an empty memory."""
        self._playback.restart()

    def transport(self, action: str) -> None:
        """Pause, resume or stop the stream. Other actions are ignored, and so are all without a stream."""
        self._playback.transport(action)

    def camera_frame(self, jpeg: str, number: int) -> None:
        """Take a frame from the camera (base64 JPEG). Frames that are too large or damaged are dropped."""
        self._playback.camera_frame(jpeg, number)

    # Recorded runs ------------------------------------------------------------------------------------------------

    def open_run(
        self, run: Run | str, seconds: float = 0.0, *, play: bool = True, opening: Opening | None = None
    ) -> None:
        """Show a recorded run instead of the current stream. Does not need a model.

        Args:
            run: The run, or the id of a bundled one.
            seconds: Stream time to start at.
            play: Whether it plays immediately.
            opening: This moment, if the browser shows it already.

        Raises:
            HermesError: The run does not exist.
        """
        replay = self._runs.open(run, seconds)
        if opening is not None:
            replay.jumps = opening.replay.jumps
        self._playback.show_run(replay, play=play, opening=opening)

    def note_lab(self) -> None:
        """Make the page show Compare, because a recorded comparison was opened in the player."""
        self._view.note_lab()

    def record(self) -> None:
        """Start recording the stream.

        Raises:
            HermesError: There is no stream, or it is a recorded run.
        """
        self._recordings.start(self.stream)

    def stop_recording(self) -> None:
        """Finish the recording and offer its file to the page.

        Raises:
            HermesError: No frame was recorded, or the file cannot be written.
        """
        state, settings = self.state, self._settings
        clip = self._questions.clip_of(state.playing)
        try:
            self._recordings.stop(
                state.playing, clip, state.settings, settings.model, settings.policy, self.conversation.turns
            )
        finally:
            if state.closed:  # meanwhile
                self.files.close()

    def result(self) -> dict[str, Any]:
        """Return the memory and the last answer of the stream or recorded run, to be pinned in the view Compare.

        Raises:
            HermesError: No frame was seen yet.
        """
        stream, replay, playing = self.stream, self.replay, self.state.playing
        return stream_result(
            stream.view() if stream is not None else None,
            replay.run.head.policy if replay is not None else self._settings.facts(),
            self._view.judge(),
            title=replay.run.title if replay is not None else playing.title or playing.id,
            fps=replay.run.settings.fps if replay is not None else self.settings.fps,
            recorded=replay is not None,
        )

    # Settings -----------------------------------------------------------------------------------------------------

    def change(self, *, agreed: bool = False, **changes: Any) -> list[str]:
        """Change settings, by name, and return messages about when they take effect; see `VisitorSettings.change`."""
        return self._settings.change(changes, agreed=agreed)

    def load(self, name: str, *, agreed: bool = False) -> Iterator[str]:
        """Load a model and yield its progress. Errors are also raised by the following `change`."""
        return self._loader.follow(name, agreed=agreed)

    def try_it(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Apply a request of the policy settings panel, and return the panel's message."""
        return self._settings.try_it(request, self.change)

    # Questions ----------------------------------------------------------------------------------------------------

    def ask(self, question: str, *, wait: bool = True) -> Iterator[dict[str, Any]]:
        """Ask a question and yield a message for the chat after each piece of the answer; see `Conversation.ask`."""
        return self._questions.ask(question, wait=wait)

    def halt(self) -> None:
        """Stop the current answer. Its text so far is kept, and waiting questions are answered next."""
        self._questions.halt()

    def clear_chat(self) -> None:
        """Remove the questions and answers. The memory of the stream does not change."""
        self._questions.clear()

    # Interruptions: lessons, and lost connections -----------------------------------------------------------------

    def pause_for_guest(self) -> None:
        """Pause while another visitor is shown in this tab. A camera stops; its memory is kept."""
        self._interruptions.begin_guest()
        self.slot.set_away(away=True)

    def resume_after_guest(self) -> None:
        """Show this visitor again, in the state before `pause_for_guest`."""
        self.slot.set_away(away=False)
        self._interruptions.end_guest()
        self.resend_all()

    def resend_all(self) -> None:
        """Make the page discard what it shows and receive the complete state of this visitor."""
        self._view.resend_all()

    def note_page(self, page: str) -> None:
        """Record which page sends the requests. After a reload it is another one, which needs the complete state."""
        before, self._page = self._page, page
        if before not in (None, page):
            self.turns = Turns()
            self.lab.turns = Turns()
            self._view.resend_all(controls=True)

    def disconnect(self) -> None:
        """Pause the stream because the page lost its connection."""
        self._interruptions.begin_disconnect()
        self.slot.set_away(away=True)

    def reconnect(self) -> None:
        """Resume what `disconnect` paused."""
        self.slot.set_away(away=False)
        self._interruptions.end_disconnect()

    # Saved streams ------------------------------------------------------------------------------------------------

    @property
    def saved(self) -> SavedStream | None:
        """The saved stream that the page offers to continue; None if there is none."""
        return self._offer.saved

    @property
    def lost(self) -> bool:
        """Whether the process that ran the stream has ended; see `StreamControl.lost`."""
        return bool(getattr(self.stream, "lost", False))

    def offer_saved(self, saved: SavedStream | None) -> None:
        """Offer to continue a stream that was saved before the server restarted, or withdraw the offer (None)."""
        self._offer.saved = saved

    def resume_saved(self) -> None:
        """Continue the saved stream; see `SavedOffer.resume`."""
        self._offer.resume()

    def saveable(self) -> tuple[StreamControl, dict[str, Any], tuple[Any, Any]] | None:
        """Return what `Autosave` saves; None if there is nothing to save."""
        return self._offer.saveable()
