"""A visitor's stream on a replica, see `hermes.serving.interface.StreamControl`."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from hermes.analysis.token_history import ScoreRecord, TokenHistory
from hermes.errors import FailedError, HermesError
from hermes.ray_workers import ActorLostError, RayActor
from hermes.serving.file_store import digest_of, parts_of
from hermes.serving.interface import StreamLostError
from hermes.view import LiveView, StreamSettings

if TYPE_CHECKING:
    from hermes.snapshot import Snapshot
    from hermes.video import VideoSampler
    from hermes.video.thumbnails import FramePictures

logger = logging.getLogger(__name__)

CALL_SECONDS: Final = 60.0
"""Longest time in seconds in which a replica must answer."""
READ_SECONDS: Final = 15.0
"""Longest time in seconds in which a replica must answer what a page reads many times."""
SILENT_SECONDS: Final = 5.0
"""Time in seconds for which a replica that did not answer is not asked again."""
PIECE_SECONDS: Final = 3600.0
"""Longest wait in seconds for the next piece of an answer: prefilling a long question on a busy machine takes time."""
LOST: Final = (
    "The machine that ran this stream has failed, and its memory is lost. Start the stream again, or resume it if a saved "
    "state is offered."
)
SILENT: Final = "The machine that runs this stream does not respond. Try again in a moment."
_EMPTY: Final = LiveView("empty", "", math.nan, None, 0.0, None, -1, None, 0, 0, 0.0, None, answering=False, error=None)


class ReplicaSilentError(FailedError):
    """A replica did not respond in time."""


class ReplicaOfStream(Protocol):
    """The interface of `hermes.serving.ray_engine.RayReplica` that a stream uses."""

    @property
    def actor(self) -> RayActor:
        """The actor."""

    @property
    def lost(self) -> threading.Event:
        """Set when the actor has ended."""

    silent_until: float
    """Until when the replica counts as hanging; compares with `time.monotonic`."""


class RayReader:
    """A reader on a replica, see `hermes.serving.interface.StreamReader`."""

    def __init__(self, stream: RayStream, number: str) -> None:
        """Call the reader with this number of `stream`."""
        self._stream = stream
        self._number = number

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the reader; see `StreamReader.call`."""
        return self._stream.read("read", self._number, method, *arguments)


