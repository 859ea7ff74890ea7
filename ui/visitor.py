"""One visitor: a stream, its settings, a conversation, and what the browser has been told. No Gradio, no browser.

Everything that a person can do on the page is a method here; the event functions only translate.
"""

from __future__ import annotations

import base64
import binascii
import copy
import io
import itertools
import logging
import math
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image

from hermes import video
from hermes.errors import HermesError
from hermes.pocket.truth import answer_at
from hermes.trace import Head, Run
from ui import standalone, telling, tryit
from ui.board import BoardEncoder
from ui.board_cells import Wanted
from ui.board_detail import detail
from ui.clips import Clip
from ui.conversation import Conversation
from ui.fate import Judge, judge_of
from ui.lab import Lab
from ui.lesson_figures import Sight
from ui.models import Shelf
from ui.replay import Replay
from ui.replay import state as replay_state
from ui.runs import usual_speed
from ui.tape import Tape

if TYPE_CHECKING:
    from hermes.engine import LiveStream, LiveView, StreamSettings

logger = logging.getLogger(__name__)

FRAME_BYTES = 1_500_000
FRAME_SIDE = 2048
SPEEDS = {1: 1.0, 2: 2.0, 4: 4.0, 0: math.inf}
"""What the browser calls a speed, and the speed: 0 is as fast as the model can."""
_IDS = itertools.count(1)


@dataclass(frozen=True)
class Source:
    """Where frames come from: kind "clip", "upload" or "camera"; what to play, and its name for people."""

    kind: str
    id: str = ""
    path: Path | None = None
    title: str = ""


