"""Results of a load test with visitors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Spread:
    """Count, median, 95th percentile and maximum of measured times in seconds; nan without values."""

    count: int
    p50: float
    p95: float
    max: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarise values; percentiles by the nearest-rank method."""
        ordered = sorted(values)
        if not ordered:
            return cls(0, math.nan, math.nan, math.nan)
        rank = [ordered[max(0, math.ceil(share * len(ordered)) - 1)] for share in (0.5, 0.95)]
        return cls(len(ordered), rank[0], rank[1], ordered[-1])


@dataclass(frozen=True)
class Resources:
    """Resources of the server process and its children.

    Attributes:
        rss_start: Resident bytes with the model loaded, before the first visitor.
        rss_warm: Resident bytes once every visitor plays.
        rss_end: Resident bytes at the end.
        per_visitor: Growth from `rss_start` to `rss_end` per playing visitor, in bytes.
        server_cores: CPU seconds of the server per second of the measurement.
        client_cores: CPU seconds of the load generator per second of the measurement.
    """

    rss_start: int
    rss_warm: int
    rss_end: int
    per_visitor: float
    server_cores: float
    client_cores: float


@dataclass(frozen=True)
class VisitorsBench:
    """Results of one load test. Times are in seconds.

    Attributes:
        visitors: Number of visitors.
        playing: Number of visitors whose stream had a live slot at the end.
        waiting: Number of visitors that waited for a live slot at the end.
        full: Number of visitors refused because the server is full, with a clear message.
        seconds: Length of the measurement.
        first_token: Time from sending a question to the first text of its answer.
        answer: Time from sending a question to the end of its answer.
        poll: Time from the moment at which an update is due, four times per second, until the visitor receives it.
        errors: Number of errors by kind.
        frames: Frames ingested during the measurement by each playing visitor.
        behind: Largest delay of a stream behind its clip.
        dropped: Frames that were dropped or could not be decoded.
        resources: Resources of the server; None if the server was not started by this command.
    """

    visitors: int
    playing: int
    waiting: int
    full: int
    seconds: float
    first_token: Spread
    answer: Spread
    poll: Spread
    errors: Mapping[str, int]
    frames: tuple[int, ...]
    behind: float
    dropped: int
    resources: Resources | None

    def as_dict(self) -> dict[str, Any]:
        """Return the results for JSON; times without values are None."""
        frames = self.frames or (0,)
        fairness = {"min": min(frames), "max": max(frames), "mean": sum(frames) / len(frames)}
        return _without_nan({**asdict(self), "frames": list(self.frames), "frames_per_visitor": fairness})


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nan(part) for name, part in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
