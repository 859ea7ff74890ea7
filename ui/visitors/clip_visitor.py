"""A visitor in clip mode: a run streams one clip and asks questions that were set before it started."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hermes import video
from hermes.analysis.token_history import ScoreRecord, TokenHistory, token_history_of
from hermes.errors import HermesError
from hermes.serving.clip_run import ClipItem, ClipRequest, PlannedQuestion
from hermes.serving.stream_memory import open_session
from hermes.view import LiveView
from ui.player.conversation import ChatTurn
from ui.player.source import Source
from ui.visitors.visitor import Visitor

if TYPE_CHECKING:
    from hermes.view import StreamSettings
    from ui.zerogpu import Run

logger = logging.getLogger(__name__)

MOST_QUESTIONS = 8
LONGEST_QUESTION = 500
NO_CAMERA = (
    "The webcam is not available here, because the GPU is allocated per run. Choose a clip or upload a video. The webcam "
    "works on your own computer."
)


def read_questions(wish: object) -> tuple[PlannedQuestion, ...]:
    """The questions of a run as the browser sent them: a list of {text, at}; `at` None: at the end.

    Raises:
        HermesError: There are too many, or one of them is no question.
    """
    if not isinstance(wish, list) or len(wish) > MOST_QUESTIONS:
        raise HermesError(f"A run can have at most {MOST_QUESTIONS} questions.")
    return tuple(_read_question(question) for question in wish)


def _read_question(question: object) -> PlannedQuestion:
    text = question.get("text") if isinstance(question, dict) else None
    at = question.get("at") if isinstance(question, dict) else None
    if not isinstance(text, str) or not text.strip() or len(text) > LONGEST_QUESTION:
        raise HermesError(f"Enter a question of at most {LONGEST_QUESTION} characters.")
    if at is not None and not (isinstance(at, int | float) and math.isfinite(at) and at >= 0):
        raise HermesError("Enter the time of a question in seconds, 0 or later.")
    return PlannedQuestion(text.strip(), at)


class ClipStream:
    """What a run has told so far, read like a live stream."""

    def __init__(self, settings: StreamSettings, title: str) -> None:
        self.settings = settings
        self.stopped = False
        self._view = LiveView(
            "playing", title, math.nan, None, 0.0, None, -1, None, 0, 0, 0.0, None, answering=False, error=None
        )
        self._thumbnails: dict[int, bytes] = {}
        self.scores: tuple[ScoreRecord, ...] = ()

    def take(self, item: ClipItem) -> None:
        """Take over what a step told."""
        self._thumbnails = {**self._thumbnails, **item.thumbnails} if item.thumbnails else self._thumbnails
        self.scores = item.scores or self.scores
        if item.view is not None:
            self._view = item.view
        elif item.answer is not None:
            self._view = replace(self._view, answering=True, first_token_ms=item.answer.first_ms)

    def end(self, error: str | None = None) -> None:
        """The run is over; with `error` because of a problem."""
        if error is not None:
            self._view = replace(self._view, state="failed", error=error, answering=False)
        elif self._view.state == "playing":
            self._view = replace(self._view, state="ended", answering=False)

    @property
    def begun(self) -> bool:
        """Whether anything was told yet."""
        return self._view.snapshot is not None or self._view.state == "failed"

    def view(self) -> LiveView:
        """The stream as of the last item."""
        return self._view

    def thumbnails(self, frames: Sequence[int]) -> dict[int, bytes]:
        """JPEG thumbnails of frames by number."""
        known = self._thumbnails
        return {frame: known[frame] for frame in frames if frame in known}

    def token_history(self, frame: int) -> TokenHistory:
        """Return the token history of a frame; evictions are available once the run is over."""
        return token_history_of(self.scores, frame)

    def stop(self) -> None:
        """End the run at the next item; what was seen stays."""
        self.stopped = True

    def stop_answer(self) -> None:
        """An answer of a run cannot be stopped alone."""

    def close(self) -> None:
        """The visitor is gone."""
        self.stop()


class ClipVisitor(Visitor):
    """A visitor whose clips run in one call each."""

    live_lab = False
    planned = True

    def __init__(self, *arguments: Any, run: Run) -> None:
        """As `Visitor`; `run` streams a clip, see `ui.zerogpu.clip_runner`."""
        super().__init__(*arguments)
        self._run = run
        self._running = False

    def run(self, wish: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Stream a clip and ask its questions; yields messages for the chat. What goes wrong is told beside the stream.

        Args:
            wish: The source as `source` reads it, and `questions` as `read_questions` reads them.
        """
        try:
            stream, request = self._prepare(wish)
        except HermesError as error:
            self.notify("error", str(error))
            return
        turns: dict[int, ChatTurn] = {}
        try:
            for item in self._run(request):
                stream.take(item)
                if item.answer is not None:
                    yield self._say(turns, request, item)
                if stream.stopped:
                    break
            stream.end()
        except HermesError as error:
            stream.end(str(error))
        finally:
            self._running = False
            stream.end()
            self.conversation.halt()
        yield self.conversation.message()

    def _prepare(self, wish: Mapping[str, Any]) -> tuple[ClipStream, ClipRequest]:
        source = self.source(wish)
        if source.path is None:
            raise HermesError(NO_CAMERA)
        questions = read_questions(wish.get("questions") or [])
        native = video.probe(source.path).fps
        with self._lock:
            if self._running:
                raise HermesError("A run is in progress. Stop it or wait until it ends.")
            stream = ClipStream(self.settings, source.title)
            self._running = True
            self._chosen = self._playing = source
            self._native_fps = native
            self.stream = stream  # type: ignore[assignment]  # read like a live one
            self._begin()
        return stream, ClipRequest(str(source.path), source.title, self.settings, questions)

    def _say(self, turns: dict[int, ChatTurn], request: ClipRequest, item: ClipItem) -> dict[str, Any]:
        answer = item.answer
        if answer is None:
            return self.conversation.message(2)
        policy = str(self._policies[request.settings.policy].title)
        turn = turns.get(answer.index)
        if turn is None:
            turn = turns[answer.index] = self.conversation.begin(
                request.questions[answer.index].text, answer.at, policy
            )
        turn.answer, turn.first_ms = answer.text, answer.first_ms
        turn.state = "error" if answer.error else "done" if answer.done else "writing"
        return self.conversation.message(2)

    # What a live visitor does otherwise ---------------------------------------------------------------------------

    def start(self, source: Source) -> None:
        """Refused: a clip starts with its questions. Recorded runs are replayed as elsewhere."""
        if source.kind == "run":
            super().start(source)
            return
        raise HermesError(NO_CAMERA if source.kind == "camera" else "Press Run to run the clip with its questions.")

    def restart(self) -> None:
        """A recorded run from its start; else refused, as `start`."""
        if self.stream is not None and not isinstance(self.stream, ClipStream):
            super().restart()
            return
        self.start(self._chosen)

    def transport(self, action: str) -> None:
        """A clip can only be stopped; a recorded run also paused."""
        if action == "stop" or not isinstance(self.stream, ClipStream):
            super().transport(action)

    def change(self, *, agreed: bool = False, **changes: Any) -> list[str]:  # noqa: ARG002 - as a live visitor's
        """Change settings; they hold from the next run on.

        Raises:
            HermesError: A setting does not fit; nothing was changed.
        """
        wished = self._wished(changes)
        if wished == self.settings:
            return []
        if wished.model != self.settings.model:
            raise HermesError("The model is loaded at startup and cannot be changed here.")
        wished.check()
        open_session(self._loader.engine.model(wished.model), wished).close()
        self.settings = wished
        return ["Applies to the next run."]

    def load(self, name: str, *, agreed: bool = False) -> Iterator[str]:  # noqa: ARG002 - as a live visitor's
        """Nothing: the model is loaded before the page is."""
        return iter(())

    def ask(self, question: str) -> Iterator[dict[str, Any]]:  # noqa: ARG002 - as a live visitor's
        """Refused: the memory of a run is gone when it ends."""
        self.notify("info", "Questions are set before a run. Add yours to the list and press Run.")
        yield self.conversation.message()

    def _player_message(self, view: LiveView | None, shown: int) -> dict[str, Any]:
        state = super()._player_message(view, shown)
        if self._running and isinstance(self.stream, ClipStream) and not self.stream.begun:
            state["loading"] = {"text": "Waiting for the GPU …", "share": 0.0}
        return state
