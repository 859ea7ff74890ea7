"""A visitor's recordings: at most one runs at a time, and its file is offered to the page when it ends."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import hermes
from hermes.bench.machine import machine_sentence
from hermes.errors import HermesError
from hermes.trace import Head
from ui.player.conversation import ChatTurn
from ui.runs.replay import Replay
from ui.runs.stream_recorder import StreamRecording, Truth

if TYPE_CHECKING:
    from hermes.serving.stream import LiveStream

_IDS = itertools.count(1)


class Recordings:
    """Starts and stops the recordings of one visitor."""

    def __init__(self, folder: Path) -> None:
        """Files are written below `folder`, from which the page may fetch them."""
        self._folder = folder
        self._now: StreamRecording | None = None
        self._file: dict[str, Any] | None = None

    def start(self, stream: LiveStream | Replay | None) -> None:
        """Begin to record a stream.

        Raises:
            HermesError: There is no stream, it is a recorded run itself, or a recording runs already.
        """
        if isinstance(stream, Replay):
            raise HermesError("This is already a recording. Start a clip or the camera, then record it.")
        if stream is None:
            raise HermesError("There is nothing to record yet. Start a clip or the camera first.")
        if self._now is not None:
            raise HermesError("A recording is already in progress. Stop it first.")
        self._file = None
        self._now = StreamRecording(stream)
        self._now.start()

    def stop(self, head: Head, turns: Sequence[ChatTurn], truth: Truth) -> None:
        """End the recording and offer its file.

        Args:
            head: What the run says of itself; time and machine are put in here.
            turns: The visitor's conversation.
            truth: Gives the true answer to a question at a stream time; None where it is not known.

        Raises:
            HermesError: None runs, nothing was seen meanwhile, or the file cannot be written.
        """
        recording, self._now = self._now, None
        if recording is None:
            raise HermesError("No recording is in progress.")
        created = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        head = replace(head, created=created, machine=machine_sentence(), program=hermes.__version__)
        path = recording.finish(self._folder, head, turns, truth)
        self._file = offered(path)

    def discard(self) -> None:
        """End a recording without a file."""
        recording, self._now = self._now, None
        if recording is not None:
            recording.discard()

    def state(self) -> dict[str, Any]:
        """What the page shows: how far the recording is, and the last one's file."""
        return {"recording": self._now.state() if self._now else None, "recorded": self._file}


def offered(path: Path) -> dict[str, Any]:
    """A recording's file, which the page then fetches."""
    return {
        "n": next(_IDS),
        "name": path.name,
        "url": f"gradio_api/file={quote(str(path))}",
        "bytes": path.stat().st_size,
    }
