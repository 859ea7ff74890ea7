"""Reads recorded runs: moments, pictures and conversation. Needs no model and no torch."""

from __future__ import annotations

import io
import struct
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from hermes.analysis.token_history import ScoreRecord, TokenHistory, token_history_of
from hermes.files.checks import flag, mapping, member, rising, seconds, sequence, shaped, text, within
from hermes.files.jpeg import has_too_many_scans
from hermes.files.limits import RUN_LIMITS, FileTooLargeError, MemoryBudget
from hermes.snapshot import AnswerTrace
from hermes.trace import consistency, moments
from hermes.trace.archive import Parts, begins_with, check_version, described, opened, read_head
from hermes.trace.block import DamagedError, TraceError, declared_size, unpack
from hermes.trace.head import FORMAT, VERSION, Head, RunTurn, parse
from hermes.trace.moments import RunHistory
from hermes.trace.pictures import QUALITY, smaller
from hermes.trace.records import completed, unpack_answer, unpack_history, unpack_past, unpack_scores
from hermes.video.thumbnails import WIDTH as THUMBNAIL_WIDTH
from hermes.view import LiveView, StreamSettings

RUN_HEAD, LAB_HEAD = "run.json", "lab.json"
"""Names of the first part of a run and of a lab run."""
BLOCKS_KEPT = 6
BLOCK_BYTES_KEPT = 64_000_000
"""Limits of the cache of decoded blocks: number, and total declared size in bytes. At least one block is cached."""
_DECODED = 4
"""Memory of a decoded block divided by its declared size."""
SCORED_EVICTIONS = 240
"""Most evictions whose scores of retained tokens are restored; if there are more, evenly spaced ones are chosen."""


@dataclass(frozen=True)
class SettingChange:
    """A change of policy or budget during a run.

    Attributes:
        frames: Number of frames seen at the last moment before the change.
        before: Policy and budget (in tokens per layer) before.
        after: Policy and budget afterwards.
    """

    frames: int
    before: tuple[str, int]
    after: tuple[str, int]


