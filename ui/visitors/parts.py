"""The parts of one visitor, and the messages that they send to the page."""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from hermes.errors import HermesError
from hermes.trace import LabRun, Run, TraceError
from hermes.video.errors import DecoderUnavailableError, VideoError
from ui.board.cells import Wanted
from ui.explore.explorer import Explored, Explorer
from ui.lab.lab import Lab
from ui.ordering import Turns
from ui.player.clips import Clip
from ui.player.conversation import Conversation
from ui.player.preview import UploadPreview
from ui.player.source import Source
from ui.runs.library import RunLibrary
from ui.runs.recordings import Recordings
from ui.runs.replay import Replay
from ui.settings.model_choice import KEEP, ModelChoice
from ui.settings.model_loader import ModelLoader
from ui.visitors.files import VisitorFiles
from ui.visitors.interruptions import Interruptions
from ui.visitors.live_slot import LiveSlot
from ui.visitors.page_view import PageView
from ui.visitors.playback import SPEEDS, Playback
from ui.visitors.questions import Questions
from ui.visitors.saved_offer import SavedOffer
from ui.visitors.state import VisitorState
from ui.visitors.visitor_settings import VisitorSettings

if TYPE_CHECKING:
    from hermes.serving.interface import StreamControl
    from hermes.serving.model_info import ModelInfo
    from hermes.view import LiveView, StreamSettings
    from ui.visitors.waiting_line import WaitingLine


