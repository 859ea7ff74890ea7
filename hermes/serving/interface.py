"""What a page calls: an engine, the streams of its visitors, and readers of a stream.

`hermes.serving.engine.Engine` runs the streams in this process, `hermes.serving.ray_engine.RayEngine` on the actors of a Ray
cluster. All arguments and results can cross the network. A reader is an object that stays next to a stream, so that what a
page derives from a memory several times per second is computed where the memory is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from hermes.errors import HermesError
from hermes.view import LiveView, StreamSettings

if TYPE_CHECKING:
    from hermes.analysis.token_history import ScoreRecord, TokenHistory
    from hermes.backbones.downloads import Confirm, Progress
    from hermes.memory.encoded import Layout
    from hermes.serving.model_info import ModelInfo
    from hermes.serving.roles import Host
    from hermes.video import VideoSampler
    from hermes.video.thumbnails import FramePictures


class StreamLostError(HermesError):
    """The process that ran a stream has ended."""


class StreamReader(Protocol):
    """A reader that was attached to a stream."""

    def call(self, method: str, *arguments: Any) -> Any:
        """Call `method(stream, *arguments)` of the reader where the stream runs, and return its result.

        Raises:
            StreamLostError: See `StreamControl.lost`.
            HermesError: From the method.
        """


class PlacedObject(Protocol):
    """An object that was created next to an engine, see `StreamEngine.place`."""

    @property
    def lost(self) -> bool:
        """Whether the process of the object has ended."""

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the object where it is, and return its result.

        Raises:
            StreamLostError: See `lost`.
            HermesError: From the method.
        """

    def discard(self) -> None:
        """Drop the object. Never raises."""


class StreamControl(Protocol):
    """A visitor's stream. Thread-safe; see `hermes.serving.stream.LiveStream` for the methods and their errors.

    A stream that runs elsewhere can be lost: then `lost` is true, `status` and `view` report the error, and most other
    methods raise HermesError.
    """

    @property
    def settings(self) -> StreamSettings:
        """The settings."""

    @property
    def lost(self) -> bool:
        """Whether the process that ran the stream has ended, and the memory with it."""

    @property
    def freed(self) -> bool:
        """Whether the memory is gone: freed for other visitors, or lost."""

    @property
    def file_fps(self) -> float | None:
        """Mean frame rate of the file in frames per second; None if it is unknown, or for a camera."""

    @property
    def scores(self) -> Sequence[ScoreRecord]:
        """Score records of all evictions so far, oldest first."""

    def play(self, path: str | Path, title: str = "", sampler: VideoSampler | None = None) -> None:
        """Play a video file from its start with an empty memory."""

    def camera(self) -> None:
        """Accept camera frames with an empty memory."""

    def restore(
        self,
        session: str | Path,
        title: str = "",
        path: str | Path | None = None,
        pictures: FramePictures | None = None,
    ) -> None:
        """Continue a saved session."""

    def offer(self, frame: npt.NDArray[np.uint8], seconds: float | None = None) -> None:
        """Offer a camera frame, which may be dropped."""

    def put(self, frames: Sequence[npt.NDArray[np.uint8]], seconds: Sequence[float] | None, timeout: float) -> None:
        """Add camera frames, and wait for room."""

    def pause(self) -> None:
        """Stop the clock."""

    def resume(self) -> None:
        """Restart the clock."""

    def yield_slot(self) -> None:
        """Give up the live slot of a paused stream."""

    def skip_to(self, seconds: float) -> None:
        """Process the file up to a stream time as fast as possible, then pause."""

    def stop(self) -> None:
        """End the source."""

    def restart(self) -> None:
        """Play the same source from its start."""

    def ask(self, question: str) -> Iterator[str]:
        """Ask a question and return the pieces of the answer."""

    def stop_answer(self) -> None:
        """Stop the answer in progress."""

    def change(self, settings: StreamSettings, sampler: VideoSampler | None = None) -> list[str]:
        """Change settings and return messages for the user. Closes `sampler`."""

    def attach(self, make: Callable[[], Any]) -> StreamReader:
        """Create a reader with `make`, which must be picklable, where the stream runs. It replaces the previous reader."""

    def status(self) -> LiveView:
        """Return the state without memory and picture (`snapshot` and `frame_jpeg` are None). Cheap, and never raises."""

    def view(self) -> LiveView:
        """Return the complete state. Never raises."""

    def thumbnails(self, frames: Sequence[int]) -> dict[int, bytes]:
        """Return JPEG thumbnails of frames by number."""

    def token_history(self, frame: int) -> TokenHistory:
        """Return the token history of a frame."""

    def save(self, path: str | Path) -> FramePictures:
        """Save the session to a file of this machine, and return its pictures."""

    def close(self) -> None:
        """Free the memory. Never raises."""


class StreamEngine(Protocol):
    """Loads models and runs streams; see `hermes.serving.engine.Engine` for the methods and their errors."""

    @property
    def free_slots(self) -> int:
        """Number of free live slots."""

    def load(self, name: str, progress: Progress | None = None, confirm: Confirm | None = None) -> ModelInfo:
        """Load a model."""

    def check(self, settings: StreamSettings) -> None:
        """Check whether a stream could be opened with these settings."""

    def layout(self, model: str, height: int, width: int) -> Layout:
        """Return the token layout of a model for frames of a size."""

    def achievable_fps(self, settings: StreamSettings) -> float | None:
        """Estimate the frames per second of a new stream."""

    def open(self, settings: StreamSettings, replacing: Any = None) -> StreamControl:
        """Open a stream."""

    def place(self, make: Callable[[Host], Any], model: str, replacing: PlacedObject | None = None) -> PlacedObject:
        """Create an object that schedules its own work, such as a comparison of several memories, next to an engine.

        Args:
            make: Creates the object for an engine; must be picklable.
            model: The model that the object uses.
            replacing: An object of the same visitor, whose engine is used again.

        Raises:
            BusyError: All live slots are taken.
            HermesError: The model is not loaded, or from `make`.
        """

    def is_live(self, stream: Any) -> bool:
        """Return whether a stream holds a live slot."""

    def enter(self, stream: Any, replacing: Any = None) -> None:
        """Give a stream a live slot, or that of another stream of the same visitor."""

    def finish(self, stream: Any) -> None:
        """Free the live slot of a stream."""

    def on_free(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever a live slot may have become free."""

    def close(self) -> None:
        """Close all streams."""
