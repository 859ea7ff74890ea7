"""One visitor: the stream, settings and conversation of a browser tab. Independent of Gradio and the browser.

Every user action on the page is a method of `Visitor`; the event handlers only translate.
"""

from __future__ import annotations

import logging
import math
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from hermes import trace
from hermes.errors import HermesError
from hermes.trace import LabRun, Run
from ui.board.cells import Wanted
from ui.board.detail import word_detail
from ui.board.feed import BoardFeed
from ui.explore.explorer import Explored, Explorer
from ui.lab.lab import Lab
from ui.lab.stream_result import stream_result
from ui.opening import Opening
from ui.ordering import Turns
from ui.player import payloads
from ui.player.camera_picture import read_picture
from ui.player.clips import Clip
from ui.player.conversation import Conversation
from ui.player.preview import UploadPreview
from ui.player.source import Source, read_source
from ui.player.state import PlayerState
from ui.runs.library import RunLibrary
from ui.runs.recordings import Recordings
from ui.runs.replay import Replay
from ui.settings import policy_settings
from ui.settings.adjustments import Adjustments
from ui.settings.model_loader import Loading, ModelLoader
from ui.visitors.files import VisitorFiles
from ui.visitors.interruptions import Interruptions
from ui.visitors.live_slot import LiveSlot, live_stream
from ui.visitors.saved_stream import SavedStream
from ui.visitors.streams import check_restorable, open_stream, play_source, restore_stream, saveable_state

if TYPE_CHECKING:
    from hermes.serving.engine import LiveView, ModelInfo, StreamSettings
    from hermes.serving.stream import LiveStream
    from ui.visitors.waiting_line import WaitingLine

logger = logging.getLogger(__name__)

SPEEDS: Final = MappingProxyType({1: 1.0, 2: 2.0, 4: 4.0, 0: math.inf})
"""Playback speeds by the name that the browser uses; 0 is as fast as the model allows."""

TRANSPORT: Final[Mapping[str, Callable[[Any], None]]] = MappingProxyType(
    {"pause": lambda stream: stream.pause(), "resume": lambda stream: stream.resume(), "stop": lambda s: s.stop()}
)
"""What the transport buttons do with a stream."""


