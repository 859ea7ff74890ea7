"""Settings and views exchanged between a page and a stream. Plain data, without torch or threads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hermes.errors import HermesError
from hermes.recognition import Recognised
from hermes.snapshot import Snapshot
from hermes.video.limits import MAX_SIDE, MIN_RATE

GATHER_SECONDS: Final = 2
"""Value of `StreamSettings.gather` in the page."""


@dataclass(frozen=True)
class StreamSettings:
    """Settings of a stream.

    Attributes:
        model: Name of the model.
        policy: Name of the policy.
        budget: Video tokens that a layer may hold.
        guidance: "forward" or "embedding", for policies that measure guidance.
        fps: Sampled frames per second, 0.001 to 30.
        chunk: Maximum number of frames per prefill.
        speed: Playback speed in seconds of video per second, at least 0.001; `inf`: as fast as possible.
        changed: Settings of the policy that differ from their defaults, as (name, value); see `Policy.settings`.
        max_side: Largest width or height of a video's frames in pixels, 16 to 4,096; larger frames are scaled down.
        gather: Longest time in seconds that a camera frame waits to be encoded together with later ones, 0 to 60; 0: every
            frame is encoded alone. A question does not wait.
    """

    model: str = "pocket"
    policy: str = "hermes"
    budget: int = 512
    guidance: str = "forward"
    fps: float = 2.0
    chunk: int = 16
    speed: float = 1.0
    changed: tuple[tuple[str, bool | float | str], ...] = ()
    max_side: int = MAX_SIDE
    gather: float = 0.0

    def check(self) -> None:
        """Check the ranges of the numbers.

        Raises:
            HermesError: A number is out of range.
        """
        if not MIN_RATE <= self.fps <= 30:
            raise HermesError(f"The frame rate must be {MIN_RATE:g} to 30 frames per second, not {self.fps:g}.")
        if not self.speed >= MIN_RATE:
            raise HermesError(f"The speed must be at least {MIN_RATE:g}, not {self.speed:g}.")
        if not 16 <= self.max_side <= 4096:
            raise HermesError(f"The longer side of frames must have 16 to 4,096 pixels, not {self.max_side:,}.")
        if not 0 <= self.gather <= 60:
            raise HermesError(f"Camera frames can wait for 0 to 60 seconds, not {self.gather:g}.")


@dataclass(frozen=True)
class LiveView:
    """State of a stream after its last step, for display.

    Attributes:
        state: "empty", "playing", "paused", "ended" or "failed".
        source: Title of the source; "" without one.
        clock: Stream time of the newest frame that the model has seen, in seconds; nan before the first.
        duration: Length of the file in seconds; None for a camera.
        behind: Delay of the model behind the source in seconds.
        frame_jpeg: The newest frame that the model has seen; None before the first.
        frame_index: Number of this frame; -1 before the first.
        snapshot: The memory; None before the first step.
        dropped: Number of camera frames dropped in favour of newer ones.
        skipped: Number of frames of the file that could not be decoded.
        ingest_fps: Throughput in frames per second, idle time excluded: preprocessing, encoding and memory management.
        first_token_ms: Time to first token of the last answer in milliseconds; None before the first.
        answering: Whether an answer is being decoded.
        error: Error message if the stream failed, as a sentence.
        notes: Notes about the file for the user, such as shortened gaps in its times.
        recognised: What the vision tower recognised in the newest frame of `snapshot`; None if the model's does not.
    """

    state: str
    source: str
    clock: float
    duration: float | None
    behind: float
    frame_jpeg: bytes | None
    frame_index: int
    snapshot: Snapshot | None
    dropped: int
    skipped: int
    ingest_fps: float
    first_token_ms: float | None
    answering: bool
    error: str | None
    notes: tuple[str, ...] = ()
    recognised: Recognised | None = None
