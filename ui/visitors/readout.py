"""What a page shows of a stream or recorded run, computed where that runs; see `hermes.serving.interface.StreamReader`."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hermes.snapshot import Snapshot
from ui.board.cells import Wanted
from ui.board.feed import BoardFeed
from ui.board.trail import MAX_MOMENTS, without_tokens
from ui.player.clips import Clip
from ui.player.source import Source

if TYPE_CHECKING:
    from hermes.serving.interface import StreamControl
    from hermes.view import LiveView
    from ui.runs.replay import Replay

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Polled:
    """One update of a page.

    Attributes:
        view: The state without its snapshot, and without the picture that the page shows.
        board: The message for the board; None if nothing changed.
        failed: Whether the message could not be built.
        moment: The memory without its tokens, for the retention over time; None if the last one is recent.
        freed: Whether the memory of the stream was freed or lost.
    """

    view: LiveView
    board: dict[str, Any] | None = None
    failed: bool = False
    moment: Snapshot | None = None
    freed: bool = False


@dataclass(frozen=True)
class StreamProgress:
    """What `Autosave` compares to find out whether a stream changed.

    Attributes:
        state: See `LiveView`.
        clock: See `LiveView`.
        frames: Frames seen.
        sequence: Number of the memory's state.
    """

    state: str
    clock: float
    frames: int = 0
    sequence: int = -1


class StreamReadout:
    """Reads one stream or recorded run for one page. Thread-safe."""

    def __init__(
        self,
        clips: Mapping[str, Clip],
        playing: Source,
        fps: float,
        replay: Replay | None = None,
        sent: BoardFeed | None = None,
    ) -> None:
        """Read a new memory.

        Args:
            clips: The bundled clips that provide the ground truth of the source, by id.
            playing: The source.
            fps: Sampled frames per second.
            replay: The recorded run; None for a stream.
            sent: See `BoardFeed.begin`.
        """
        self._board = BoardFeed(clips, fps)
        self._board.begin(playing, replay, fps, sent)
        self._lock = threading.Lock()
        self._noted = 0  # frames seen at the last moment
        self._failed = False

    def poll(
        self, stream: StreamControl | Replay, acknowledged: int | None, wanted: Wanted | None, shown: int
    ) -> Polled:
        """Return an update.

        Args:
            stream: The stream or recorded run.
            acknowledged: Number of the last board message that the browser applied.
            wanted: Which parts of the board the browser shows; only these are sent.
            shown: Number of the frame that the browser shows.
        """
        view = stream.view()
        board, failed = None, False
        try:
            board = self._board.message(stream, view, acknowledged, wanted)
        except Exception:
            failed = True
            if not self._failed:
                logger.exception("Could not build the board message")
        self._failed = failed
        picture = view.frame_jpeg if view.frame_index != shown else None
        light = replace(view, snapshot=None, frame_jpeg=picture)
        freed = bool(getattr(stream, "freed", False))
        return Polled(light, board, failed, self._moment(view.snapshot), freed)

    def _moment(self, snapshot: Snapshot | None) -> Snapshot | None:
        """Return a snapshot without tokens if enough frames were seen since the last one."""
        if snapshot is None or not snapshot.frames_seen:
            return None
        with self._lock:
            if self._noted <= snapshot.frames_seen < self._noted + max(1, self._noted // MAX_MOMENTS):
                return None
            self._noted = snapshot.frames_seen
        return without_tokens(snapshot)

    def mark(self, stream: StreamControl | Replay, text: str) -> None:
        """Mark a change of the memory's settings on the time axis of the board."""
        snapshot = stream.view().snapshot
        if snapshot is not None and snapshot.frames_seen:
            self._board.mark(snapshot.frames_seen, text)

    def detail(self, stream: StreamControl | Replay, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return details of the board on request, see `BoardFeed.detail`."""
        return self._board.detail(stream, request)

    def progress(self, stream: StreamControl | Replay) -> StreamProgress:
        """Return what `Autosave` compares."""
        view = stream.view()
        snapshot = view.snapshot
        if snapshot is None:
            return StreamProgress(view.state, view.clock)
        return StreamProgress(view.state, view.clock, snapshot.frames_seen, snapshot.sequence)