class Visitor:
    """State of one browser tab. Thread-safe."""

    live_lab = True
    """Whether the lab can run memories here. Otherwise it only shows recorded runs."""
    planned = False
    """Whether a clip and its questions run in one call (clip mode)."""

    def __init__(
        self,
        settings: StreamSettings,
        loader: ModelLoader,
        clips: Mapping[str, Clip],
        policies: Mapping[str, Any],
        runs: Mapping[str, Run] = MappingProxyType({}),
        downloads: Path | None = None,
        lab_runs: Mapping[str, LabRun] = MappingProxyType({}),
        line: WaitingLine | None = None,
    ) -> None:
        """Create a visitor without a stream.

        Args:
            settings: Initial settings.
            loader: Loads the models.
            clips: The bundled clips by id.
            policies: The policies by name.
            runs: The bundled recorded runs by id.
            downloads: Folder below which the visitor's files are stored; None for a temporary folder.
            lab_runs: The bundled lab runs by id.
            line: The queue for live slots; None if a stream is refused when all are taken.
        """
        self.settings = self.first_settings = settings
        self.stream: LiveStream | Replay | None = None
        self.conversation = Conversation()
        self.files = VisitorFiles(downloads or Path(tempfile.gettempdir()))
        self.uploads: dict[str, str] = {}
        self.saved: SavedStream | None = None
        self.turns = Turns()
        self.slot = LiveSlot(self, line)
        self.lab = Lab(settings, loader, clips, lab_runs, self.files.path, live=self.live_lab)
        self._loader = loader
        self._clips = clips
        self._policies = policies
        self._runs = RunLibrary(runs, clips)
        self._recordings = Recordings(self.files.path)
        self.opened: Any = None
        self._lock = threading.RLock()
        self._board = BoardFeed(clips, settings.fps)
        self._explorer = Explorer()
        self._player = PlayerState()
        self._chosen = Source("clip", next(iter(clips), ""))
        self._playing = Source("")
        self._native_fps: float | None = None
        self._starting = False
        self._preview = UploadPreview()
        self._adjustments = Adjustments(loader)
        self._controls = 0  # how often the page must show settings that the visitor has not chosen
        self._lab_opened = 0
        self._interruptions = Interruptions(self._is_playing, lambda: self._playing.kind == "camera", self.transport)
        self._board_failed = False
        self._page: str | None = None
        self._returned = 0
        self._closed = False

    # Source and transport -----------------------------------------------------------------------------------------

    def source(self, request: Mapping[str, Any]) -> Source:
        """Return the source that the browser requests.

        Raises:
            HermesError: The clip does not exist, or the file was not uploaded by this visitor.
        """
        return read_source(request, self._clips, self.uploads)

    def choose(self, source: Source) -> None:
        """Select a source, so that the page suggests its questions and shows the first frame of an upload before it starts.

        Raises:
            VideoError: The upload cannot be played.
        """
        self._chosen = source
        is_video = source.kind == "upload" and source.path is not None
        if source.path is None or not is_video or trace.is_run(source.path) or trace.is_lab(source.path):
            self._preview.close()
        else:
            self._preview.open(source, self.settings)
        with self._lock:
            if not self._is_playing():
                self._set_settings(self._suitable(source, self.settings))

    def _set_settings(self, settings: StreamSettings) -> None:
        """Change settings that the visitor has not chosen, and make the page show them."""
        self._controls += settings != self.settings
        self.settings = settings

    def _suitable(self, source: Source, settings: StreamSettings) -> StreamSettings:
        """Return the settings with a budget that suits the source; see `Adjustments.suitable_budget`."""
        info = self._preview.info if source.kind == "upload" and self._policy.has_budget else None
        return self._adjustments.suitable_budget(settings, source.id, info)

    def start(self, source: Source, until: float | None = None) -> None:
        """Wait for the model, then play a source with an empty memory, or wait in the queue for a live slot.

        Args:
            source: The source.
            until: Stream time in seconds that a file is played to as fast as the model allows, before it pauses.

        Raises:
            HermesError: The model cannot be loaded, or the source cannot be played. The previous stream continues.
        """
        self._chosen = source
        self._starting = True
        try:
            self._loader.ensure(self.settings.model)
            self._when_free(partial(self._play, source, until))
        finally:
            self._starting = False

    def _when_free(self, start: Callable[[], None]) -> None:
        """Run an action that needs a live slot now, or when the visitor's turn in the queue has come.

        Raises:
            HermesError: The action failed.
        """

        def start_if_open() -> None:
            with self._lock:
                if not self._closed:
                    start()

        self.slot.run(start_if_open, self._begin_turn)

    def _begin_turn(self) -> None:
        """Make the page show the stream that has started after waiting, with its settings and its chat."""
        self._returned += 1
        self.notify("info", "It is your turn. Your stream has started.")

    def yield_slot(self, now: float) -> None:
        """Give up the live slot if the stream has been paused for a while at time `now`; see `WaitingLine`."""
        stream = live_stream(self.stream)
        if stream is not None:
            self.slot.yield_if_paused(stream, now)

    def _play(self, source: Source, until: float | None) -> None:
        if source.kind == "upload":
            self._preview.open(source, self.settings)
        settings, message = self._adjustments.achievable_rate(self.settings)
        settings = self._suitable(source, settings)
        stream = live_stream(self.stream)
        if stream is not None and settings != self.settings:
            stream.change(settings)
        self._set_settings(settings)
        sampler = self._preview.take(source, settings)
        try:
            if stream is None:
                stream = open_stream(self._loader, settings, source, sampler)
            else:
                play_source(stream, source, sampler)
        except BaseException:
            if sampler is not None:
                sampler.close()
            raise
        self.stream = stream
        if until is not None:
            stream.skip_to(until)
        self._playing, self._native_fps = source, stream.file_fps
        self._begin(f"New stream: {source.title}")
        if message:
            self.notify("info", message)

    def restart(self) -> None:
        """Play the same source from the start, with an empty memory."""
        stream = self.stream
        if stream is None:
            return
        if live_stream(self.stream) is None and not isinstance(stream, Replay):
            self.start(self._playing)  # the memory was freed
            return

        def restart() -> None:
            if self.stream is stream:
                stream.restart()
                self._begin("" if self.replay else f"Stream restarted: {self._playing.title}")

        if isinstance(stream, Replay):
            restart()
        else:
            self._when_free(restart)

    def _begin(self, label: str = "", opening: Opening | None = None) -> None:
        """Reset board and player for a new memory, unless the browser already shows its opening moment.

        Args:
            label: Text of the divider in the chat, if questions refer to another live stream from now on.
            opening: The moment that the browser shows.
        """
        if label:
            self.conversation.begin_stream(label)
        replay = self.replay
        fps = replay.run.settings.fps if replay else min(self.settings.fps, self._native_fps or math.inf)
        self._board.begin(self._playing, replay, fps, opening.feed if opening else None)
        self._player.begin(reset=opening is None)

    def transport(self, action: str) -> None:
        """Pause, resume or stop the stream. Other actions are ignored, and so are all without a stream."""
        stream = self.stream
        if stream is None or action not in TRANSPORT:
            return
        if action == "pause":
            self.slot.note_pause()
        if action == "resume" and live_stream(self.stream) is not None:
            self._when_free(lambda: TRANSPORT[action](stream))
        else:
            TRANSPORT[action](stream)

    def camera_frame(self, jpeg: str, number: int) -> None:
        """Take a frame from the camera (base64 JPEG). Frames that are too large or damaged are dropped."""
        self._player.acknowledge_camera_frame(number)
        stream = self.stream
        if stream is None or isinstance(stream, Replay) or self._playing.kind != "camera":
            return
        picture = read_picture(jpeg)
        if picture is not None:
            stream.offer(picture)

    # Recorded runs ------------------------------------------------------------------------------------------------

    @property
    def replay(self) -> Replay | None:
        """The recorded run that is shown; None if it is a stream or nothing."""
        return self.stream if isinstance(self.stream, Replay) else None

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
        with self._lock:
            if self._closed:
                return
            before, self.stream = self.stream, replay
            self._playing, self._native_fps = Source("run", replay.run.id, title=replay.run.title), None
            self.conversation.end_stream()
            self._begin(opening=opening)
        if before is not None:
            before.close()
        if play:
            replay.resume()

    def note_lab(self) -> None:
        """Make the page show Compare, because a recorded comparison was opened in the player."""
        self._lab_opened += 1
        self.notify("info", "This file is a recorded comparison. It opens in the view Compare.")

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
        clip = self._clip_of(self._playing)
        try:
            self._recordings.stop(
                self._playing, clip, self.settings, self._model, self._policy, self.conversation.turns
            )
        finally:
            if self._closed:  # meanwhile
                self.files.close()

    def result(self) -> dict[str, Any]:
        """Return the memory and the last answer of the stream or recorded run, to be pinned in the view Compare.

        Raises:
            HermesError: No frame was seen yet.
        """
        stream, replay = self.stream, self.replay
        changed = self.settings.changed
        policy = {
            "name": self.settings.policy,
            "title": policy_settings.title_of(self._policy, changed),
            "badge": policy_settings.badge_of(self._policy, changed),
        }
        return stream_result(
            stream.view() if stream is not None else None,
            replay.run.head.policy if replay is not None else policy,
            self._board.judge(replay),
            title=replay.run.title if replay is not None else self._playing.title or self._playing.id,
            fps=replay.run.settings.fps if replay is not None else self.settings.fps,
            recorded=replay is not None,
        )

    # Settings -----------------------------------------------------------------------------------------------------

    def change(self, *, agreed: bool = False, **changes: Any) -> list[str]:
        """Change settings.

        Args:
            agreed: Whether the user agreed to a large download.
            changes: New values by name of the setting.

        Returns:
            Messages about when the changes take effect.

        Raises:
            HermesError: A setting is invalid; nothing was changed.
        """
        settings = self._settings_after(changes)
        if settings == self.settings:
            return []
        settings.check()
        if settings.model != self.settings.model:
            self._loader.ensure(settings.model, agreed=agreed)
        messages: list[str] = []
        with self._lock:
            if self.stream is not None and not getattr(self.stream, "freed", False):
                messages = self.stream.change(settings)
                if settings.model != self.settings.model:
                    self._begin("" if self.replay else "New model, empty memory")
                elif self.replay is None:
                    self._mark_change(settings)
            elif math.isclose(settings.speed, self.settings.speed):
                messages = ["Applies when you press Start."]
            self._adjustments.note_choices(changes)
            self.settings = settings
        return messages

    def _mark_change(self, settings: StreamSettings) -> None:
        """Mark a change of the memory's settings on the time axis of the board."""
        snapshot = self.stream.view().snapshot if self.stream is not None else None
        words = policy_settings.words_of_change(self.settings, settings, self._policies)
        if words and snapshot is not None and snapshot.frames_seen:
            self._board.mark(snapshot.frames_seen, words)

    def _settings_after(self, changes: Mapping[str, Any]) -> StreamSettings:
        """Return the settings after `changes`. Another policy starts with its own defaults."""
        if changes.get("policy", self.settings.policy) != self.settings.policy:
            changes = {"changed": (), **changes}
        return replace(self.settings, **changes)

    def load(self, name: str, *, agreed: bool = False) -> Iterator[str]:
        """Load a model and yield its progress. Errors are also raised by the following `change`."""
        return self._loader.follow(name, agreed=agreed)

    def try_it(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Apply a request of the policy settings panel, and return the panel's message."""
        info = self._model.info if self._model else None

        def change(changed: policy_settings.Changed, guidance: str | None) -> list[str]:
            return self.change(changed=changed, guidance=guidance or self.settings.guidance)

        return policy_settings.apply(self._policy, info, lambda: self.settings, request, change)

    # Conversation -------------------------------------------------------------------------------------------------

    def ask(self, question: str, *, wait: bool = True) -> Iterator[dict[str, Any]]:
        """Ask a question and yield a message for the chat after each piece of the answer; see `Conversation.ask`."""
        policy = policy_settings.title_of(self._policy, self.settings.changed)
        advice = self._advice(self._playing) if self.replay is None else None
        return self.conversation.ask(self.stream, question, policy, advice["answer"] if advice else "", wait=wait)

    def halt(self) -> None:
        """Stop the current answer. Its text so far is kept, and waiting questions are answered next."""
        self.conversation.stop_current()
        if self.stream is not None:
            self.stream.stop_answer()

    def clear_chat(self) -> None:
        """Remove the questions and answers. The memory of the stream does not change."""
        self.conversation.clear()
        if self.stream is not None:
            self.stream.stop_answer()

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
        self._player.resend_all()

    def note_page(self, page: str) -> None:
        """Record which page sends the requests. After a reload it is another one, which needs the complete state."""
        before, self._page = self._page, page
        if before not in (None, page):
            self.turns = Turns()
            self.lab.turns = Turns()
            self._resend_all_and_controls()

    def _resend_all_and_controls(self) -> None:
        """Make the page receive the stream, the chat and the settings of this visitor."""
        self._returned += 1
        self.resend_all()

    def disconnect(self) -> None:
        """Pause the stream because the page lost its connection."""
        self._interruptions.begin_disconnect()
        self.slot.set_away(away=True)

    def reconnect(self) -> None:
        """Resume what `disconnect` paused."""
        self.slot.set_away(away=False)
        self._interruptions.end_disconnect()

    def _is_playing(self) -> bool:
        stream = self.stream
        return stream is not None and stream.view().state == "playing"

    # Saved streams ------------------------------------------------------------------------------------------------

    def offer_saved(self, saved: SavedStream | None) -> None:
        """Offer to continue a stream that was saved before the server restarted, or withdraw the offer (None)."""
        self.saved = saved

    def resume_saved(self) -> None:
        """Continue the saved stream with its settings, memory and conversation, and its position in a bundled clip.

        Raises:
            HermesError: It cannot be continued. The offer remains.
        """
        saved = self.saved
        if saved is None:
            raise HermesError("There is no saved stream to resume.")
        check_restorable(saved, self._policies, self._loader, self.first_settings)
        self._loader.ensure(saved.settings.model)
        self._when_free(partial(self._restore, saved))

    def _restore(self, saved: SavedStream) -> None:
        clip = self._clips.get(saved.id) if saved.kind == "clip" and not saved.ended else None
        notices: list[str] = []
        before = self.stream
        stream = restore_stream(
            self._loader, saved, clip.path if clip else None, notices.append, replacing=live_stream(self.stream)
        )
        self.stream, self.saved = stream, None
        self.settings = saved.settings
        self._playing = Source(saved.kind, saved.id, clip.path if clip else None, saved.title)
        self._chosen = self._playing if clip else self._chosen
        self._native_fps = stream.file_fps
        self.slot.note_pause()
        self.conversation.restore(saved.turns)
        self._begin()
        self._resend_all_and_controls()
        for text in notices:
            self.notify("info", text)
        if before is not None:
            before.close()

    def saveable(self) -> tuple[LiveStream, dict[str, Any], tuple[Any, Any]] | None:
        """Return what `Autosave` saves, see `saveable_state`; None if there is nothing to save."""
        stream = self.stream
        if stream is None or isinstance(stream, Replay) or not hasattr(stream, "save"):
            return None
        return saveable_state(stream, self.settings, self._playing, list(self.conversation.turns))

    # Selection ----------------------------------------------------------------------------------------------------

    @property
    def shown_clip(self) -> Clip | None:
        """The bundled clip that is shown, live or in a recorded run; None for other sources."""
        return self._runs.clip(self.replay) if self.replay else self._clip_of(self._playing)

    @property
    def model_info(self) -> ModelInfo | None:
        """Description of the selected model; None until it is loaded."""
        return self._model.info if self._model else None

    @property
    def _policy(self) -> Any:
        """The selected policy."""
        return self._policies[self.settings.policy]

    @property
    def _model(self) -> Loading | None:
        """Loading state of the selected model; None if it was never requested."""
        return self._loader.state(self.settings.model)

    def _clip_of(self, source: Source) -> Clip | None:
        """Return the bundled clip of a source; None for other sources."""
        return self._clips.get(source.id) if source.kind == "clip" else None

    # Messages to the browser --------------------------------------------------------------------------------------

    def notify(self, kind: str, text: str) -> None:
        """Show a notice next to the stream; `kind` is "error" or "info"."""
        self._player.notify(kind, text)

    def poll(
        self, acknowledged: int | None, shown: int, wanted: Wanted | None = None, poster: object = None
    ) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """Return the state of the player and the message for the board (None if nothing changed).

        Args:
            acknowledged: Number of the last board message that the browser applied.
            shown: Number of the frame that the browser shows.
            wanted: Which parts of the board the browser shows; only these are sent.
            poster: Number of the poster of an upload that the browser shows.
        """
        stream = self.stream
        view = stream.view() if stream is not None else None
        self._explorer.note(stream, view.snapshot if view is not None else None)
        self._player.update_notices(view)
        board = None
        if stream is not None and view is not None:
            board = self._board_message(stream, view, acknowledged, wanted)
        return {**self._player_message(view, shown), **self._preview.message(poster)}, board

    def _board_message(
        self, stream: LiveStream | Replay, view: LiveView, acknowledged: int | None, wanted: Wanted | None
    ) -> dict[str, Any] | None:
        """Return the message for the board. A failure does not affect the player, and is reported once until it ends."""
        try:
            board = self._board.message(stream, view, acknowledged, wanted)
        except Exception:
            if not self._board_failed:
                logger.exception("Could not build the board message")
                self.notify("error", "The board cannot be updated because of an internal error. The stream continues.")
            self._board_failed = True
            return None
        self._board_failed = False
        return board

    def detail(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return details on request: tokens or history of a frame, attention heads of a layer, or the board as a page."""
        stream = self.stream
        if stream is None:
            return {"id": request.get("id"), "error": "No frames yet. Press Start."}
        if request.get("kind") == "word":
            turn = request.get("turn")
            replay = self.replay
            trace = replay.trace(turn) if replay is not None else self.conversation.trace(turn)
            return word_detail(trace, request)
        return self._board.detail(stream, request)

    def explore(self, request: Mapping[str, Any]) -> Explored:
        """Return a figure of the current moment, or of the pinned one and the current one; see `Explorer.answer`."""
        policy = policy_settings.title_of(self._policy, self.settings.changed)
        recorded = self._recordings.state()["recorded"]
        return self._explorer.answer(request, self.stream, self.lab, policy, recorded["name"] if recorded else "")

    def _player_message(self, view: LiveView | None, shown: int) -> dict[str, Any]:
        message = self._player.message(
            view,
            shown,
            playing=self._playing,
            settings=self.settings,
            model=self._model,
            policy=self._policy,
            subject=self._subject,
            starting=self._starting,
            speeds=SPEEDS,
        )
        offer = self.saved.offer() if self.saved is not None else None
        tab = {"opened": self.opened, "lab": self._lab_opened, "returned": self._returned, "saved": offer}
        chat = {"chat": self.conversation.place(), "advice": self._shown_advice()}
        tab |= {"waiting": self.slot.place, "freed": bool(getattr(self.stream, "freed", False))}
        tab |= {"controls": self._controls, "proposal": self._adjustments.proposal()}
        return {**message, **tab, **chat, **self._recordings.state(), **self._runs.state(self.replay)}

    @property
    def _subject(self) -> tuple[Source, Clip | None]:
        """The source that questions refer to: what plays live, or else what is selected."""
        source = self._chosen if self.stream is None or self.replay is not None else self._playing
        return source, self._clip_of(source)

    def _shown_advice(self) -> dict[str, Any] | None:
        """Return the note that the model does not know what the source shows, before and while it plays."""
        if self.replay is not None:
            return None
        return self._advice(self._chosen) or self._advice(self._playing)

    def _advice(self, source: Source) -> dict[str, Any] | None:
        """Return the note that the model cannot answer questions about a source, or None if it can."""
        return payloads.advice(source, self._clip_of(source), self._model)

    def close(self) -> None:
        """Free the stream with its memory, and delete the visitor's files."""
        with self._lock:
            self._closed = True
            stream, self.stream = self.stream, None
        self.slot.close()
        self._preview.close()
        self._recordings.close()
        self._explorer.close()
        self.lab.close()
        self.conversation.halt()
        if stream is not None:
            stream.close()
        self.files.close()