class VisitorParts(ABC):
    """The parts of a visitor, and the messages that they send to the page. Thread-safe.

    Attributes:
        state: What the visitor watches, shared by the parts.
        first_settings: The settings of a new visitor.
        conversation: The questions and answers.
        files: The visitor's folder.
        uploads: Display names of the uploads by path.
        turns: Order of the page's actions.
        slot: The visitor's live slot and place in the queue.
        lab: The view Compare.
        opened: Number of the last recorded run that the page requested.
    """

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
        choice: ModelChoice = KEEP,
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
            choice: Selects models by source.
        """
        self.state = state = VisitorState(settings, Source("clip", next(iter(clips), "")))
        self.first_settings = settings
        self.conversation = Conversation()
        self.files = VisitorFiles(downloads or Path(tempfile.gettempdir()))
        self.uploads: dict[str, str] = {}
        self.turns = Turns()
        self.slot = LiveSlot(self, line)
        self.lab = Lab(
            settings,
            loader,
            clips,
            lab_runs,
            self.files.path,
            live=self.live_lab,
            require_room=self.slot.require_room,
            choice=choice,
        )
        self.opened: Any = None
        self._loader = loader
        self._clips = clips
        self._runs = RunLibrary(runs, clips)
        self._recordings = Recordings(self.files.path)
        self._explorer = Explorer()
        self._preview = UploadPreview(state.openings)
        self._view = PageView(state, clips, self.conversation)
        self._settings = VisitorSettings(state, loader, policies, self._preview, self._view, clips, choice)
        self._questions = Questions(state, self._settings, self.conversation, clips)
        self._playback = Playback(
            state, loader, self.slot, self._settings, self._preview, self._view, self.conversation
        )
        self._offer = SavedOffer(
            state, loader, self._playback, self.slot, self._view, self.conversation, clips, policies
        )
        self._interruptions = Interruptions(
            lambda: state.is_playing,
            lambda: state.playing.kind == "camera",
            self.transport,
            partial(self.notify, "error"),
        )
        self._page: str | None = None

    # State --------------------------------------------------------------------------------------------------------

    @property
    def settings(self) -> StreamSettings:
        """Settings of the stream, or of the next one."""
        return self.state.settings

    @property
    def stream(self) -> StreamControl | Replay | None:
        """The live stream or recorded run that is shown; None before the first."""
        return self.state.stream

    @property
    def replay(self) -> Replay | None:
        """The recorded run that is shown; None if it is a stream or nothing."""
        return self.state.replay

    @property
    def shown_clip(self) -> Clip | None:
        """The bundled clip that is shown, live or in a recorded run; None for other sources."""
        replay = self.replay
        return self._runs.clip(replay) if replay else self._questions.clip_of(self.state.playing)

    @property
    def model_info(self) -> ModelInfo | None:
        """Description of the selected model; None until it is loaded."""
        model = self._settings.model
        return model.info if model else None

    @abstractmethod
    def transport(self, action: str) -> None:
        """Pause, resume or stop the stream."""

    # Interface of the queue, see `Waiter` ------------------------------------------------------------------------------

    def yield_slot(self, now: float) -> None:
        """Give up the live slots of what has been paused for a while at time `now`; see `WaitingLine`."""
        self._playback.yield_slot(now)
        self.slot.yield_lab(self.lab, now)

    @property
    def webcam_since(self) -> float | None:
        """Time at which a webcam stream got the slot that it holds; None if there is none."""
        return self.slot.webcam_since if self._playback.webcam is not None else None

    def end_webcam(self, seconds: float) -> None:
        """End the webcam stream, because others wait and it has reached the limit of this many seconds."""
        self._playback.end_webcam(seconds)

    # Messages to the browser --------------------------------------------------------------------------------------

    def notify(self, kind: str, text: str) -> None:
        """Show a notice next to the stream; `kind` is "error" or "info"."""
        self._view.notify(kind, text)

    def report(self, error: HermesError, request: Mapping[str, Any]) -> None:
        """Show why a request failed. The page no longer offers an upload that cannot be opened."""
        is_unreadable = isinstance(error, VideoError | TraceError) and not isinstance(error, DecoderUnavailableError)
        if is_unreadable and request.get("kind") == "upload":
            self._playback.reject(str(request.get("path")))
        self.notify("error", str(error))

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
        stream, polled = self.stream, self._view.poll(acknowledged, wanted, shown)
        self._explorer.note(stream, polled.moment if polled is not None else None)
        view = polled.view if polled is not None else None
        self._view.player.update_notices(view)
        freed = polled is not None and polled.freed
        player = {**self._player_message(view, shown), "freed": freed, **self._preview.message(poster)}
        return player, polled.board if polled is not None else None

    def detail(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return details on request: tokens or history of a frame, attention heads of a layer, or the board as a page."""
        return self._view.detail(request)

    def explore(self, request: Mapping[str, Any]) -> Explored:
        """Return a figure of the current moment, or of the pinned one and the current one; see `Explorer.answer`."""
        recorded = self._recordings.state()["recorded"]
        name = recorded["name"] if recorded else ""
        return self._explorer.answer(request, self.stream, self.lab, self._settings.policy_title, name)

    def _player_message(self, view: LiveView | None, shown: int) -> dict[str, Any]:
        subject = self._subject
        message = self._view.player.message(
            view,
            shown,
            playing=self.state.playing,
            settings=self.settings,
            model=self._settings.model_for(subject),
            policy=self._settings.policy,
            subject=(subject, self._questions.clip_of(subject)),
            starting=self._playback.starting,
            opening=self._playback.opening,
            speeds=SPEEDS,
        )
        tab = {
            "opened": self.opened,
            "lab": self._view.lab_opened,
            "returned": self._view.returned,
            "saved": self._offer.message(),
            "chat": self.conversation.place(),
            "advice": self._questions.shown_advice(subject),
            "waiting": self.slot.place,
            "ends_in": self.slot.webcam_ends_in,
            "controls": self._settings.adjusted,
            "proposal": self._settings.adjustments.proposal(),
        }
        return {**message, **tab, **self._recordings.state(), **self._runs.state(self.replay)}

    @property
    def _subject(self) -> Source:
        """The source that questions refer to; see `Questions.subject`."""
        return self._questions.subject(starting=self._playback.starting)

    def close(self) -> None:
        """Free the stream with its memory, and delete the visitor's files."""
        with self.state.lock:
            self.state.closed = True
            stream, self.state.stream = self.state.stream, None
        with ExitStack() as steps:  # an error in one does not omit the others
            steps.callback(self.files.close)
            if stream is not None:
                steps.callback(stream.close)
            for part in (self.conversation.halt, self.lab.close, self._explorer.close, self._recordings.close):
                steps.callback(part)
            steps.callback(self._preview.close)
            steps.callback(self.slot.close)
