"""Recordings of one visitor: at most one runs at a time, and its file is offered to the page when it ends."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import uuid4

import hermes
from hermes.bench.machine import machine_sentence
from hermes.errors import HermesError
from hermes.trace.archive import TraceWriteError
from ui.player.clips import Clip
from ui.player.conversation import ChatTurn
from ui.player.source import Source
from ui.runs.metadata import head_of, truth_of_clip
from ui.runs.replay import Replay
from ui.runs.stream_recorder import StreamRecording
from ui.settings.model_loader import Loading

if TYPE_CHECKING:
    from hermes.serving.interface import StreamControl
    from hermes.view import StreamSettings


class Recordings:
    """Starts and stops the recordings of one visitor."""

    def __init__(self, folder: Path) -> None:
        """Write files below `folder`, from which the page can download them."""
        self._folder = folder
        self._current: StreamRecording | None = None
        self._file: dict[str, Any] | None = None
        self._lock = threading.Lock()  # guards `_current` and `_closed`
        self._closed = False

    def start(self, stream: StreamControl | Replay | None) -> None:
        """Start recording a stream.

        Raises:
            HermesError: There is no stream, it is a recorded run, or a recording is already running.
        """
        if isinstance(stream, Replay):
            raise HermesError("This is already a recording. Start a clip or the camera, then record it.")
        if stream is None:
            raise HermesError("There is nothing to record yet. Start a clip or the camera first.")
        with self._lock:
            if self._current is not None:
                raise HermesError("A recording is already in progress. Save it first.")
            if self._closed:
                raise HermesError("This page was closed.")
            self._file = None
            self._current = StreamRecording(stream)
            self._current.start()

    def stop(
        self,
        source: Source,
        clip: Clip | None,
        settings: StreamSettings,
        model: Loading | None,
        policy: Any,
        turns: Sequence[ChatTurn],
    ) -> None:
        """Finish the recording and offer its file.

        Args:
            source: Source of the stream.
            clip: The bundled clip that plays; None for other sources.
            settings: Settings of the stream.
            model: Loading state of the model.
            policy: The policy.
            turns: The conversation of the visitor.

        Raises:
            TraceWriteError: The file cannot be written. The recording stays, and can be saved again.
            HermesError: No recording is running, or no frame was recorded.
        """
        with self._lock:
            recording, self._current = self._current, None
        if recording is None:
            raise HermesError("No recording is in progress.")
        head = replace(
            head_of(source, clip, settings, model, policy),
            created=dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            machine=machine_sentence(),
            program=hermes.__version__,
        )
        try:
            path = recording.finish(self._folder, head, turns, truth_of_clip(clip))
        except TraceWriteError:
            with self._lock:
                if self._current is None and not self._closed:
                    self._current = recording
            raise
        self._file = download_offer(path)

    def close(self) -> None:
        """End the current recording, if any, without a file, and refuse others."""
        with self._lock:
            self._closed = True
            recording, self._current = self._current, None
        if recording is not None:
            recording.discard()

    def state(self) -> dict[str, Any]:
        """Return the progress of the current recording and the file of the last one, for the page."""
        recording = self._current
        return {"recording": recording.state() if recording else None, "recorded": self._file}


def download_offer(path: Path) -> dict[str, Any]:
    """Return the message that makes the page download a recording."""
    return {
        "n": uuid4().hex,
        "name": path.name,
        "url": f"gradio_api/file={quote(str(path))}",
        "bytes": path.stat().st_size,
    }
