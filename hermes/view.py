"""What crosses between a page and a stream: the settings that go in, the view that comes out. No torch, no threads."""

from __future__ import annotations

from dataclasses import dataclass

from hermes.errors import HermesError
from hermes.snapshot import Snapshot


@dataclass(frozen=True)
class StreamSettings:
    """What a visitor can choose.

    Attributes:
        model: Name of the model.
        policy: Name of the policy.
        budget: Video tokens that a layer may hold.
        guidance: "forward" or "embedding", for policies that measure guidance.
        fps: Frames a second that are sampled, above 0 to 30.
        chunk: Most frames that are prefilled at once.
        speed: Seconds of video a second; `inf`: as fast as the model can.
        changed: Settings of the policy that differ from their defaults, as (name, value); see `Policy.settings`.
    """

    model: str = "pocket"
    policy: str = "hermes"
    budget: int = 512
    guidance: str = "forward"
    fps: float = 2.0
    chunk: int = 16
    speed: float = 1.0
    changed: tuple[tuple[str, bool | float | str], ...] = ()

    def check(self) -> None:
        """Raise HermesError where a number is out of range."""
        if not 0 < self.fps <= 30:
            raise HermesError(f"The frame rate must lie above 0 and be at most 30 frames a second, not {self.fps:g}.")
        if not self.speed > 0:
            raise HermesError(f"The speed must be above 0, not {self.speed:g}.")


@dataclass(frozen=True)
class LiveView:
    """What a page shows of a stream, as of the last step; taking it never waits for the model.

    Attributes:
        state: "empty", "playing", "paused", "ended" or "failed".
        source: Title of the source; "" without one.
        clock: Time of the newest frame that the model has seen, in seconds; nan before the first.
        duration: Length of the file in seconds; None for a camera.
        behind: Seconds that the model is behind the source.
        frame_jpeg: The newest frame that the model has seen; None before the first.
        frame_index: Its number; -1 before the first.
        snapshot: The memory; None before the first step.
        dropped: Camera frames left out because newer ones had come.
        skipped: Frames of the file that could not be decoded.
        ingest_fps: Frames a second that the model takes when it has work: preparing, encoding and management.
        first_token_ms: Time to first token of the last answer; None before the first.
        answering: Whether an answer is being decoded.
        error: Why the stream failed, as a sentence.
        notes: Sentences about the file for the user, such as gaps in its times that were shortened.
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