class Run:
    """One recorded run. It never changes, and any thread may read it.

    Attributes:
        head: Metadata.
        memory_bytes: What its file expands to; that of a lab run contains all its memories.
        changes: Changes of policy and budget during the run, oldest first; empty if the run was read as trusted.
        times: Stream time of each recorded moment in seconds, ascending [moments].
        path: The file.
        lane: Index of this memory in a lab run, see `LabRun.lanes`; None if the file holds only this memory.
    """

    def __init__(self, path: Path, head: Head, history: RunHistory, blocks: Sequence[tuple[bytes, tuple[float, ...]]],
                 pictures: Mapping[int, bytes], scores: tuple[ScoreRecord, ...],
                 pasts: tuple[npt.NDArray[np.uint16], ...], lane: int | None = None) -> None:  # fmt: skip
        """Create a run from the parts of a file; see `read`."""
        self.path = path
        self.lane = lane
        self.head = head
        self._history = history
        self._blocks = blocks
        self._pictures = pictures
        self._thumbnails: dict[int, bytes] = {}
        self._scores = scores
        self._pasts = pasts
        self.times: tuple[float, ...] = tuple(at for _, times in blocks for at in times)
        self._starts = [0]
        for _, times in blocks:
            self._starts.append(self._starts[-1] + len(times))
        self.changes: tuple[SettingChange, ...] = ()
        self.memory_bytes = 0
        self._lock = threading.Lock()
        self._decoded: OrderedDict[int, list[LiveView]] = OrderedDict()

    # Metadata -----------------------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """Name in URLs; "" if it has none."""
        return self.head.id

    @property
    def title(self) -> str:
        """Title to display."""
        return self.head.title

    @property
    def about(self) -> str:
        """Description in one or two sentences."""
        return self.head.about

    @property
    def settings(self) -> StreamSettings:
        """The settings at the end of the run."""
        return self.head.settings

    @property
    def chat(self) -> tuple[RunTurn, ...]:
        """Questions and answers, oldest first."""
        return self.head.chat

    @property
    def clip_id(self) -> str:
        """The bundled clip that was played; "" for other sources."""
        return self.head.clip_id

    @property
    def events(self) -> tuple[Mapping[str, Any], ...]:
        """Events of the clip from its truth file; empty if unknown."""
        return self.head.events

    @property
    def seconds(self) -> float:
        """Stream time of the last moment in seconds."""
        return self.times[-1]

    @property
    def frames(self) -> int:
        """Total number of frames."""
        return len(self._history.frame_times)

    @property
    def answers(self) -> tuple[AnswerTrace, ...]:
        """All answers with their attention, oldest first."""
        return tuple(self._history.answers)

    # Moments ------------------------------------------------------------------------------------------------------

    def view(self, seconds: float) -> LiveView:
        """Return the last moment at or before a stream time in seconds; before the first moment, the first."""
        return self.moment(max(bisect_right(self.times, seconds) - 1, 0))

    def moment(self, index: int) -> LiveView:
        """Return a recorded moment by its number, from 0.

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
        with described(self.path):
            views = moments.decode(data, self._history, self._pictures)
            if len(views) != len(times):
                raise DamagedError("The number of moments in a block differs from the header.")
            views = [consistency.checked_view(view, clock) for view, clock in zip(views, times, strict=True)]
        with self._lock:
            self._decoded[number] = views
            while len(self._decoded) > 1 and (
                len(self._decoded) > BLOCKS_KEPT
                or sum(declared_size(self._blocks[kept][0]) for kept in self._decoded) > BLOCK_BYTES_KEPT
            ):
                self._decoded.popitem(last=False)
        return views

    @property
    def pictures(self) -> Mapping[int, bytes]:
        """JPEG by frame, for the frames whose picture was stored."""
        return self._pictures

    def past(self, seconds: float) -> list[npt.NDArray[np.uint16]]:
        """Return the tokens per layer and frame at a few moments before a stream time, uint16 [layers, frames] each."""
        times = self._history.frame_times
        return [kept for kept in self._pasts if times[kept.shape[1] - 1] < seconds]

    def check(self, budget: MemoryBudget) -> None:
        """Decode every part once and check that they are consistent.

        Args:
            budget: Charged with the memory that views of the run need in addition to its parts.

        Raises:
            DamagedError: A part is damaged or inconsistent with the others.
            InvalidValueError: The same, for a single value.
            FileTooLargeError: The run exceeds the budget.
        """
        facts, tokens, patches = [], 0, 0
        kinds: list[tuple[str, int]] = []
        for number in range(len(self._blocks)):
            for view in self._block(number):
                snapshot = view.snapshot
                if snapshot is None:
                    raise DamagedError("A moment has no memory.")
                facts.append(consistency.facts_of(snapshot))
                kinds.append((snapshot.policy, snapshot.budget))
                tokens, patches = max(tokens, len(snapshot.frame)), snapshot.tokens_per_frame
        consistency.check_order(facts)
        layers = facts[0][3]
        consistency.require_views(layers, self.frames, patches, budget)
        consistency.charge_records(min(len(self._scores), SCORED_EVICTIONS), len(facts), tokens, budget)
        consistency.check_history(self._history, layers)
        consistency.check_records(self._scores, layers, self.frames, patches)
        consistency.require_histories(self._scores, layers, self.frames, patches, budget)
        consistency.check_past(self._pasts, layers, self.frames)
        _ = self.records
        self.changes = tuple(
            SettingChange(frames, before, after)
            for (_, frames, *_), (before, after) in zip(facts, pairwise(kinds), strict=False)
            if before != after
        )

    # Pictures and token histories ---------------------------------------------------------------------------------

    def thumbnails(self, frames: Sequence[int]) -> dict[int, bytes]:
        """Return JPEG thumbnails of frames by number, 96 pixels wide; pictures that were not stored are missing."""
        found = {}
        for frame in frames:
            if frame not in self._thumbnails and frame in self._pictures:
                self._thumbnails[frame] = smaller(self._pictures[frame], THUMBNAIL_WIDTH, QUALITY)
            if frame in self._thumbnails:
                found[frame] = self._thumbnails[frame]
        return found

    def picture(self, frame: int) -> bytes | None:
        """Return the JPEG of a frame as stored; None if it was not."""
        return self._pictures.get(frame)

    @cached_property
    def records(self) -> tuple[ScoreRecord, ...]:
        """A score record for every eviction. If there are more than `SCORED_EVICTIONS`, some are thinned."""
        step = -(-len(self._scores) // SCORED_EVICTIONS)
        wanted = {record.sequence for record in self._scores[:: max(step, 1)]}
        complete: dict[int, ScoreRecord] = {}
        thin = {record.sequence: record for record in self._scores}
        for i in range(len(self.times)):
            snapshot = self.moment(i).snapshot
            if snapshot is None or not snapshot.evictions:
                continue
            sequence = snapshot.evictions[-1].sequence
            if sequence in wanted and sequence not in complete and sequence in thin:
                complete[sequence] = completed(thin[sequence], snapshot)
        return tuple(complete.get(record.sequence, record) for record in self._scores)

    def token_history(self, frame: int, seconds: float | None = None) -> TokenHistory:
        """Return the token history of a frame up to a stream time in seconds; None: up to the end."""
        limit = np.inf if seconds is None else seconds
        return token_history_of([record for record in self.records if record.seconds <= limit], frame)


def read(path: str | Path, *, trusted: bool = False) -> Run:
    """Read a recorded run. Nothing in it is executed, and declared sizes are checked before anything is allocated.

    Args:
        path: The file.
        trusted: Whether the file ships with this program: its moments are then decoded on demand. Any other file is decoded
            and checked completely, so that every view of the run can be created.

    Raises:
        TraceError: The file is not a recorded run, is damaged, inconsistent or too large, or has another format version.
    """
    path = Path(path)
    with opened(path) as parts:
        if LAB_HEAD in parts:
            raise TraceError(f"{path.name} is a lab run with several memories, not a run of one memory.")
        if RUN_HEAD not in parts:
            raise TraceError(f"{path.name} is not a recorded run.")
        run = read_run(path, parts)
        if not trusted:
            check_pictures(run.pictures)
            run.check(parts.budget)
        run.memory_bytes = parts.budget.used
        return run


def is_run(path: str | Path) -> bool:
    """Whether a file starts like a recorded run; False if it cannot be read."""
    return begins_with(path, RUN_HEAD)


def read_run(path: Path, parts: Parts, pictures: Mapping[int, bytes] | None = None, lane: int | None = None) -> Run:
    """Read a run from the parts of a file. Its moments are decoded later, see `Run.check`.

    Args:
        path: The file, for messages.
        parts: Its parts, or those of one memory in a lab run.
        pictures: JPEG by frame; None: read them from the parts.
        lane: Index of the memory in a lab run; None if the file is not one.

    Raises:
        TraceError: The run has another format version, or is damaged.
        InvalidValueError: A value is invalid.
        FileTooLargeError: The run exceeds the budget of the file.
    """
    budget = parts.budget
    content = read_head(parts[RUN_HEAD], FORMAT)
    head = parse(content)
    check_version(path.name, content, VERSION)
    listed = sequence(member(content, "answers", "header"), "list of answers", RUN_LIMITS.parts)
    answers = [unpack_answer(parts[text(name, "list of answers", RUN_LIMITS.text)], budget) for name in listed]
    history = unpack_history(parts["history.xz"], answers, budget)
    if pictures is None:
        pictures = read_pictures(parts, len(history.frame_times))
    scored = flag(member(content, "scores", "header"), "header")
    scores = unpack_scores(parts["scores.xz"], budget) if scored else ()
    past = unpack_past(parts["past.xz"], budget)
    return Run(path, head, history, _read_blocks(content, parts), pictures, scores, past, lane)


def _read_blocks(content: dict[str, Any], parts: Parts) -> list[tuple[bytes, tuple[float, ...]]]:
    """Return the blocks of moments with their times in the header, and charge their decoded size."""
    blocks = []
    name = "list of moments"
    for item in sequence(member(content, "moments", "header"), name, RUN_LIMITS.parts):
        block = mapping(item, name)
        times = [
            seconds(at, "time of a moment")
            for at in sequence(member(block, "times", name), "times of a block", moments.MAX_MOMENTS)
        ]
        if not times:
            raise DamagedError("A block has no moments.")
        blocks.append((parts[text(member(block, "part", name), name, RUN_LIMITS.text)], tuple(times)))
    if not blocks:
        raise DamagedError("It has no moments.")
    all_times = [at for _, times in blocks for at in times]
    if len(all_times) > RUN_LIMITS.moments:
        raise FileTooLargeError(f"It has {len(all_times):,} moments, and at most {RUN_LIMITS.moments:,} are read.")
    rising(np.array(all_times), "times of its moments")
    sizes = [declared_size(data) for data, _ in blocks]
    parts.budget.charge(sum(sizes) + _DECODED * max(sizes))
    return blocks


def read_pictures(parts: Parts, frames: int) -> dict[int, bytes]:
    """Read the pictures of a file: JPEG by frame.

    Args:
        parts: The parts of the file.
        frames: Frames of the stream.

    Raises:
        DamagedError: They are missing, are not JPEG pictures, or do not match their list.
        FileTooLargeError: They exceed the budget of the file.
    """
    _, arrays = unpack(parts["pictures.xz"], parts.budget)
    data = parts["pictures.bin"]
    if not {"frames", "lengths"} <= arrays.keys():
        raise DamagedError("The list of its pictures is missing.")
    numbers = shaped(arrays["frames"], (None,), "list of pictures")
    lengths = shaped(arrays["lengths"], numbers.shape, "list of pictures")
    within(numbers, 0, frames - 1, "frames of pictures")
    within(lengths, 1, max(len(data), 1), "lengths of pictures")
    numbers, lengths = numbers.astype(np.int64), lengths.astype(np.int64)
    if (np.diff(numbers) <= 0).any() or lengths.sum() != len(data):
        raise DamagedError("Its pictures do not match their list.")
    stops = np.cumsum(lengths)
    pictures = {
        int(frame): data[stop - length : stop] for frame, length, stop in zip(numbers, lengths, stops, strict=True)
    }
    parts.budget.charge(len(data))
    return pictures


def check_pictures(pictures: Mapping[int, bytes]) -> None:
    """Check that pictures are JPEGs of a size that a recorder produces, and that they can be decoded.

    Raises:
        DamagedError: A picture is not a JPEG, is damaged or too large.
        FileTooLargeError: All together have too many pixels.
    """
    pixels = 0
    for picture in pictures.values():
        if has_too_many_scans(picture):
            raise DamagedError("A picture has more scans than a recorder produces.")
        try:
            with Image.open(io.BytesIO(picture), formats=["JPEG"]) as image:
                width, height = image.size
                if width > RUN_LIMITS.picture_width or height > RUN_LIMITS.picture_height:
                    raise DamagedError(f"A picture has {width} x {height} pixels, more than a recorder produces.")
                pixels += width * height
                if pixels > RUN_LIMITS.picture_pixels:
                    raise FileTooLargeError("Its pictures have too many pixels.")
                image.load()
        except (OSError, ValueError, SyntaxError, IndexError, struct.error, Image.DecompressionBombError) as error:
            raise DamagedError("A picture is damaged or not a JPEG.") from error
