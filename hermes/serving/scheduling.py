"""Scheduling policy of the engine: answers before frames, and every stream its share. No threads, no clock, no models.

The engine passes the streams that wait for the worker, runs the step that `Scheduler.choose` returns, and reports its
measured cost with `Scheduler.charge`.

- Answers take turns, the one served least recently first, so a new question starts before the others continue.
- Answers go before frames. While both wait, frames still receive `FRAME_SHARE` of the worker's time.
- Frames are scheduled by start-time fair queueing on the measured cost: streams with frames waiting receive equal time,
  and a stream that was idle does not accumulate credit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

Kind = Literal["answer", "frames"]
K = TypeVar("K")
"""Identifies a stream; hashable."""
FRAME_SHARE = 0.25
"""Share of the worker's time that frames receive while answers wait, 0 to 1 (exclusive)."""
CONTENDED_CHUNK = 4
"""Maximum number of frames per step while an answer of any visitor waits, to keep the delay short."""
MAX_CREDIT = 1.0
"""Upper bound in seconds of the time that answers may owe to frames."""


@dataclass(frozen=True)
class Work:
    """What a stream has to do.

    Attributes:
        answer: Whether an answer waits to be started, continued or ended.
        frames: Whether frames wait, or the end of the source has to be noted.
    """

    answer: bool = False
    frames: bool = False

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return self.answer or self.frames


@dataclass(frozen=True)
class Choice(Generic[K]):
    """The next step.

    Attributes:
        key: The stream.
        kind: What it does.
        contended: Whether answers and frames both waited; frames should then be processed in small chunks.
    """

    key: K
    kind: Kind
    contended: bool


class Scheduler(Generic[K]):
    """Chooses the next step. Not thread-safe: only the worker uses it."""

    def __init__(self, frame_share: float = FRAME_SHARE) -> None:
        """Start without history.

        Args:
            frame_share: Share of the time that frames receive while answers wait.

        Raises:
            ValueError: The share is not between 0 and 1.
        """
        if not 0 < frame_share < 1:
            raise ValueError(f"The share of frames must be between 0 and 1, not {frame_share}.")
        self._owed_per_second = frame_share / (1 - frame_share)
        self._credit = 0.0  # seconds that answers owe to frames; negative: frames have had more than their share
        self._turn = 0
        self._answered_at: dict[K, int] = {}  # turn of each stream's last answer step
        self._finish: dict[K, float] = {}  # virtual time at which each stream's last frame step finished
        self._now = 0.0  # virtual time: start of the frame step served last

    def choose(self, waiting: Mapping[K, Work]) -> Choice[K] | None:
        """Choose the next step.

        Args:
            waiting: The work of every stream that may run now, in the order in which the streams were opened.

        Returns:
            The step; None if nothing waits.
        """
        answers = [key for key, work in waiting.items() if work.answer]
        frames = [key for key, work in waiting.items() if work.frames]
        if not answers:
            self._credit = 0.0
        contended = bool(answers and frames)
        if answers and not (frames and self._credit > 0):
            key = min(answers, key=lambda key: self._answered_at.get(key, -1))
            return Choice(key, "answer", contended)
        if frames:
            key = min(frames, key=self._start)
            return Choice(key, "frames", contended)
        return None

    def charge(self, choice: Choice[K], seconds: float) -> None:
        """Account for a step.

        Args:
            choice: What `choose` returned.
            seconds: What the step cost, in seconds.
        """
        seconds = max(seconds, 0.0)
        if choice.kind == "answer":
            self._turn += 1
            self._answered_at[choice.key] = self._turn
            if choice.contended:
                self._credit = min(self._credit + seconds * self._owed_per_second, MAX_CREDIT)
            return
        start = self._start(choice.key)
        self._now, self._finish[choice.key] = start, start + seconds
        if choice.contended:
            self._credit -= seconds

    def forget(self, key: K) -> None:
        """Remove a stream that was closed."""
        self._answered_at.pop(key, None)
        self._finish.pop(key, None)

    def _start(self, key: K) -> float:
        """Virtual time at which a stream's next frame step starts."""
        return max(self._finish.get(key, 0.0), self._now)
