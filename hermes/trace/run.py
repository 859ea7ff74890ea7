"""A recorded run, read from its file: any moment of it, its pictures, its conversation. Needs no model and no torch."""

from __future__ import annotations

import itertools
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hermes.life import Life, ScoreRecord, life_of
from hermes.live_view import LiveView, StreamSettings
from hermes.snapshot import AnswerTrace
from hermes.thumbnails import WIDTH as THUMBNAIL_WIDTH
from hermes.trace import moments
from hermes.trace.archive import Parts, begins_with, check_version, opened
from hermes.trace.block import DamagedError, TraceError, unpack
from hermes.trace.head import FORMAT, VERSION, Head, Turn, number, parse
from hermes.trace.moments import History
from hermes.trace.pictures import QUALITY, smaller
from hermes.trace.records import completed, unpack_answer, unpack_history, unpack_past, unpack_scores

RUN_HEAD, LAB_HEAD = "run.json", "lab.json"
"""The part that a file begins with: of a run, of a lab run."""
BLOCKS_KEPT = 6
STATES = ("empty", "playing", "paused", "ended", "failed")
SCORED_EVICTIONS = 240
"""Evictions of which the scores of tokens that stayed are made again; of more, evenly chosen ones."""


class Run:
    """One recorded run. It never changes, and any thread may read it.

    Attributes:
        head: What it says of itself.
        times: Stream time of each recorded moment, in seconds, never falling [moments].
        path: The file it was read from.
    """

    def __init__(self, path: Path, head: Head, history: History, blocks: Sequence[tuple[bytes, tuple[float, ...]]],
                 pictures: Mapping[int, bytes], scores: tuple[ScoreRecord, ...],
                 pasts: tuple[npt.NDArray[np.uint16], ...]) -> None:  # fmt: skip
        """Take the parts of a file; see `read`."""
        self.path = path
        self.head = head
        self._history = history
        self._blocks = blocks
        self._pictures = pictures
        self._scores = scores
        self._pasts = pasts
        self.times: tuple[float, ...] = tuple(at for _, times in blocks for at in times)
        self._starts = [0]
        for _, times in blocks:
            self._starts.append(self._starts[-1] + len(times))
        self._lock = threading.Lock()
        self._decoded: OrderedDict[int, list[LiveView]] = OrderedDict()

    # What it says of itself ---------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """Its name in addresses; "" without one."""
        return self.head.id

    @property
    def title(self) -> str:
        """Its name for people."""
        return self.head.title

    @property
    def about(self) -> str:
        """What it shows."""
        return self.head.about

    @property
    def settings(self) -> StreamSettings:
        """The settings that it ran under."""
        return self.head.settings

    @property
    def chat(self) -> tuple[Turn, ...]:
        """Questions and answers, oldest first."""
        return self.head.chat

    @property
    def clip_id(self) -> str:
        """The bundled clip that was played; "" for other sources."""
        return self.head.clip_id

    @property
    def events(self) -> tuple[Mapping[str, Any], ...]:
        """What happens in the clip, as its truth file lists it; empty where nobody knows."""
        return self.head.events

    @property
    def seconds(self) -> float:
        """Stream time of its last moment, in seconds."""
        return self.times[-1]

    @property
    def frames(self) -> int:
        """Frames that were seen altogether."""
        return len(self._history.frame_times)

    @property
    def answers(self) -> tuple[AnswerTrace, ...]:
        """Every answer with what it read, oldest first."""
        return tuple(self._history.answers)

    # Moments ------------------------------------------------------------------------------------------------------

    def view(self, seconds: float) -> LiveView:
        """The stream as it was recorded last at or before a stream time; before the first moment, the first."""
        return self.moment(max(bisect_right(self.times, seconds) - 1, 0))

    def moment(self, index: int) -> LiveView:
        """The recorded moment of a number, from 0.

        Raises:
            IndexError: There is no such moment.
        """
        if not 0 <= index < len(self.times):
            raise IndexError(index)
        block = bisect_right(self._starts, index) - 1
        return self._block(block)[index - self._starts[block]]

    def _block(self, number: int) -> list[LiveView]:
        with self._lock:
            views = self._decoded.get(number)
            if views is not None:
                self._decoded.move_to_end(number)
                return views
        data, times = self._blocks[number]
        try:
            views = [_checked(view) for view in moments.decode(data, self._history, self._pictures)]
            if len(views) != len(times):
                raise DamagedError("It does not have the moments that it says.")  # noqa: TRY301
        except DamagedError as error:
            raise TraceError(f"{self.path.name} is damaged. {error}") from error
        with self._lock:
            self._decoded[number] = views
            while len(self._decoded) > BLOCKS_KEPT:
                self._decoded.popitem(last=False)
        return views

    def past(self, seconds: float) -> list[npt.NDArray[np.uint16]]:
        """Tokens of each frame that each layer held at a few moments before a stream time, uint16 [layers, frames each]."""
        times = self._history.frame_times
        return [kept for kept in self._pasts if times[kept.shape[1] - 1] < seconds]

    def check(self) -> None:
        """Read all of it once, as is wise with a file from somebody else; `read` looks at moments only when they are shown.

        Raises:
            TraceError: Some of it is damaged.
        """
        for index in self._starts[:-1]:
            self.moment(index)
        try:
            _ = self.records
        except (DamagedError, ValueError, IndexError) as error:
            raise TraceError(f"{self.path.name} is damaged. Its scores cannot be read.") from error

    # Pictures and lives -------------------------------------------------------------------------------------------

    def thumbnails(self, frames: Sequence[int]) -> dict[int, bytes]:
        """JPEG thumbnails of frames by number, 96 pixels wide; those that were not kept are left out."""
        pictures = self._pictures
        return {i: smaller(pictures[i], THUMBNAIL_WIDTH, QUALITY) for i in frames if i in pictures}

    def picture(self, frame: int) -> bytes | None:
        """The JPEG of a frame as large as it was kept; None where it was not."""
        return self._pictures.get(frame)

    @cached_property
    def records(self) -> tuple[ScoreRecord, ...]:
        """A score record for every eviction. Of runs with many, some tell only what left; see `SCORED_EVICTIONS`."""
        step = -(-len(self._scores) // SCORED_EVICTIONS)
        wanted = {record.sequence for record in self._scores[:: max(step, 1)]}
        whole: dict[int, ScoreRecord] = {}
        thin = {record.sequence: record for record in self._scores}
        for i in range(len(self.times)):
            snapshot = self.moment(i).snapshot
            if snapshot is None or not snapshot.evictions:
                continue
            sequence = snapshot.evictions[-1].sequence
            if sequence in wanted and sequence not in whole and sequence in thin:
                whole[sequence] = completed(thin[sequence], snapshot)
        return tuple(whole.get(record.sequence, record) for record in self._scores)

    def life(self, frame: int, seconds: float | None = None) -> Life:
        """The life of a frame up to a stream time; None: to the end."""
        limit = np.inf if seconds is None else seconds
        return life_of([record for record in self.records if record.seconds <= limit], frame)


def read(path: str | Path) -> Run:
    """Read a recorded run. Files may come from anybody: sizes are checked, and nothing in them is executed.

    Raises:
        TraceError: It is no recorded run, is damaged, or was written by a newer version; the message says which.
    """
    path = Path(path)
    with opened(path) as parts:
        if LAB_HEAD in parts:
            raise TraceError(f"{path.name} is a lab run: it holds several memories, not one.")
        return read_run(path, parts)


def is_run(path: str | Path) -> bool:
    """Whether a file begins like a recorded run; nothing else of it is looked at."""
    return begins_with(path, RUN_HEAD)


def read_run(path: Path, parts: Parts, pictures: Mapping[int, bytes] | None = None) -> Run:
    """A run out of the parts of a file.

    Args:
        path: The file, for messages.
        parts: Its parts, or those of one memory in a lab run.
        pictures: JPEG by frame; None: the parts have the run's own.

    Raises:
        TraceError: It is no recorded run, is damaged, or was written by a newer version.
    """
    if RUN_HEAD not in parts:
        raise TraceError(f"{path.name} is not a recorded run.")
    check_version(path.name, parts[RUN_HEAD], FORMAT, VERSION)
    head, content = parse(parts[RUN_HEAD])
    try:
        names = [str(name) for name in content["answers"]]
        blocks = [
            (str(block["part"]), tuple(float(number(at)) for at in block["times"])) for block in content["moments"]
        ]
        scored = bool(content["scores"])
    except (KeyError, TypeError) as error:
        raise DamagedError("Its list of parts cannot be read.") from error
    times = [at for _, stretch in blocks for at in stretch]
    if not times or any(not stretch for _, stretch in blocks) or any(b < a for a, b in itertools.pairwise(times)):
        raise DamagedError("The times of its moments go back, or there are none.")
    if pictures is None:
        pictures = read_pictures(parts)
    history = unpack_history(parts["history.xz"], [unpack_answer(parts[name]) for name in names])
    scores = unpack_scores(parts["scores.xz"]) if scored else ()
    pasts = unpack_past(parts["past.xz"])
    run = Run(path, head, history, [(parts[name], stretch) for name, stretch in blocks], pictures, scores, pasts)
    layers = run.moment(0).snapshot
    if pasts and (layers is None or len(pasts[0]) != layers.num_layers or pasts[-1].shape[1] > run.frames):
        raise DamagedError("What it held before is of another stream.")
    return run


def read_pictures(parts: Parts) -> dict[int, bytes]:
    """The pictures of a file: JPEG by frame.

    Raises:
        DamagedError: They are missing, or do not fit their list.
    """
    _, arrays = unpack(parts["pictures.xz"])
    data = parts["pictures.bin"]
    try:
        frames, lengths = arrays["frames"].astype(np.int64), arrays["lengths"].astype(np.int64)
    except KeyError as error:
        raise DamagedError("The list of its pictures is missing.") from error
    if frames.shape != lengths.shape or (lengths < 0).any() or lengths.sum() != len(data):
        raise DamagedError("Its pictures do not fit their list.")
    stops = np.cumsum(lengths)
    return {int(frame): data[stop - length : stop] for frame, length, stop in zip(frames, lengths, stops, strict=True)}


def _checked(view: LiveView) -> LiveView:
    """A view whose plain values are what they should be."""
    snapshot = view.snapshot
    if view.state not in STATES or not isinstance(view.source, str) or snapshot is None:
        raise DamagedError("A moment is in a state that is not known.")
    numbers: tuple[float, ...] = (
        view.clock,
        view.behind,
        view.ingest_fps,
        view.dropped,
        view.skipped,
        view.frame_index,
    )
    numbers += (
        snapshot.seconds,
        snapshot.budget,
        snapshot.tokens_seen,
        snapshot.cache_bytes,
        snapshot.full_cache_bytes,
    )
    maybe = (view.duration, view.first_token_ms)
    for value in (*numbers, *(value for value in maybe if value is not None)):
        number(value)
    if len(snapshot.grid) != 2 or not all(isinstance(side, int) and side > 0 for side in snapshot.grid):
        raise DamagedError("A moment has frames without tokens.")
    if snapshot.tiers.ndim != 1 or not np.isin(snapshot.tiers, (0, 1, 2)).all():
        raise DamagedError("A moment has layers in a tier that is not known.")
    return replace(view, error=None if view.error is None else str(view.error))