class Visitor:
    """What one browser tab has open. Methods may be called by any thread."""

    def __init__(
        self,
        settings: StreamSettings,
        shelf: Shelf,
        clips: Mapping[str, Clip],
        policies: Mapping[str, Any],
        runs: Mapping[str, Run] = MappingProxyType({}),
        downloads: Path | None = None,
    ) -> None:
        self.settings = self.first_settings = settings
        self.stream: LiveStream | Replay | None = None
        self.conversation = Conversation()
        self.uploads: dict[str, str] = {}
        self.lab = Lab(settings, shelf, clips)
        self._shelf = shelf
        self._clips = clips
        self._policies = policies
        self._runs = runs
        self._tape = Tape(downloads or Path(tempfile.gettempdir()))
        self.opened: Any = None
        self._jumps = 0
        self._lock = threading.RLock()
        self._board_lock = threading.Lock()
        self._encoder = BoardEncoder()
        self._chosen = Source("clip", next(iter(clips), ""))
        self._playing = Source("")
        self._native_fps: float | None = None
        self._fps = settings.fps
        self._starting = False
        self._restarted = False
        self._resumes = False
        self._notice: dict[str, Any] | None = None
        self._told_error: str | None = None
        self._shots = 0
        self._closed = False

    # Source and transport -----------------------------------------------------------------------------------------

    def source(self, wish: Mapping[str, Any]) -> Source:
        """What the browser asks for, checked against what this visitor may play.

        Raises:
            HermesError: There is no such clip, or the file was not uploaded by this visitor.
        """
        kind = wish.get("kind")
        if kind == "camera":
            return Source("camera", title="camera")
        if kind == "clip":
            clip = self._clips.get(str(wish.get("id")))
            if clip is None:
                raise HermesError("This clip is not bundled here. Choose another one.")
            return Source("clip", clip.id, clip.path, clip.title)
        path = str(wish.get("path") or "")
        if path not in self.uploads:
            raise HermesError("Choose a video file first.")
        return Source("upload", path, Path(path), self.uploads[path])

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
            self._shelf.ensure(self.settings.model)
            native = None if source.path is None else video.probe(source.path).fps
            with self._lock:
                if self._closed:
                    return
                stream = self.stream
                if stream is None or isinstance(stream, Replay):
                    stream = self._shelf.engine.open(self.settings)
                if source.kind == "camera":
                    stream.camera()
                else:
                    stream.play(str(source.path), source.title)
                self.stream = stream
                self._playing, self._native_fps = source, native
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

    def open_run(self, run: Run | str, seconds: float = 0.0, *, play: bool = True) -> None:
        """Show a recorded run in place of what was shown; no model is needed.

        Args:
            run: The run, or the id of a bundled one.
            seconds: Stream time to begin at.
            play: Whether it plays at once.

        Raises:
            HermesError: There is no such run.
        """
        if isinstance(run, str):
            if run not in self._runs:
                raise HermesError("This run is not bundled here. Choose another one.")
            run = self._runs[run]
        replay = Replay(run, seconds, usual_speed(run.seconds))
        with self._lock:
            if self._closed:
                return
            before, self.stream = self.stream, replay
            self._playing, self._native_fps = Source("run", run.id, title=run.title), None
            self._begin()
        if before is not None:
            before.close()
        if play:
            replay.resume()

    def _judge(self) -> Judge | None:
        """Makes verdicts where it is known what the stream shows."""
        replay = self.replay
        kind, name = ("clip", replay.run.clip_id) if replay else (self._playing.kind, self._playing.id)
        clip = self._clips.get(name) if kind == "clip" else None
        if replay and replay.run.events:  # a run brings the truth along, also where the clip is not bundled here
            return judge_of(replay.run.events, clip.fps if clip else None, lambda: self._fps)
        return judge_of(clip.events, clip.fps, lambda: self._fps) if clip else None

    # Recording ----------------------------------------------------------------------------------------------------

    def record(self) -> None:
        """Begin to record the stream.

        Raises:
            HermesError: There is no stream, or it is a recorded run itself.
        """
        stream = self.stream
        if isinstance(stream, Replay):
            raise HermesError("This is a recorded run already. Start a clip or the camera, then record it.")
        if stream is None:
            raise HermesError("There is nothing to record yet: start a clip or the camera first.")
        self._tape.start(stream)

    def stop_recording(self) -> None:
        """End the recording; the page is then offered the file.

        Raises:
            HermesError: Nothing was seen meanwhile, or the file cannot be written.
        """
        clip = self._clips.get(self._playing.id) if self._playing.kind == "clip" else None
        model = self._shelf.state(self.settings.model)
        policy = self._policies[self.settings.policy]
        head = Head(
            title=self._playing.title or "Stream",
            clip_id=clip.id if clip else "",
            source=self._playing.title,
            settings=self.settings,
            model=telling.model_facts(self.settings.model, model.info if model else None),
            policy=telling.policy_facts(policy),
            events=clip.events if clip else (),
        )

        def truth(question: str, seconds: float) -> str | None:
            known = answer_at(question, clip.events, clip.fps, seconds) if clip else None
            return known.answer if known else None

        self._tape.stop(head, self.conversation.turns, truth)

    def _begin(self) -> None:
        """A new memory: the board starts afresh."""
        replay = self.replay
        self._jumps = replay.jumps if replay else 0
        with self._board_lock:
            self._encoder = BoardEncoder(self._judge())
            self._fps = replay.run.settings.fps if replay else min(self.settings.fps, self._native_fps or math.inf)
            if replay:
                self._recall(replay)
        self._restarted, self._notice, self._told_error = True, None, None

    def _recall(self, replay: Replay) -> None:
        """Tell the board's encoder what came before the moment at which a run is entered."""
        view = replay.view()
        if view.snapshot is not None:
            past = replay.run.past(view.clock)
            self._encoder.recall(view.snapshot, past, duration=view.duration, fps=self._fps)

    def transport(self, action: str) -> None:
        """Pause, resume or stop; nothing happens without a stream."""
        if self.stream is not None and action in ("pause", "resume", "stop"):
            getattr(self.stream, action)()

    def shot(self, jpeg: str, number: int) -> None:
        """Take one camera picture (base64 JPEG); pictures that are too large or broken are left out."""
        self._shots = max(self._shots, number)
        stream = self.stream
        if stream is None or self._playing.kind != "camera" or len(jpeg) > FRAME_BYTES:
            return
        try:
            data = np.frombuffer(base64.b64decode(jpeg, validate=True), np.uint8)
        except (binascii.Error, ValueError):
            return
        if not _small_enough(data.tobytes()):
            return
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
        if picture is not None and not isinstance(stream, Replay):
            stream.offer(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False))

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
            self._shelf.ensure(wished.model, agreed=agreed)
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
        return self._shelf.follow(name, agreed=agreed)

    def try_it(self, wish: Mapping[str, Any]) -> dict[str, Any]:
        """Change a setting of the policy as the panel wishes, see `ui.tryit.wished`; returns what the panel shows then."""
        policy = self._policies[self.settings.policy]
        model = self._shelf.state(self.settings.model)
        settings = policy.settings_for(model.info.constants) if model and model.info else policy.settings
        presets = tryit.presets_of(policy.name)
        said, bad = "", False
        try:
            changed = tryit.wished(settings, presets, self.settings.changed, wish)
            said = " ".join(self.change(changed=changed))
        except HermesError as error:
            said, bad = str(error), True
        guidance = model.info.guidance if model and model.info else ()
        hints = {f"prompt_{name}": text for name, text in guidance}
        return tryit.panel(policy, settings, presets, self.settings, said, bad=bad, hints=hints)

    # Conversation -------------------------------------------------------------------------------------------------

    def ask(self, question: str) -> Iterator[dict[str, Any]]:
        """Ask; yields messages for the chat, the answer longer in each."""
        policy = tryit.title_of(self._policies[self.settings.policy], self.settings.changed)
        return self.conversation.ask(self.stream, question, policy)

    def halt(self) -> None:
        """Stop the answer that is being written; what was said so far stays."""
        self.conversation.halt()
        if self.stream is not None:
            self.stream.stop_answer()

    # Standing aside for a lesson ------------------------------------------------------------------------------------

    def step_aside(self) -> None:
        """Another visitor takes this one's place for a while: what plays pauses; a camera stops, its memory stays."""
        stream = self.stream
        self._resumes = stream is not None and stream.view().state == "playing" and self._playing.kind != "camera"
        if stream is not None:
            self.transport("pause" if self._resumes else "stop" if self._playing.kind == "camera" else "")

    def come_back(self) -> None:
        """This visitor is shown again, as it was when it stepped aside."""
        if self._resumes:
            self.transport("resume")
        self._resumes = False
        self.tell_afresh()

    def tell_afresh(self) -> None:
        """The browser shows somebody else's stream: it has to forget that, and is told everything anew."""
        self._restarted = True

    def sight(self) -> Sight:
        """What a lesson measures."""
        name = self.replay.run.clip_id if self.replay else self._playing.id if self._playing.kind == "clip" else ""
        clip = self._clips.get(name or "")
        model = self._shelf.state(self.settings.model)
        return Sight(self.stream.view() if self.stream else None, model.info if model else None, clip)

    # What the browser is told -------------------------------------------------------------------------------------

    def tell(self, kind: str, text: str) -> None:
        """Show a sentence beside the stream: kind "error" or "info"."""
        self._notice = {"id": next(_IDS), "kind": kind, "text": text}

    def look(
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
        if view is not None and view.error and view.error != self._told_error:
            self._told_error = view.error
            self.tell("error", view.error)
        board = None
        if stream is not None and view is not None:
            board = self._board_message(stream, view, acknowledged, wanted)
        return self._player_state(view, shown), board

    def _board_message(
        self, stream: LiveStream | Replay, view: LiveView, acknowledged: int | None, wanted: Wanted | None
    ) -> dict[str, Any] | None:
        if view.snapshot is None or not view.snapshot.frames_seen:
            return None
        with self._board_lock:
            if isinstance(stream, Replay) and stream.jumps != self._jumps:
                self._jumps, self._encoder = stream.jumps, BoardEncoder(self._judge())
                self._recall(stream)
            return self._encoder.encode(
                view.snapshot,
                acknowledged=acknowledged,
                duration=view.duration,
                fps=self._fps,
                meters=telling.meters(view),
                thumbnails=stream.thumbnails,
                wanted=wanted,
            )

    def detail(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """What the board asks for on demand: a frame's tokens, its life, a layer's heads, or the board as a page."""
        stream = self.stream
        if stream is None:
            return {"id": request.get("id"), "error": "Nothing has been seen yet: press Start."}
        if request.get("kind") != "page":
            return detail(stream, request)
        view = stream.view()
        with self._board_lock:
            encoder, fps = copy.copy(self._encoder), self._fps
        page = standalone.page(stream, view, encoder, fps=fps, meters=telling.meters(view))
        return {"id": request.get("id"), "kind": "page", "html": page}

    def _player_state(self, view: LiveView | None, shown: int) -> dict[str, Any]:
        restarted, self._restarted = self._restarted, False
        model = self._shelf.state(self.settings.model)
        clip = self._clips.get(self._chosen.id) if self._chosen.kind == "clip" else None
        return {
            "n": next(_IDS),
            "source": {"kind": self._playing.kind, "id": self._playing.id, "title": self._playing.title},
            "speed": next((name for name, speed in SPEEDS.items() if speed == self.settings.speed), 1),
            "fps": self.settings.fps,
            "received": self._shots,
            "restarted": restarted,
            "notice": self._notice,
            "loading": telling.waiting(model) if self._starting else None,
            "about": telling.about(model, self._policies[self.settings.policy], self.settings.changed),
            "chips": telling.chips(clip, model),
            **telling.stream_state(view, -1 if restarted else shown),
            "opened": self.opened,
            **self._tape.state(),
            **self._run_state(),
        }

    def _run_state(self) -> dict[str, Any]:
        """What is shown of a recorded run; nothing while a stream is shown."""
        replay = self.replay
        if replay is None:
            return {"run": None}
        clip = replay.run.clip_id if replay.run.clip_id in self._clips else ""
        return replay_state(replay, bundled=self._runs.get(replay.run.id) is replay.run, startable=clip)

    def close(self) -> None:
        """Free the stream and its memory."""
        with self._lock:
            self._closed = True
            stream, self.stream = self.stream, None
        self._tape.drop()
        self.lab.close()
        if stream is not None:
            stream.close()


def _small_enough(data: bytes) -> bool:
    """Whether a picture's header tells a size that is worth decoding: a small file can unfold into gigabytes."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            return max(picture.size) <= FRAME_SIDE
    except (OSError, ValueError, Image.DecompressionBombError):
        return False
