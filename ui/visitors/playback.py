"""The source of one visitor's stream: choosing, starting, restarting and transport, live and in recorded runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from hermes import trace
from ui.opening import Opening
from ui.player.camera_picture import read_picture
from ui.player.conversation import Conversation
from ui.player.preview import UploadPreview
from ui.player.source import Source
from ui.runs.replay import Replay
from ui.settings.model_loader import ModelLoader
from ui.visitors.live_slot import LiveSlot, live_stream
from ui.visitors.page_view import PageView
from ui.visitors.state import VisitorState
from ui.visitors.streams import open_stream, play_source
from ui.visitors.visitor_settings import VisitorSettings

if TYPE_CHECKING:
    pass

SPEEDS: Final = MappingProxyType({1: 1.0, 2: 2.0, 4: 4.0, 0: math.inf})
"""Playback speeds by the name that the browser uses; 0 is as fast as the model allows."""

TRANSPORT: Final[Mapping[str, Callable[[Any], None]]] = MappingProxyType(
    {"pause": lambda stream: stream.pause(), "resume": lambda stream: stream.resume(), "stop": lambda s: s.stop()}
)
"""What the transport buttons do with a stream."""


class Playback:
    """Plays sources for one visitor.

    Attributes:
        preview: The chosen upload before it starts.
        starting: Whether a start waits for the model.
    """

    def __init__(
        self,
        state: VisitorState,
        loader: ModelLoader,
        slot: LiveSlot,
        settings: VisitorSettings,
        preview: UploadPreview,
        view: PageView,
        conversation: Conversation,
    ) -> None:
        """Play nothing yet.

        Args:
            state: The visitor's state.
            loader: Loads the models.
            slot: The visitor's live slot.
            settings: Adjusts the settings to a source.
            preview: The chosen upload.
            view: Shows what plays.
            conversation: Ends open questions when a recorded run replaces the stream.
        """
        self._state = state
        self._loader = loader
        self._slot = slot
        self._settings = settings
        self._view = view
        self._conversation = conversation
        self.preview = preview
        self.starting = False

    def choose(self, source: Source) -> None:
        """Select a source, so that the page suggests its questions and shows the first frame of an upload before it starts.

        Raises:
            VideoError: The upload cannot be played.
        """
        state = self._state
        state.chosen = source
        is_video = source.kind == "upload" and source.path is not None
        if source.path is None or not is_video or trace.is_run(source.path) or trace.is_lab(source.path):
            self.preview.close()
        else:
            self.preview.open(source, state.settings)
        with state.lock:
            if not state.is_playing:
                self._settings.adjust(self._settings.suitable(source, state.settings))

    def start(self, source: Source, until: float | None = None) -> None:
        """Wait for the model, then play a source with an empty memory, or wait in the queue for a live slot.

        Args:
            source: The source.
            until: Stream time in seconds that a file is played to as fast as the model allows, before it pauses.

        Raises:
            HermesError: The model cannot be loaded, or the source cannot be played. The previous stream continues.
        """
        self._state.chosen = source
        self.starting = True
        try:
            self._loader.ensure(self._state.settings.model)
            self.when_free(partial(self._play, source, until))
        finally:
            self.starting = False

    def when_free(self, start: Callable[[], None]) -> None:
        """Run an action that needs a live slot now, or when the visitor's turn in the queue has come.

        Raises:
            HermesError: The action failed.
        """

        def start_if_open() -> None:
            with self._state.lock:
                if not self._state.closed:
                    start()

        self._slot.run(start_if_open, self._begin_turn)

    def _begin_turn(self) -> None:
        """Make the page show the stream that has started after waiting, with its settings and its chat."""
        self._view.returned += 1
        self._view.notify("info", "It is your turn. Your stream has started.")

    def _play(self, source: Source, until: float | None) -> None:
        state = self._state
        if source.kind == "upload":
            self.preview.open(source, state.settings)
        settings, message = self._settings.adjustments.achievable_rate(state.settings)
        settings = self._settings.suitable(source, settings)
        stream = live_stream(state.stream)
        if stream is not None and settings != state.settings:
            stream.change(settings)
        self._settings.adjust(settings)
        sampler = self.preview.take(source, settings)
        try:
            if stream is None:
                stream = open_stream(self._loader, settings, source, sampler)
            else:
                play_source(stream, source, sampler)
        except BaseException:
            if sampler is not None:
                sampler.close()
            raise
        state.stream = stream
        if until is not None:
            stream.skip_to(until)
        state.playing, state.native_fps = source, stream.file_fps
        self._view.begin(f"New stream: {source.title}")
        if message:
            self._view.notify("info", message)

    def restart(self) -> None:
        """Play the same source from the start, with an empty memory."""
        state, stream = self._state, self._state.stream
        if stream is None:
            return
        if live_stream(stream) is None and not isinstance(stream, Replay):
            self.start(state.playing)  # the memory was freed
            return

        def restart() -> None:
            if state.stream is stream:
                stream.restart()
                self._view.begin("" if state.replay else f"Stream restarted: {state.playing.title}")

        if isinstance(stream, Replay):
            restart()
        else:
            self.when_free(restart)

    def transport(self, action: str) -> None:
        """Pause, resume or stop the stream. Other actions are ignored, and so are all without a stream."""
        stream = self._state.stream
        if stream is None or action not in TRANSPORT:
            return
        if action == "pause":
            self._slot.note_pause()
        if action == "resume" and live_stream(stream) is not None:
            self.when_free(lambda: TRANSPORT[action](stream))
        else:
            TRANSPORT[action](stream)

    def yield_slot(self, now: float) -> None:
        """Give up the live slot if the stream has been paused for a while at time `now`; see `WaitingLine`."""
        stream = live_stream(self._state.stream)
        if stream is not None:
            self._slot.yield_if_paused(stream, now)

    def camera_frame(self, jpeg: str, number: int) -> None:
        """Take a frame from the camera (base64 JPEG). Frames that are too large or damaged are dropped."""
        self._view.player.acknowledge_camera_frame(number)
        stream = self._state.stream
        if stream is None or isinstance(stream, Replay) or self._state.playing.kind != "camera":
            return
        picture = read_picture(jpeg)
        if picture is not None:
            stream.offer(picture)

    def show_run(self, replay: Replay, *, play: bool, opening: Opening | None) -> None:
        """Show a recorded run instead of the current stream.

        Args:
            replay: The run.
            play: Whether it plays immediately.
            opening: This moment, if the browser shows it already.
        """
        state = self._state
        with state.lock:
            if state.closed:
                return
            before, state.stream = state.stream, replay
            state.playing, state.native_fps = Source("run", replay.run.id, title=replay.run.title), None
            self._conversation.end_stream()
            self._view.begin(opening=opening)
        if before is not None:
            before.close()
        if play:
            replay.resume()
