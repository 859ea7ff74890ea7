"""Recording of a running stream: a thread polls it a few times per second and stores changes."""

from __future__ import annotations

import logging
import os
import re
import secrets
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hermes.trace import Head, Recorder, RunTurn
from hermes.trace.archive import TraceWriteError
from ui.player.conversation import ChatTurn
from ui.runs.runs import ENDING

if TYPE_CHECKING:
    from hermes.serving.interface import StreamControl

logger = logging.getLogger(__name__)

Truth = Callable[[str, float], str | None]

FULL = "it reached its largest size"
RESTARTED = "the stream restarted"
FAULT = "of an internal error"
NOT_WRITTEN = "its file could not be written"
EVERY_SECONDS = 0.2
"""Polling interval. A stream does not publish snapshots more often."""


class StreamRecording:
    """One recording, from `start` to `finish`. It ends early if the memory of the stream is reset, or if it is full.

    Attributes:
        ended: Why it ended early, as the end of a sentence; empty while it runs.
    """

    def __init__(self, stream: StreamControl, recorder: Recorder | None = None) -> None:
        """Record `stream`. The first moment contains what its memory already holds."""
        self._stream = stream
        self._recorder = recorder or Recorder()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="recording", daemon=True)
        self.ended = ""

    def start(self) -> None:
        """Start polling."""
        self._thread.start()

    def capture(self) -> bool:
        """Store what changed. Return False if the memory of the stream was reset, or if the recording is full."""
        scores = getattr(self._stream, "scores", ())
        return self._recorder.add(self._stream.view(), self._stream.thumbnails, scores)

    def _watch(self) -> None:
        try:
            while not self._done.wait(EVERY_SECONDS):
                if not self.capture():
                    self.ended = FULL if self._recorder.full else RESTARTED
                    return
        except Exception:
            logger.exception("The recording ended early")
            self.ended = FAULT

    def state(self) -> dict[str, Any]:
        """Return the progress of the recording, for the page."""
        recorder = self._recorder
        return {"seconds": round(recorder.seconds, 1), "moments": recorder.moments, "ended": self.ended}

    def finish(self, folder: Path, head: Head, turns: Iterable[ChatTurn], truth: Truth) -> Path:
        """End the recording and write the file into a new folder with an unguessable name below `folder`.

        Args:
            folder: Folder of the visitor's files.
            head: Metadata of the run, without the conversation.
            turns: The conversation, including questions from before the recording.
            truth: Returns the correct answer to a question at a stream time, or None if it is unknown.

        Raises:
            TraceWriteError: The file cannot be written. `finish` can be called again.
            HermesError: No frame was recorded.
        """
        self._done.set()
        self._thread.join()
        if not self.ended:
            self.capture()
        try:
            with new_file(folder, file_name(head)) as path:
                self._recorder.write(path, replace(head, chat=tuple(self._turns(turns, truth))))
        except TraceWriteError:
            self.ended = self.ended or NOT_WRITTEN
            raise
        return path

    def discard(self) -> None:
        """End the recording without a file."""
        self._done.set()

    def _turns(self, turns: Iterable[ChatTurn], truth: Truth) -> Iterable[RunTurn]:
        for turn in turns:
            if turn.at is None or turn.state not in ("done", "stopped") or turn.at > self._recorder.seconds:
                continue
            yield RunTurn(
                turn.question,
                turn.answer,
                turn.at,
                self._answered_at(turn),
                turn.state,
                turn.first_ms,
                turn.policy,
                truth(turn.question, turn.at),
            )

    def _answered_at(self, turn: ChatTurn) -> float:
        """Return the stream time of the first recorded moment that contains the complete answer."""
        return self._recorder.answered(turn.question, turn.at or 0.0)


def file_name(head: Head) -> str:
    """Return the file name of the download: letters and digits of the title, and the date."""
    words = re.sub(r"[^a-z0-9]+", "-", head.title.lower()).strip("-")[:40] or "run"
    return f"{words}-{head.created[:10]}{ENDING}"


@contextmanager
def new_file(folder: Path, name: str) -> Iterator[Path]:
    """Provide the path of a file in a new folder with an unguessable name. If the block fails, the folder is deleted.

    Args:
        folder: Folder of the visitor's files.
        name: Name of the file, which the block writes.

    Raises:
        TraceWriteError: The folder cannot be created, or the block could not write the file.
    """
    own = folder / f"run-{secrets.token_hex(16)}"
    try:
        own.mkdir(parents=True)
        yield own / name
    except BaseException as error:
        shutil.rmtree(own, ignore_errors=True)
        cause = error.__cause__ if isinstance(error, TraceWriteError) else error
        if isinstance(cause, OSError):  # without paths of the server
            raise TraceWriteError(f"The recording could not be saved: {os.strerror(cause.errno or 0)}.") from cause
        raise
