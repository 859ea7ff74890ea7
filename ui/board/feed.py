"""Messages for the memory board of one browser, for live streams and recorded runs, including seeks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ui.board import standalone
from ui.board.cells import Wanted
from ui.board.detail import detail
from ui.board.encoder import BoardEncoder
from ui.board.evidence import Judge, judge_of
from ui.player import payloads
from ui.player.clips import Clip
from ui.player.source import Source
from ui.runs.replay import Replay

if TYPE_CHECKING:
    from hermes.serving.interface import StreamControl
    from hermes.trace import SettingChange
    from hermes.view import LiveView


class BoardFeed:
    """Produces the messages for the board of one browser. Thread-safe."""

    def __init__(self, clips: Mapping[str, Clip], fps: float) -> None:
        """Create an empty feed. `clips` provide the ground truth that answers are judged by."""
        self._clips = clips
        self._fps = fps
        self._playing = Source("")
        self._jumps = ""
        self._encoder = BoardEncoder()
        self._lock = threading.Lock()

    def begin(self, playing: Source, replay: Replay | None, fps: float, sent: BoardFeed | None = None) -> None:
        """Reset the board for a new memory.

        Args:
            playing: The source that is shown.
            replay: The recorded run, or None for a live stream.
            fps: Sampled frames per second.
            sent: A feed that has already sent this moment of the run to the browser. Only later changes are sent then.
        """
        with self._lock:
            self._playing, self._fps = playing, fps
            if sent is not None and replay is not None and sent._jumps == replay.jumps:  # noqa: SLF001 - same class
                self._jumps, self._encoder = replay.jumps, sent._encoder.fork()  # noqa: SLF001
            else:
                self._enter(replay)

    def _enter(self, replay: Replay | None) -> None:
        """Create a new encoder. If a run is opened in the middle, restore its earlier retention history."""
        self._jumps = replay.jumps if replay else ""
        self._encoder = BoardEncoder(self._judge(replay))
        for change in replay.run.changes if replay is not None else ():
            self._encoder.mark(change.frames, words_of_change(change))
        view = replay.view() if replay else None
        if replay is not None and view is not None and view.snapshot is not None:
            past = replay.run.past(view.clock)
            self._encoder.recall(view.snapshot, past, duration=view.duration, fps=self._fps)

    def _judge(self, replay: Replay | None) -> Judge | None:
        """Return the judge of the stream, or None if there is no ground truth."""
        return judge_of_source(self._clips, self._playing, replay, lambda: self._fps)

    def mark(self, frame: int, text: str) -> None:
        """Mark a change of settings after `frame` frames on the time axis."""
        with self._lock:
            self._encoder.mark(frame, text)

    def message(
        self, stream: StreamControl | Replay, view: LiveView, acknowledged: int | None, wanted: Wanted | None
    ) -> dict[str, Any] | None:
        """Return the board's next message, or None if nothing changed.

        Args:
            stream: The stream or recorded run that is shown.
            view: Its current view.
            acknowledged: Number of the last message that the browser applied.
            wanted: The visible parts of the board. Only these are sent.
        """
        if view.snapshot is None or not view.snapshot.frames_seen:
            return None
        with self._lock:
            if isinstance(stream, Replay) and stream.jumps != self._jumps:
                self._enter(stream)
            return self._encoder.encode(
                view.snapshot,
                acknowledged=acknowledged,
                duration=view.duration,
                fps=self._fps,
                meters=payloads.meters(view),
                thumbnails=stream.thumbnails,
                wanted=wanted,
            )

    def detail(self, stream: StreamControl | Replay, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer a request of the board: a frame's tokens or token history, a layer's heads, or the board as a page."""
        if request.get("kind") != "page":
            return detail(stream, request)
        view = stream.view()
        with self._lock:
            encoder, fps = self._encoder.fork(), self._fps
        page = standalone.page(stream, view, encoder, fps=fps, meters=payloads.meters(view))
        return {"id": request.get("id"), "kind": "page", "html": page}


def judge_of_source(
    clips: Mapping[str, Clip], playing: Source, replay: Replay | None, fps: Callable[[], float]
) -> Judge | None:
    """Return the judge of the answers about a source, or None if there is no ground truth.

    Args:
        clips: The bundled clips by id.
        playing: The source of a stream.
        replay: The recorded run, or None for a stream.
        fps: Returns the sampled frames per second.
    """
    kind, name = ("clip", replay.run.clip_id) if replay else (playing.kind, playing.id)
    clip = clips.get(name) if kind == "clip" else None
    if replay and replay.run.events:  # a run contains its ground truth, so the clip need not be bundled
        return judge_of(replay.run.events, clip.fps if clip else None, fps)
    return judge_of(clip.events, clip.fps, fps) if clip else None


def words_of_change(change: SettingChange) -> str:
    """Return a recorded change of policy and budget in words."""
    (policy, budget), (policy_now, budget_now) = change.before, change.after
    parts = [f"policy {policy} → {policy_now}"] if policy != policy_now else []
    parts += [f"budget {budget:,} → {budget_now:,}"] if budget != budget_now else []
    return ", ".join(parts)
