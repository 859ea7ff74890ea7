"""A visitor in clip mode: a run streams one clip and asks questions that were set before it started."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hermes.analysis.token_history import ScoreRecord, TokenHistory, token_history_of
from hermes.errors import HermesError
from hermes.out_of_memory import sentence_of
from hermes.serving.clip_run import ClipItem, ClipRequest, PlannedQuestion
from hermes.serving.local_reader import LocalReader
from hermes.view import LiveView
from ui.player.conversation import ChatTurn
from ui.player.source import Source
from ui.untrusted import finite
from ui.visitors.visitor import Visitor

if TYPE_CHECKING:
    from hermes.view import StreamSettings
    from ui.zerogpu import Run

logger = logging.getLogger(__name__)

MAX_QUESTIONS = 8
LONGEST_QUESTION = 500
NO_CAMERA = (
    "The webcam is not available here, because the GPU is allocated per run. Choose a clip or upload a video. "
    "The webcam works on your own computer."
)


def read_questions(request: object) -> tuple[PlannedQuestion, ...]:
    """Return the questions of a run from a list of {text, at}. With `at` None, a question is asked at the end.

    Raises:
        HermesError: There are too many questions, or one is invalid.
    """
    if not isinstance(request, list) or len(request) > MAX_QUESTIONS:
        raise HermesError(f"A run can have at most {MAX_QUESTIONS} questions.")
    return tuple(_read_question(question) for question in request)


def _read_question(question: object) -> PlannedQuestion:
    text = question.get("text") if isinstance(question, dict) else None
    at = question.get("at") if isinstance(question, dict) else None
    if not isinstance(text, str) or not text.strip() or len(text) > LONGEST_QUESTION:
        raise HermesError(f"Enter a question of at most {LONGEST_QUESTION} characters.")
    if at is not None and not finite(at, -1.0) >= 0:
        raise HermesError("Enter the time of a question in seconds, 0 or later.")
    return PlannedQuestion(text.strip(), None if at is None else finite(at, 0.0))


class ClipStream:
    """The state of a run so far, with the interface of a live stream."""

    def __init__(self, settings: StreamSettings, title: str) -> None:
        self.settings = settings
        self.stopped = False
        self._view = LiveView(
            "playing", title, math.nan, None, 0.0, None, -1, None, 0, 0, 0.0, None, answering=False, error=None
        )
        self._thumbnails: dict[int, bytes] = {}
        self.scores: tuple[ScoreRecord, ...] = ()

    def take(self, item: ClipItem) -> None:
        """Update the state with the result of a step."""
        self._thumbnails = {**self._thumbnails, **item.thumbnails} if item.thumbnails else self._thumbnails
        self.scores = item.scores or self.scores
        if item.view is not None:
            self._view = item.view
        elif item.answer is not None:
            self._view = replace(self._view, answering=True, first_token_ms=item.answer.first_ms)

    def end(self, error: str | None = None) -> None:
        """Mark the run as ended, or as failed with `error`."""
        if error is not None:
            self._view = replace(self._view, state="failed", error=error, answering=False)
        elif self._view.state == "playing":
            self._view = replace(self._view, state="ended", answering=False)

    @property
    def begun(self) -> bool:
        """Whether a first result or an error has arrived."""
        return self._view.snapshot is not None or self._view.state == "failed"

    def view(self) -> LiveView:
        """Return the state after the last item."""
        return self._view

    def status(self) -> LiveView:
        """Return this state without memory and picture."""
        return replace(self._view, snapshot=None, frame_jpeg=None)

    def attach(self, make: Callable[[], Any]) -> LocalReader:
        """Create a reader, see `hermes.serving.interface.StreamReader`."""
        return LocalReader(self, make())

    def thumbnails(self, frames: Sequence[int]) -> dict[int, bytes]:
        """Return JPEG thumbnails by frame number; frames without one are omitted."""
        known = self._thumbnails
        return {frame: known[frame] for frame in frames if frame in known}

    def token_history(self, frame: int) -> TokenHistory:
        """Return the token history of a frame; evictions are available once the run is over."""
        return token_history_of(self.scores, frame)

    def stop(self) -> None:
        """End the run at the next item. The result so far is kept."""
        self.stopped = True

    def stop_answer(self) -> None:
        """Do nothing: a single answer of a run cannot be stopped."""

    def close(self) -> None:
        """End the run because the visitor left."""
        self.stop()


class ClipVisitor(Visitor):
    """A visitor in clip mode: each clip and its questions run in one call."""

    live_lab = False
    planned = True

    def __init__(self, *arguments: Any, run: Run) -> None:
        """Create a visitor; see `Visitor` for the arguments. `run` streams a clip, see `ui.zerogpu.clip_runner`."""
        super().__init__(*arguments)
        self._run = run
        self._running = False

    def run(self, request: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Stream a clip and ask its questions, yielding messages for the chat. Errors are shown next to the stream.

        Args:
            request: The source, see `source`, and `questions`, see `read_questions`.
        """
        try:
            stream, clip_request = self._prepare(request)
        except HermesError as error:
            self.report(error, request)
            return
        turns: dict[int, ChatTurn] = {}
        try:
            for item in self._run(clip_request):
                stream.take(item)
                if item.answer is not None:
                    yield self._update_turn(turns, clip_request, item)
                if stream.stopped:
                    break
            stream.end()
        except HermesError as error:
            stream.end(str(error))
        except Exception as error:  # noqa: BLE001 - reported to the visitor and logged by `sentence_of`
            stream.end(sentence_of(error))
        finally:
            self._running = False
            if clip_request.frames is not None:
                clip_request.frames.close()
            stream.end()
            self.conversation.halt()
        yield self.conversation.message()

    def _prepare(self, request: Mapping[str, Any]) -> tuple[ClipStream, ClipRequest]:
        source = self.source(request)
        questions = read_questions(request.get("questions") or [])
        settings = self.settings
        frames = self._playback.open_file(source, settings)
        if frames is None:
            raise HermesError(NO_CAMERA)
        state = self.state
        with state.lock:
            if self._running or state.closed:
                frames.close()
                raise HermesError("A run is in progress. Stop it or wait until it ends.")
            stream = ClipStream(settings, source.title)
            state.chosen = state.playing = source
            state.native_fps = frames.info.fps
            state.stream = stream  # type: ignore[assignment]  # has the interface of a live stream
            self._view.begin(f"New run: {source.title}")
            self._running = True
        return stream, ClipRequest(str(source.path), source.title, settings, questions, frames, frames.info)

    def _update_turn(self, turns: dict[int, ChatTurn], request: ClipRequest, item: ClipItem) -> dict[str, Any]:
        answer = item.answer
        if answer is None:
            return self.conversation.message(2)
        policy = str(self._settings.policy_of(request.settings).title)
        turn = turns.get(answer.index)
        if turn is None:
            turn = turns[answer.index] = self.conversation.begin(
                request.questions[answer.index].text, answer.at, policy
            )
            turn.note = self._questions.answer_note(turn.question)
        turn.answer, turn.first_ms = answer.text, answer.first_ms
        turn.state = "error" if answer.error else "done" if answer.done else "writing"
        if turn.state == "done" and item.view is not None and item.view.snapshot is not None:
            self.conversation.keep_words(turn, item.view.snapshot.answer)
        return self.conversation.message(2)

    # Overrides of a live visitor ---------------------------------------------------------------------------

    def start(self, source: Source, until: float | None = None) -> None:
        """Play a recorded run. Other sources raise HermesError: clips start with their questions, see `run`."""
        if source.kind == "run":
            super().start(source, until)
            return
        raise HermesError(NO_CAMERA if source.kind == "camera" else "Press Run to run the clip with its questions.")

    def restart(self) -> None:
        """Restart a recorded run; otherwise raise HermesError as in `start`."""
        if self.stream is not None and not isinstance(self.stream, ClipStream):
            super().restart()
            return
        self.start(self.state.chosen)

    def transport(self, action: str) -> None:
        """Stop a clip, or pause, resume or stop a recorded run. Other actions are ignored."""
        if action == "stop" or not isinstance(self.stream, ClipStream):
            super().transport(action)

    def change(self, *, agreed: bool = False, **changes: Any) -> list[str]:  # noqa: ARG002 - interface of Visitor
        """Change settings for the next run.

        Raises:
            HermesError: A setting is invalid; nothing was changed.
        """
        with self.state.lock:
            settings = self._settings.after(changes)
            if settings == self.settings:
                return []
            if settings.model != self.settings.model:
                raise HermesError("The model is loaded at startup and cannot be changed here.")
            settings.check()
            self._loader.engine.check(settings)
            self.state.settings = settings
        return ["Applies to the next run."]

    def load(self, name: str, *, agreed: bool = False) -> Iterator[str]:  # noqa: ARG002 - interface of Visitor
        """Do nothing: the model was loaded at startup."""
        return iter(())

    def ask(self, question: str, *, wait: bool = True) -> Iterator[dict[str, Any]]:  # noqa: ARG002 - interface of Visitor
        """Show a notice: questions must be set before a run, because its memory is freed when it ends."""
        self.notify("info", "Questions are set before a run. Add yours to the list and press Run.")
        yield self.conversation.message()

    @property
    def _subject(self) -> Source:
        """The selected source: the questions of the next run refer to it."""
        return self.state.chosen

    def _player_message(self, view: LiveView | None, shown: int) -> dict[str, Any]:
        state = super()._player_message(view, shown)
        if self._running and isinstance(self.stream, ClipStream) and not self.stream.begun:
            state["loading"] = {"text": "Waiting for the GPU …", "share": 0.0}
        return state
