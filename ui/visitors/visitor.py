"""One visitor: a stream, its settings, a conversation, and what the browser has been told. No Gradio, no browser.

Everything that a person can do on the page is a method here; the event functions only translate.
"""

from __future__ import annotations

import logging
import math
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from hermes.errors import HermesError
from hermes.trace import LabRun, Run
from ui.board.cells import Wanted
from ui.board.feed import BoardFeed
from ui.lab.lab import Lab
from ui.opening import Opening
from ui.ordering import Turns
from ui.player.camera_picture import read_picture
from ui.player.clips import Clip
from ui.player.conversation import Conversation
from ui.player.source import Source, read_source
from ui.player.state import PlayerState
from ui.runs.library import RunLibrary
from ui.runs.metadata import head_of, truth_of_clip
from ui.runs.recordings import Recordings
from ui.runs.replay import Replay
from ui.settings import policy_settings
from ui.settings.model_loader import Loading, ModelLoader
from ui.visitors.autosave import SavedStream, about_stream
from ui.visitors.files import VisitorFiles

if TYPE_CHECKING:
    from hermes.serving.engine import LiveView, ModelInfo, StreamSettings
    from hermes.serving.stream import LiveStream

logger = logging.getLogger(__name__)

SPEEDS = {1: 1.0, 2: 2.0, 4: 4.0, 0: math.inf}
"""What the browser calls a speed, and the speed: 0 is as fast as the model can."""