class RayStream:
    """A stream on a replica. Thread-safe.

    Attributes:
        replica: The replica, where the stream stays.
        settings: The settings.
    """

    def __init__(self, replica: ReplicaOfStream, name: str, settings: StreamSettings) -> None:
        """Control the stream `name` of a replica, which was opened with `settings`."""
        self.replica = replica
        self.settings = settings
        self._name = name
        self._last = _EMPTY
        self._snapshot: tuple[str, Snapshot | None] = ("", None)

    @classmethod
    def open(cls, replica: ReplicaOfStream, settings: StreamSettings, replacing: RayStream | None = None) -> RayStream:
        """Open a stream on a replica; see `Engine.open`.

        Raises:
            BusyError: All live slots of the replica are taken.
            StreamLostError: The replica has ended.
            HermesError: A setting is invalid.
        """
        before = replacing._name if replacing is not None else None  # noqa: SLF001 - same class
        name = call_replica(replica, "open", settings, before)
        return cls(replica, name, settings)

    def request(self, method: str, *arguments: Any, timeout: float = CALL_SECONDS) -> Any:
        """Call a method of `hermes.serving.replica.Replica` for this stream.

        Raises:
            StreamLostError: The replica has ended.
            HermesError: From the method, or the replica does not respond.
        """
        return call_replica(self.replica, method, self._name, *arguments, timeout=timeout)

    def read(self, method: str, *arguments: Any) -> Any:
        """Like `request` for what a page reads many times: fails immediately while the replica does not respond.

        Otherwise the visitors of a replica that hangs would occupy all threads of the page.
        """
        if time.monotonic() < self.replica.silent_until:
            raise ReplicaSilentError(SILENT)
        try:
            return self.request(method, *arguments, timeout=READ_SECONDS)
        except ReplicaSilentError:
            self.replica.silent_until = time.monotonic() + SILENT_SECONDS
            raise

    def _act(self, action: str, *arguments: Any, timeout: float = CALL_SECONDS) -> Any:
        return self.request("act", action, *arguments, timeout=timeout)

    # Slot ---------------------------------------------------------------------------------------------------------

    @property
    def lost(self) -> bool:
        """See `StreamControl.lost`."""
        return self.replica.lost.is_set()

    @property
    def freed(self) -> bool:
        """See `StreamControl.freed`."""
        return self.lost or self._reported("freed", lost=True)

    @property
    def is_live(self) -> bool:
        """Whether the stream holds a live slot of its replica."""
        try:
            live: bool = self.read("is_live")
        except HermesError:
            return False
        return live

    def enter(self, replacing: RayStream | None) -> None:
        """Take a live slot, or that of another stream of the same replica; see `Engine.enter`."""
        same = replacing is not None and replacing.replica is self.replica
        self.request("enter", replacing._name if same and replacing is not None else None)  # noqa: SLF001 - same class

    def finish(self) -> None:
        """Free the live slot; see `Engine.finish`."""
        self.request("finish")

    def _reported(self, value: str, *, lost: Any) -> Any:
        """Return a property of the stream, or `lost` if the replica has ended."""
        try:
            return self._act(value)
        except StreamLostError:
            return lost

    # Sources ------------------------------------------------------------------------------------------------------

    def play(self, path: str | Path, title: str = "", sampler: VideoSampler | None = None) -> None:
        """Send a file unless the replica has it, and play it there; see `LiveStream.play`. Closes `sampler`."""
        if sampler is not None:
            sampler.close()
        self.request("play", self._send(Path(path)), title or Path(path).name)

    def _send(self, path: Path) -> str:
        """Send a file unless the replica has it, and return its digest.

        Raises:
            HermesError: The file cannot be read or sent.
        """
        try:
            digest = digest_of(path)
            if self.request("needs_file", digest):
                self._send_parts(path)
                self.request("finish_file")
        except OSError as error:
            raise FailedError(f"The file cannot be read: {error.strerror or error}.") from error
        return digest

    def _send_parts(self, path: Path) -> None:
        for part in parts_of(path):
            self.request("append", part)

    def restore(
        self,
        session: str | Path,
        title: str = "",
        path: str | Path | None = None,
        pictures: FramePictures | None = None,
    ) -> None:
        """Send a session and its video, and continue it on the replica; see `LiveStream.restore`."""
        digest = self._send(Path(path)) if path is not None else None
        try:
            self._send_parts(Path(session))
        except OSError as error:
            raise FailedError(f"The session cannot be read: {error.strerror or error}.") from error
        self.request("restore", title, digest, pictures)

    def camera(self) -> None:
        """See `LiveStream.camera`."""
        self._act("camera")

    def offer(self, frame: npt.NDArray[np.uint8], seconds: float | None = None) -> None:
        """See `LiveStream.offer`. Frames for a lost stream are dropped."""
        if not self.lost:
            self._act("offer", frame, seconds)

    def put(self, frames: Sequence[npt.NDArray[np.uint8]], seconds: Sequence[float] | None, timeout: float) -> None:
        """See `LiveStream.put`."""
        self._act("put", frames, seconds, timeout, timeout=timeout + CALL_SECONDS)

    def pause(self) -> None:
        """See `LiveStream.pause`."""
        self._act("pause")

    def resume(self) -> None:
        """See `LiveStream.resume`."""
        self._act("resume")

    def yield_slot(self) -> None:
        """See `LiveStream.yield_slot`."""
        self._act("yield_slot")

    def skip_to(self, seconds: float) -> None:
        """See `LiveStream.skip_to`."""
        self._act("skip_to", seconds)

    def stop(self) -> None:
        """See `LiveStream.stop`."""
        self._act("stop")

    def restart(self) -> None:
        """See `LiveStream.restart`."""
        self._act("restart")

    # Questions and settings ---------------------------------------------------------------------------------------

    def ask(self, question: str) -> Iterator[str]:
        """See `LiveStream.ask`. A lost stream ends the answer with StreamLostError."""
        return self._pieces(self.request("ask", question))

    def _pieces(self, number: str) -> Iterator[str]:
        over = False
        try:
            while (piece := self.request("next_piece", number, timeout=PIECE_SECONDS)) is not None:
                yield piece
            over = True
        except HermesError:
            over = True
            raise
        finally:
            if not over and not self.lost:
                self.request("end_answer", number)

    def stop_answer(self) -> None:
        """See `LiveStream.stop_answer`. Does nothing if the stream is lost."""
        if not self.lost:
            self._reported("stop_answer", lost=None)

    def change(self, settings: StreamSettings, sampler: VideoSampler | None = None) -> list[str]:
        """See `LiveStream.change`. Closes `sampler`: the replica opens its own copy of the file."""
        if sampler is not None:
            sampler.close()
        messages: list[str] = self._act("change", settings)
        self.settings = settings
        return messages

    # Display ------------------------------------------------------------------------------------------------------

    def attach(self, make: Callable[[], Any]) -> RayReader:
        """See `StreamControl.attach`."""
        return RayReader(self, self.request("attach", make))

    def status(self) -> LiveView:
        """See `StreamControl.status`."""
        try:
            self._last = self.read("act", "status")
        except StreamLostError:
            return replace(self._last, state="failed", error=LOST, answering=False)
        except HermesError:
            logger.warning("the last status of a stream is shown", exc_info=True)
        return self._last

    def view(self) -> LiveView:
        """See `StreamControl.view`. The snapshot crosses the network only if it is another one than before."""
        known, snapshot = self._snapshot
        try:
            number, same, view = self.request("view", known)
        except HermesError:
            return self.status()
        if same:
            return replace(view, snapshot=snapshot)
        self._snapshot = number, view.snapshot
        found: LiveView = view
        return found

    @property
    def file_fps(self) -> float | None:
        """See `LiveStream.file_fps`; None if the stream is lost."""
        fps: float | None = self._reported("file_fps", lost=None)
        return fps

    @property
    def scores(self) -> tuple[ScoreRecord, ...]:
        """See `LiveStream.scores`; empty if the stream is lost."""
        records: tuple[ScoreRecord, ...] = self._reported("scores", lost=())
        return records

    def thumbnails(self, frames: Sequence[int]) -> dict[int, bytes]:
        """See `LiveStream.thumbnails`."""
        pictures: dict[int, bytes] = self._act("thumbnails", list(frames))
        return pictures

    def token_history(self, frame: int) -> TokenHistory:
        """See `LiveStream.token_history`."""
        history: TokenHistory = self._act("token_history", frame)
        return history

    def save(self, path: str | Path) -> FramePictures:
        """Save the session on the replica, and copy it to `path` on this machine; see `LiveStream.save`."""
        pictures, size = self.request("save")
        try:
            with Path(path).open("wb") as file:
                while (offset := file.tell()) < size:
                    file.write(self.request("saved_part", offset))
        except OSError as error:
            raise FailedError("The file cannot be written.") from error
        found: FramePictures = pictures
        return found

    def close(self) -> None:
        """Free the memory on the replica. Never raises."""
        try:
            self.request("close")
        except HermesError:
            logger.debug("a stream could not be closed", exc_info=True)


def call_replica(replica: ReplicaOfStream, method: str, *arguments: Any, timeout: float = CALL_SECONDS) -> Any:
    """Call a method of a replica.

    Raises:
        StreamLostError: The replica has ended.
        HermesError: From the method, or the replica does not respond.
    """
    if replica.lost.is_set():
        raise StreamLostError(LOST)
    try:
        return replica.actor.call(method, *arguments, timeout=timeout)
    except ActorLostError as error:
        replica.lost.set()
        raise StreamLostError(LOST) from error
    except TimeoutError as error:
        raise ReplicaSilentError(SILENT) from error
