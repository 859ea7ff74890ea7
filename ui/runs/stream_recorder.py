"""Recording of a visitor's stream while it runs: a thread looks at it a few times a second and keeps what is new."""

from __future__ import annotations

import logging
import re
import secrets
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hermes.errors import HermesError
from hermes.trace import Head, Recorder, RunTurn
from ui.player.conversation import ChatTurn
from ui.runs.runs import ENDING

if TYPE_CHECKING:
    from hermes.serving.stream import LiveStream

logger = logging.getLogger(__name__)

Truth = Callable[[str, float], str | None]

EVERY_SECONDS = 0.2
"""A stream publishes no more snapshots than that."""


class StreamRecording:
    """One recording, from `start` to `finish`. It ends by itself when the stream's memory begins again."""

    def __init__(self, stream: LiveStream, recorder: Recorder | None = None) -> None:
        """Record `stream` from now on; what its memory holds already is in the first moment."""
        self._stream = stream
        self._recorder = recorder or Recorder()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="recording", daemon=True)
        self.cut_short = False

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def capture(self) -> bool:
        """Take what is new; False when the stream is not the same any more."""
        scores = getattr(self._stream, "scores", ())
        return self._recorder.add(self._stream.view(), self._stream.thumbnails, scores)

    def _watch(self) -> None:
        try:
            while not self._done.wait(EVERY_SECONDS):
                if not self.capture():
                    self.cut_short = True
                    return
        except Exception:
            logger.exception("the recording ended early")
            self.cut_short = True

    def state(self) -> dict[str, Any]:
        """How far the recording is, for the page."""
        recorder = self._recorder
        return {"seconds": round(recorder.seconds, 1), "moments": recorder.moments, "ended": self.cut_short}

    def finish(self, folder: Path, head: Head, turns: Iterable[ChatTurn], truth: Truth) -> Path:
        """End it and write the file into a folder of its own below `folder`, where nobody can guess it.

        Args:
            folder: Where uploads and downloads lie.
            head: What the run says of itself, without its conversation.
            turns: The visitor's conversation; what was asked before the recording is in it.
            truth: Gives the true answer to a question at a stream time; None where it is not known.

        Raises:
            HermesError: Nothing was seen while it recorded, or the file cannot be written.
        """
        self._done.set()
        self._thread.join(timeout=10)
        if not self.cut_short:
            self.capture()
        own = folder / f"run-{secrets.token_hex(16)}"
        own.mkdir(parents=True, exist_ok=True)
        path = own / file_name(head)
        try:
            self._recorder.write(path, replace(head, chat=tuple(self._turns(turns, truth))))
        except HermesError:
            own.rmdir()
            raise
        return path

    def discard(self) -> None:
        """End it without a file."""
        self._done.set()

    def _turns(self, turns: Iterable[ChatTurn], truth: Truth) -> Iterable[RunTurn]:
        for turn in turns:
            if turn.at is None or turn.state not in ("done", "stopped") or turn.at > self._recorder.seconds:
                continue
            yield RunTurn(
                turn.question,
                turn.answer,
                turn.at,
                self._said_at(turn),
                turn.state,
                turn.first_ms,
                turn.policy,
                truth(turn.question, turn.at),
            )

    def _said_at(self, turn: ChatTurn) -> float:
        """Stream time at which a recorded answer was complete: of the first moment that knows it."""
        return self._recorder.answered(turn.question, turn.at or 0.0)


def file_name(head: Head) -> str:
    """A name for the download: the title's letters and digits, and the day."""
    words = re.sub(r"[^a-z0-9]+", "-", head.title.lower()).strip("-")[:40] or "run"
    return f"{words}-{head.created[:10]}{ENDING}"
