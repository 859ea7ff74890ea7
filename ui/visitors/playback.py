"""The source of one visitor's stream: choosing, starting, restarting and transport, live and in recorded runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from hermes import trace, video
from ui.opening import Opening
from ui.player.camera_picture import read_picture
from ui.player.conversation import Conversation
from ui.player.preview import UploadPreview
from ui.player.source import Source
from ui.runs.replay import Replay
from ui.settings.model_loader import ModelLoader
from ui.visitors.live_slot import LiveSlot, Start, live_stream
from ui.visitors.page_view import PageView
from ui.visitors.state import VisitorState
from ui.visitors.streams import open_stream, play_source
from ui.visitors.visitor_settings import VisitorSettings

if TYPE_CHECKING:
    from hermes.serving.interface import StreamControl
    from hermes.video import VideoSampler
    from hermes.view import StreamSettings

SPEEDS: Final = MappingProxyType({1: 1.0, 2: 2.0, 4: 4.0, 0: math.inf})
"""Playback speeds by the name that the browser uses; 0 is as fast as the model allows."""

TRANSPORT: Final[Mapping[str, Callable[[Any], None]]] = MappingProxyType(
    {"pause": lambda stream: stream.pause(), "resume": lambda stream: stream.resume(), "stop": lambda s: s.stop()}
)
"""What the transport buttons do with a stream."""


@dataclass
class _OpenedFile:
    """The decoder of a source that is about to play; None for a camera."""

    sampler: VideoSampler | None
    used: bool = False


class Playback:
    """Plays sources for one visitor.

    Attributes:
        preview: The chosen upload before it starts.
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
        self._starting: set[object] = set()  # starts in progress
        self._opening: set[object] = set()  # those that open their source

    def choose(self, source: Source) -> None:
        """Select a source, so that the page suggests its questions and shows the first frame of an upload before it starts.

        The model that suits it is loaded in the background.

        Raises:
            VideoError: The upload cannot be played.
        """
        state = self._state
        if source != state.chosen:
            self._slot.drop_start()
        state.chosen = source

        def is_chosen() -> bool:
            return state.chosen == source and not state.closed

        is_video = source.kind == "upload" and source.path is not None
        if source.path is None or not is_video or trace.is_run(source.path) or trace.is_lab(source.path):
            self.preview.close()
        else:
            self.preview.open(source, state.settings, is_chosen)
        with state.lock:
            if is_chosen() and not self._is_underway():
                # The settings of a stream keep its model until another one starts.
                settings = self._settings.with_model(source) if live_stream(state.stream) is None else state.settings
                self._settings.adjust(self._settings.suitable(source, settings))
        self._settings.adjustments.begin_loading(self._settings.with_model(source))

    def reject(self, path: str) -> None:
        """Deselect an upload that cannot be opened, unless it plays. What is shown stays."""
        state = self._state
        with state.lock:
            if state.playing.id == path:
                return
            if state.chosen.id == path:
                state.chosen = state.playing
            self._view.player.rejected = path

    def start(self, source: Source, until: float | None = None) -> None:
        """Wait for the model, then play a source with an empty memory, or wait in the queue for a live slot.

        The source does not start if the visitor chooses or starts another one, stops, or leaves before it is ready.

        Args:
            source: The source.
            until: Stream time in seconds that a file is played to as fast as the model allows, before it pauses.

        Raises:
            HermesError: The model cannot be loaded, or the source cannot be played. The previous stream continues.
        """
        self._state.chosen = source
        me = object()
        self._starting.add(me)
        try:
            self._loader.ensure(self._settings.with_model(source).model)
            self.when_free(partial(self._play, source, until))
        finally:
            self._starting.discard(me)

    def _is_underway(self) -> bool:
        """Whether a recorded run plays, or a live stream plays or is paused: its settings stay until another one starts."""
        stream = live_stream(self._state.stream)
        return self._state.is_playing or (stream is not None and stream.status().state == "paused")

    @property
    def starting(self) -> bool:
        """Whether a start waits for the model or opens its source."""
        return bool(self._starting)

    @property
    def opening(self) -> bool:
        """Whether a start or restart opens its source, or measures how fast the model is here."""
        return bool(self._opening)

    @contextmanager
    def _open_noted(self) -> Iterator[None]:
        """Report `opening` during the block."""
        me = object()
        self._opening.add(me)
        try:
            yield
        finally:
            self._opening.discard(me)

    def when_free(self, start: Start) -> None:
        """Run an action that needs a live slot now, or when the visitor's turn in the queue has come; see `LiveSlot.run`.

        Raises:
            HermesError: The action failed.
        """
        self._slot.run(start, self._begin_turn)

    def _begin_turn(self) -> None:
        """Make the page show the stream that has started after waiting, with its settings and its chat."""
        self._view.returned += 1
        self._view.notify("info", "It is your turn. Your stream has started.")

    def _play(self, source: Source, until: float | None, is_wanted: Callable[[], bool]) -> bool:
        """Play a source unless it is no longer wanted. The lock is not held while the file is opened."""
        with self._open_noted():
            return self._open_and_play(source, until, is_wanted)

    def _open_and_play(self, source: Source, until: float | None, is_wanted: Callable[[], bool]) -> bool:
        state = self._state
        while is_wanted():
            before = state.settings
            measured = self._settings.adjustments.measured_rate(self._settings.with_model(source))
            if source.kind == "upload":
                self.preview.open(source, before, is_wanted)
            with state.lock:
                if state.settings != before or not is_wanted():
                    continue
                message = self._settings.adjust_to(source, measured)
                adjusted, settings = state.settings, self._settings.with_model(source)
            with self._opened(source, settings) as opened, state.lock:
                if not state.closed and state.settings == adjusted and is_wanted():
                    self._replace(source, settings, opened, until)
                    if message:
                        self._view.notify("info", message)
                    return True
        return False

    def _replace(self, source: Source, settings: StreamSettings, opened: _OpenedFile, until: float | None) -> None:
        """Play a source that was opened instead of the current stream; the lock is held."""
        state = self._state
        before = live_stream(state.stream)
        if before is not None and before.settings.model == settings.model:
            stream = before
            if stream.settings != settings:
                stream.change(settings)
            play_source(stream, source, opened.sampler)
        else:  # a stream has one model
            stream = open_stream(self._loader, settings, source, opened.sampler, replacing=before)
        opened.used = True
        self._settings.adjust(settings)
        state.stream = stream
        if before is not None and before is not stream:
            before.close()
        if until is not None:
            stream.skip_to(until)
        state.playing, state.native_fps = source, stream.file_fps
        if source.kind == "camera":
            self._slot.note_webcam()
        self._view.begin(f"New stream: {source.title}")

    @contextmanager
    def _opened(self, source: Source, settings: StreamSettings) -> Iterator[_OpenedFile]:
        """Open the file of a source for the block, and close it unless it is used."""
        opened = _OpenedFile(self.open_file(source, settings))
        try:
            yield opened
        finally:
            if opened.sampler is not None and not opened.used:
                opened.sampler.close()

    def open_file(self, source: Source, settings: StreamSettings) -> VideoSampler | None:
        """Open the file of a source, unless its preview has; None for a camera. The caller must close it.

        Raises:
            VideoError: It cannot be played.
        """
        if source.path is None:
            return None
        waiting = self.preview.take(source, settings)
        if waiting is not None:
            return waiting
        with self._state.openings:
            return video.sample(source.path, settings.fps, max_side=settings.max_side)

    def restart(self) -> None:
        """Play the same source from the start, with an empty memory."""
        state, stream = self._state, self._state.stream
        if stream is None:
            return
        if isinstance(stream, Replay):
            stream.restart()
            self._view.begin()
        elif live_stream(stream) is None:
            self.start(state.playing)  # the memory was freed
        else:
            self.when_free(partial(self._play_again, stream))

    def _play_again(self, stream: StreamControl, is_wanted: Callable[[], bool]) -> bool:
        """Restart a stream unless this is no longer wanted. The lock is not held while the file is opened."""
        state = self._state
        while is_wanted() and state.stream is stream:
            source, settings = state.playing, stream.settings
            with self._open_noted(), self._opened(source, settings) as opened, state.lock:
                if state.closed or state.stream is not stream or not is_wanted():
                    return False
                if (state.playing, stream.settings) != (source, settings):
                    continue
                if opened.sampler is None and source.kind != "camera":
                    stream.restart()  # raises: the file of a restored stream is not available
                else:
                    play_source(stream, source, opened.sampler)
                    opened.used = True
                self._view.begin(f"Stream restarted: {source.title}")
                return True
        return False

    def transport(self, action: str) -> None:
        """Pause, resume or stop the stream. Other actions are ignored, and so are all without a stream.

        Stopping also drops a start in progress.
        """
        if action == "stop":
            self._slot.drop_start()
        stream = self._state.stream
        if stream is None or action not in TRANSPORT:
            return
        self._slot.note_pause(paused=action == "pause")
        live = live_stream(stream) if action == "resume" else None
        if live is not None and not self._loader.engine.is_live(live):
            self.when_free(partial(self._resume, live))
        else:
            TRANSPORT[action](stream)

    def _resume(self, stream: StreamControl, is_wanted: Callable[[], bool]) -> bool:
        with self._state.lock:
            if self._state.closed or self._state.stream is not stream or not is_wanted():
                return False
            stream.resume()
            if self._state.playing.kind == "camera":
                self._slot.note_webcam()
        return True

    def yield_slot(self, now: float) -> None:
        """Give up the live slot if the stream has been paused for a while at time `now`; see `WaitingLine`."""
        stream = live_stream(self._state.stream)
        if stream is not None:
            self._slot.yield_if_paused(stream, now)

    @property
    def webcam(self) -> StreamControl | None:
        """The stream if it is a webcam that holds a live slot, else None."""
        stream = live_stream(self._state.stream)
        if stream is None or self._state.playing.kind != "camera" or not self._loader.engine.is_live(stream):
            return None
        return stream

    def end_webcam(self, seconds: float) -> None:
        """End the webcam stream, because others wait and it has reached the limit of this many seconds."""
        with self._state.lock:
            stream = self.webcam
            if stream is None:
                return
            stream.stop()
            self._slot.webcam_ended = True
        minutes = f"{seconds / 60:g} minute{'s' if seconds != 60 else ''}"
        self._view.notify(
            "info",
            f"Other visitors are waiting, so your webcam stream ended after {minutes}. Your memory stays, and you can still "
            "ask questions.",
        )

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
        self._slot.drop_start()
        with state.lock:
            if state.closed:
                return
            before, state.stream = state.stream, replay
            state.chosen = state.playing = Source("run", replay.run.id, title=replay.run.title)
            state.native_fps = None
            self._conversation.end_stream()
            self._view.begin(opening=opening)
        if before is not None:
            before.close()
        if play:
            replay.resume()
