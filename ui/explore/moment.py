"""One moment of a stream or recorded run, with everything that the figures of the Explore tab need."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from hermes.analysis.evidence_text import time_in_words
from hermes.analysis.token_history import ScoreRecord, TokenHistory, token_history_of
from hermes.snapshot import Snapshot
from hermes.trace import Run


@dataclass(frozen=True)
class ExploredMoment:
    """The memory at one moment, and the time before it.

    Attributes:
        title: Title of the stream or run.
        policy: Title of the policy.
        snapshot: The memory; None if no frame was seen.
        seconds: Stream time in seconds.
        run: The recorded run; None for a live stream.
        moments: Earlier moments of a live stream and this one, oldest first, see `ui.board.trail`.
        scores: Score records of a live stream up to this moment.
        recording: Name of the file to which the live stream was recorded; "" if it was not.
        live_lane: Index of the method in a live comparison; None for a stream or recorded run.
    """

    title: str
    policy: str
    snapshot: Snapshot | None
    seconds: float
    run: Run | None = None
    moments: Sequence[Snapshot] = ()
    scores: tuple[ScoreRecord, ...] = ()
    recording: str = ""
    live_lane: int | None = None

    @property
    def lane(self) -> int | None:
        """Index of the method in its comparison, live or recorded; None for a stream or a run of one memory."""
        return self.live_lane if self.run is None else self.run.lane

    @property
    def label(self) -> str:
        """Title, policy and time, in one line."""
        named = self.title if self.policy in self.title else f"{self.title}, {self.policy}"
        return f"{named}, at {time_in_words(self.seconds)}"

    def token_history(self, frame: int) -> TokenHistory:
        """Return the token history of a frame up to this moment."""
        if self.run is not None:
            return self.run.token_history(frame, self.seconds)
        return token_history_of([record for record in self.scores if record.seconds <= self.seconds], frame)

    def is_same(self, other: ExploredMoment) -> bool:
        """Whether the other moment shows the same state of the same memory."""
        if self.run is None:
            return self.snapshot is other.snapshot
        return self.run is other.run and self.seconds == other.seconds


def of_run(run: Run, position: float) -> ExploredMoment:
    """Return the moment of a recorded run at a stream time.

    Raises:
        TraceError: The run is damaged.
    """
    index = max(bisect_right(run.times, position) - 1, 0)
    exact, short = run.times[index], round(run.times[index], 2)
    seconds = short if max(bisect_right(run.times, short) - 1, 0) == index else exact
    policy = str(run.head.policy.get("title") or run.settings.policy)
    return ExploredMoment(run.title, policy, run.moment(index).snapshot, seconds, run=run)
