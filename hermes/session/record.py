"""Statistics and logs of a session: frame times, evictions, the conversation and the last answer.

Everything that grows with the stream is stored in flat arrays: a few bytes per frame and under 100 bytes per eviction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from hermes.snapshot import AnswerTrace, Eviction, Evictions


@dataclass
class SessionStats:
    """Counters of a session; wall times in seconds.

    Attributes:
        frames_seen: Frames that the model has seen.
        tokens_seen: Tokens of these frames before the policy reduced them.
        encode_seconds: Time for preprocessing, vision tower and prefill.
        management_seconds: Time for guidance, eviction and re-indexing.
        questions: Questions answered.
        first_token_seconds: Time from the last question to its first token; None before the first.
    """

    frames_seen: int = 0
    tokens_seen: int = 0
    encode_seconds: float = 0.0
    management_seconds: float = 0.0
    questions: int = 0
    first_token_seconds: float | None = None


class GrowingRows:
    """Append-only rows of one type. Views of earlier rows never change."""

    def __init__(self, dtype: npt.DTypeLike, width: int | None = None) -> None:
        """Start empty.

        Args:
            dtype: Type of the values; uint16 is widened to int64 at the first value that does not fit.
            width: Values per row; None: rows are scalars.
        """
        self._storage: npt.NDArray[Any] = np.empty((64,) if width is None else (64, width), dtype)
        self._length = 0

    def extend(self, rows: npt.NDArray[Any]) -> None:
        """Append rows [rows] or [rows, width]."""
        stop = self._length + len(rows)
        kind = self._storage.dtype
        if kind == np.uint16 and rows.size and not 0 <= rows.min() <= rows.max() <= np.iinfo(np.uint16).max:
            kind = np.dtype(np.int64)
        if stop > len(self._storage) or kind != self._storage.dtype:
            room = max(stop, len(self._storage) * 3 // 2)
            grown = np.empty((room, *self._storage.shape[1:]), kind)
            grown[: self._length] = self._storage[: self._length]
            self._storage = grown
        self._storage[self._length : stop] = rows
        self._length = stop

    @property
    def rows(self) -> npt.NDArray[Any]:
        """The rows so far, a read-only view."""
        view = self._storage[: self._length]
        view.flags.writeable = False
        return view


class Times:
    """Time of every frame in seconds, 8 bytes per frame."""

    def __init__(self, seconds: Sequence[float] | npt.NDArray[np.floating] = ()) -> None:
        """Start with these times, in ascending order."""
        self._rows = GrowingRows(np.float64)
        self.extend(seconds)

    def extend(self, seconds: Sequence[float] | npt.NDArray[np.floating]) -> None:
        """Append the times of further frames."""
        self._rows.extend(np.asarray(seconds, np.float64))

    def __len__(self) -> int:
        return len(self._rows.rows)

    @property
    def newest(self) -> float:
        """Time of the newest frame; nan before the first."""
        rows = self._rows.rows
        return float(rows[-1]) if len(rows) else float("nan")

    @property
    def array(self) -> npt.NDArray[np.float64]:
        """All times, a read-only view that never changes, float64 [frames]."""
        return self._rows.rows


class EvictionLog:
    """The evictions of a session; snapshots hold its `view`."""

    def __init__(self, evictions: Iterable[Eviction] = ()) -> None:
        """Start with these evictions, oldest first."""
        self._columns: dict[str, GrowingRows] = {}
        for eviction in evictions:
            self.append(eviction)

    @classmethod
    def of(cls, evictions: Evictions) -> EvictionLog:
        """Return a log with copies of the columns of `evictions`."""
        log = cls()
        for item in fields(evictions):
            values = getattr(evictions, item.name)
            rows = GrowingRows(values.dtype, values.shape[1] if values.ndim > 1 else None)
            rows.extend(values)
            log._columns[item.name] = rows
        return log

    def append(self, eviction: Eviction) -> None:
        """Add an eviction; all have the same number of layers."""
        if not self._columns:
            layers = len(eviction.evicted)
            self._columns = {
                "sequence": GrowingRows(np.int64),
                "seconds": GrowingRows(np.float64),
                "frames_seen": GrowingRows(np.int64),
                "evicted": GrowingRows(np.uint16, layers),
                "merged": GrowingRows(np.uint16, layers),
                "reindexed": GrowingRows(np.bool_, layers),
            }
        layers = self._columns["evicted"].rows.shape[1]
        for name, column in self._columns.items():
            value = np.asarray(getattr(eviction, name))
            if value.ndim and not len(value):  # nothing was re-indexed
                value = np.zeros(layers, np.bool_)
            column.extend(value[None])

    def view(self) -> Sequence[Eviction]:
        """Return the evictions so far; later evictions do not change the returned sequence."""
        return Evictions(**{name: column.rows for name, column in self._columns.items()}) if self._columns else ()

    @property
    def nbytes(self) -> int:
        """Bytes of the columns."""
        return sum(column.rows.nbytes for column in self._columns.values())


@dataclass
class SessionHistory:
    """The history of a session: everything it stores besides the cache."""

    times: Times = field(default_factory=Times)
    evictions: EvictionLog = field(default_factory=EvictionLog)
    conversation: tuple[str, str] | None = None
    answer: AnswerTrace | None = None
    sequence: int = 0