class Visitor:
    """What one browser tab has open. Methods may be called by any thread."""

    live_lab = True
    """Whether the lab can run memories here, or only show recorded runs."""
    planned = False
    """Whether a clip and its questions run in one call, as in clip mode."""

    def __init__(
        self,
        settings: StreamSettings,
        loader: ModelLoader,
        clips: Mapping[str, Clip],
        policies: Mapping[str, Any],
        runs: Mapping[str, Run] = MappingProxyType({}),
        downloads: Path | None = None,
        lab_runs: Mapping[str, LabRun] = MappingProxyType({}),
    ) -> None:
        self.settings = self.first_settings = settings
        self.stream: LiveStream | Replay | None = None
        self.conversation = Conversation()
        self.files = VisitorFiles(downloads or Path(tempfile.gettempdir()))
        self.uploads: dict[str, str] = {}
        self.saved: SavedStream | None = None
        self.turns = Turns()
        self.lab = Lab(settings, loader, clips, lab_runs, self.files.path, live=self.live_lab)
        self._loader = loader
        self._clips = clips
        self._policies = policies
        self._runs = RunLibrary(runs, clips)
        self._recordings = Recordings(self.files.path)
        self.opened: Any = None
        self._lock = threading.RLock()
        self._board = BoardFeed(clips, settings.fps)
        self._player = PlayerState()
        self._chosen = Source("clip", next(iter(clips), ""))
        self._playing = Source("")
        self._native_fps: float | None = None
        self._starting = False
        self._lab_opened = 0
        self._resumes = False
        self._dropped = False
        self._board_failed = False
        self._page: str | None = None
        self._returned = 0
        self._closed = False

    # Source and transport -----------------------------------------------------------------------------------------

    def source(self, wish: Mapping[str, Any]) -> Source:
        """What the browser asks for, checked against what this visitor may play.

        Raises:
            HermesError: There is no such clip, or the file was not uploaded by this visitor.
        """
        return read_source(wish, self._clips, self.uploads)

    def choose(self, source: Source) -> None:
        """Remember what is chosen, so that its questions are suggested before it starts."""
        self._chosen = source

    def start(self, source: Source) -> None:
        """Wait for the model, then play a source into an empty memory.

        Raises:
            HermesError: The model cannot be loaded, or the source cannot be played; what ran before goes on.
        """
        self._chosen = source
        self._starting = True
        try:
            self._loader.ensure(self.settings.model)
            with self._lock:
                if self._closed:
                    return
                stream = self.stream
                if stream is None or isinstance(stream, Replay):
                    stream = self._loader.engine.open(self.settings)
                if source.kind == "camera":
                    stream.camera()
                else:
                    stream.play(str(source.path), source.title)
                self.stream = stream
                self._playing, self._native_fps = source, stream.file_fps
                self._begin()
        finally:
            self._starting = False

    def restart(self) -> None:
        """The same source from its start, into an empty memory."""
        with self._lock:
            if self.stream is not None:
                self.stream.restart()
                self._begin()

    # Recorded runs ------------------------------------------------------------------------------------------------

    @property
    def replay(self) -> Replay | None:
        """The recorded run that plays; None while a stream or nothing does."""
        return self.stream if isinstance(self.stream, Replay) else None

    def open_run(
        self, run: Run | str, seconds: float = 0.0, *, play: bool = True, opening: Opening | None = None
    ) -> None:
        """Show a recorded run in place of what was shown; no model is needed.

        Args:
            run: The run, or the id of a bundled one.
            seconds: Stream time to begin at.
            play: Whether it plays at once.
            opening: This moment, where the browser shows it already.

        Raises:
            HermesError: There is no such run.
        """
        replay = self._runs.open(run, seconds)
        if opening is not None:
            replay.jumps = opening.replay.jumps
        with self._lock:
            if self._closed:
                return
            before, self.stream = self.stream, replay
            self._playing, self._native_fps = Source("run", replay.run.id, title=replay.run.title), None
            self._begin(opening)
        if before is not None:
            before.close()
        if play:
            replay.resume()

    def note_lab(self) -> None:
        """A lab run was opened from where streams are opened: the page then shows the lab."""
        self._lab_opened += 1
        self.notify("info", "This file is a lab run. It opens in the lab below.")

    # Recording ----------------------------------------------------------------------------------------------------

    def record(self) -> None:
        """Begin to record the stream.

        Raises:
            HermesError: There is no stream, or it is a recorded run itself.
        """
        self._recordings.start(self.stream)

    def stop_recording(self) -> None:
        """End the recording; the page is then offered the file.

        Raises:
            HermesError: Nothing was seen meanwhile, or the file cannot be written.
        """
        clip = self._clip_of(self._playing)
        head = head_of(self._playing, clip, self.settings, self._model, self._policy)
        self._recordings.stop(head, self.conversation.turns, truth_of_clip(clip))

    def _begin(self, opening: Opening | None = None) -> None:
        """A new memory: the board starts afresh, unless the browser shows its opening moment already."""
        replay = self.replay
        fps = replay.run.settings.fps if replay else min(self.settings.fps, self._native_fps or math.inf)
        self._board.begin(self._playing, replay, fps, opening.feed if opening else None)
        self._player.begin(reset=opening is None)

    def transport(self, action: str) -> None:
        """Pause, resume or stop; nothing happens without a stream."""
        if self.stream is not None and action in ("pause", "resume", "stop"):
            getattr(self.stream, action)()

    def shot(self, jpeg: str, number: int) -> None:
        """Take one camera picture (base64 JPEG); pictures that are too large or broken are left out."""
        self._player.acknowledge_camera_frame(number)
        stream = self.stream
        if stream is None or isinstance(stream, Replay) or self._playing.kind != "camera":
            return
        picture = read_picture(jpeg)
        if picture is not None:
            stream.offer(picture)

    # Settings -----------------------------------------------------------------------------------------------------

    def change(self, *, agreed: bool = False, **changes: Any) -> list[str]:
        """Change settings; returns sentences on what applies when. `agreed` says that a large download may start.

        Raises:
            HermesError: A setting does not fit; nothing was changed.
        """
        wished = self._wished(changes)
        if wished == self.settings:
            return []
        wished.check()
        if wished.model != self.settings.model:
            self._loader.ensure(wished.model, agreed=agreed)
        said: list[str] = []
        with self._lock:
            if self.stream is not None:
                said = self.stream.change(wished)
                if wished.model != self.settings.model:
                    self._begin()
            elif not math.isclose(wished.speed, self.settings.speed):
                said = []
            else:
                said = ["Applies when you press Start."]
            self.settings = wished
        return said

    def _wished(self, changes: Mapping[str, Any]) -> StreamSettings:
        """The settings after `changes`; another policy begins with its own defaults."""
        if changes.get("policy", self.settings.policy) != self.settings.policy:
            changes = {"changed": (), **changes}
        return replace(self.settings, **changes)

    def load(self, name: str, *, agreed: bool = False) -> Iterator[str]:
        """Load a model, telling how far it is; `change` then finds it loaded, or says what went wrong."""
        return self._loader.follow(name, agreed=agreed)

    def try_it(self, wish: Mapping[str, Any]) -> dict[str, Any]:
        """Change a policy setting at the request of the panel, and return what the panel shows."""
        info = self._model.info if self._model else None
        return policy_settings.apply(
            self._policy, info, lambda: self.settings, wish, lambda to: self.change(changed=to)
        )

    # Conversation -------------------------------------------------------------------------------------------------

    def ask(self, question: str) -> Iterator[dict[str, Any]]:
        """Ask; yields messages for the chat, the answer longer in each."""
        policy = policy_settings.title_of(self._policy, self.settings.changed)
        return self.conversation.ask(self.stream, question, policy)

    def halt(self) -> None:
        """Stop the answer that is being written; what was said so far stays."""
        self.conversation.halt()
        if self.stream is not None:
            self.stream.stop_answer()

    # Standing aside for a lesson ------------------------------------------------------------------------------------

    def pause_for_guest(self) -> None:
        """Another visitor takes this one's place for a while: what plays pauses; a camera stops, its memory stays."""
        stream = self.stream
        self._resumes = stream is not None and stream.view().state == "playing" and self._playing.kind != "camera"
        if stream is not None:
            self.transport("pause" if self._resumes else "stop" if self._playing.kind == "camera" else "")

    def resume_after_guest(self) -> None:
        """This visitor is shown again, as it was when it stepped aside."""
        if self._resumes:
            self.transport("resume")
        self._resumes = False
        self.resend_all()

    def resend_all(self) -> None:
        """The browser shows somebody else's stream: it has to forget that, and is told everything anew."""
        self._player.resend_all()

    # Coming back --------------------------------------------------------------------------------------------------

    def note_page(self, page: str) -> None:
        """Note which page polls. Another one than before is the same tab, loaded again: it is sent everything."""
        before, self._page = self._page, page
        if before not in (None, page):
            self.turns = Turns()
            self.lab.turns = Turns()
            self._return()

    def _return(self) -> None:
        """The page does not show this visitor's stream, chat and settings yet."""
        self._returned += 1
        self.resend_all()

    def disconnect(self) -> None:
        """The page's connection dropped: what plays pauses, so that the visitor misses nothing."""
        stream = self.stream
        self._dropped = stream is not None and stream.view().state == "playing"
        if self._dropped:
            self.transport("pause")

    def reconnect(self) -> None:
        """The page is connected again: what `disconnect` paused resumes. A camera waits for its page to film again."""
        if self._dropped and self._playing.kind != "camera":
            self.transport("resume")
        self._dropped = False

    def offer_saved(self, saved: SavedStream | None) -> None:
        """Offer to continue a stream that was saved before the server was restarted; None: there is none."""
        self.saved = saved

    def resume_saved(self) -> None:
        """Continue the saved stream: its settings, memory, conversation, and the position in a bundled clip.

        Raises:
            HermesError: It cannot be continued; the offer stays.
        """
        saved = self.saved
        if saved is None:
            raise HermesError("There is no saved stream to resume.")
        self._check_saved(saved)
        self._loader.ensure(saved.settings.model)
        clip = self._clips.get(saved.id) if saved.kind == "clip" and not saved.ended else None
        with self._lock:
            if self._closed:
                return
            stream = self._loader.engine.open(saved.settings)
            try:
                stream.restore(saved.session, saved.title, clip.path if clip else None)
            except HermesError:
                stream.close()
                raise
            before, self.stream, self.saved = self.stream, stream, None
            self.settings = saved.settings
            self._playing = Source(saved.kind, saved.id, clip.path if clip else None, saved.title)
            self._chosen = self._playing if clip else self._chosen
            self._native_fps = stream.file_fps
            self.conversation.restore(saved.turns)
            self._begin()
            self._return()
        if before is not None:
            before.close()

    def _check_saved(self, saved: SavedStream) -> None:
        if saved.settings.policy not in self._policies:
            raise HermesError(
                f"The saved stream uses the policy “{saved.settings.policy}”, which is not available here."
            )
        if saved.settings.model != self.first_settings.model and self._loader.state(saved.settings.model) is None:
            raise HermesError(f"The saved stream uses the model “{saved.settings.model}”. Load it first, then resume.")

    def saveable(self) -> tuple[LiveStream, dict[str, Any], tuple[Any, Any]] | None:
        """What `Autosave` saves, and a mark of its state; None where there is nothing to save.

        Returns:
            The stream; what is to be known beside its session; and a mark (frames, moment) that differs when something
            changed: `moment` when it should be saved at once.
        """
        stream, playing = self.stream, self._playing
        if stream is None or isinstance(stream, Replay) or not hasattr(stream, "save"):
            return None
        view, settings = stream.view(), self.settings
        if view.snapshot is None or not view.snapshot.frames_seen:
            return None
        turns = list(self.conversation.turns)
        done = sum(turn.state != "writing" for turn in turns)
        ended = view.state not in ("playing", "paused")
        name = playing.id if playing.kind == "clip" else ""
        about = about_stream(settings, playing.kind, name, playing.title, view.clock, turns, ended=ended)
        return stream, about, (view.snapshot.sequence, (done, view.state, settings))

    @property
    def shown_clip(self) -> Clip | None:
        """The bundled clip that plays or that the recorded run shows; None for anything else."""
        return self._runs.clip(self.replay) if self.replay else self._clip_of(self._playing)

    @property
    def model_info(self) -> ModelInfo | None:
        """The selected model; None while it loads."""
        return self._model.info if self._model else None

    @property
    def _policy(self) -> Any:
        """The policy that is chosen."""
        return self._policies[self.settings.policy]

    @property
    def _model(self) -> Loading | None:
        """How far the chosen model is loaded; None before it was asked for."""
        return self._loader.state(self.settings.model)

    def _clip_of(self, source: Source) -> Clip | None:
        """The bundled clip that a source is; None for any other source."""
        return self._clips.get(source.id) if source.kind == "clip" else None

    # What the browser is told -------------------------------------------------------------------------------------

    def notify(self, kind: str, text: str) -> None:
        """Show a sentence beside the stream: kind "error" or "info"."""
        self._player.notify(kind, text)

    def poll(
        self, acknowledged: int | None, shown: int, wanted: Wanted | None = None
    ) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """The state for the player, and the message for the board (None: nothing new).

        Args:
            acknowledged: Number of the last board message that the browser applied.
            shown: Number of the picture that the browser shows.
            wanted: What the board shows, so that no more is sent.
        """
        stream = self.stream
        view = stream.view() if stream is not None else None
        self._player.update_notices(view)
        board = None
        if stream is not None and view is not None:
            board = self._board_message(stream, view, acknowledged, wanted)
        return self._player_message(view, shown), board

    def _board_message(
        self, stream: LiveStream | Replay, view: LiveView, acknowledged: int | None, wanted: Wanted | None
    ) -> dict[str, Any] | None:
        """The message for the board. A fault in it leaves the player as it is, and is reported once until it is over."""
        try:
            board = self._board.message(stream, view, acknowledged, wanted)
        except Exception:
            if not self._board_failed:
                logger.exception("the board's message could not be made")
                self.notify("error", "The board cannot be updated because of an internal error. The stream continues.")
            self._board_failed = True
            return None
        self._board_failed = False
        return board

    def detail(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """What the board asks for on demand: a frame's tokens, its life, a layer's heads, or the board as a page."""
        stream = self.stream
        if stream is None:
            return {"id": request.get("id"), "error": "No frames yet. Press Start."}
        return self._board.detail(stream, request)

    def _player_message(self, view: LiveView | None, shown: int) -> dict[str, Any]:
        told = self._player.message(
            view,
            shown,
            playing=self._playing,
            settings=self.settings,
            model=self._model,
            policy=self._policy,
            clip=self._clip_of(self._chosen),
            starting=self._starting,
            speeds=SPEEDS,
        )
        offer = self.saved.told() if self.saved is not None else None
        here = {"opened": self.opened, "lab": self._lab_opened, "returned": self._returned, "saved": offer}
        return {**told, **here, **self._recordings.state(), **self._runs.state(self.replay)}

    def close(self) -> None:
        """Free the stream and its memory."""
        with self._lock:
            self._closed = True
            stream, self.stream = self.stream, None
        self._recordings.discard()
        self.lab.close()
        self.conversation.halt()
        if stream is not None:
            stream.close()
        self.files.close()
