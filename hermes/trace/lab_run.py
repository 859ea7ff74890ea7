"""Reads recorded lab runs: two to four memories on the same frames. Needs no model and no torch.

The format, version 2. A lab run is a zip file:

lab.json                metadata (a `Head` without a conversation), and the folders of the memories
pictures.bin, .xz       a picture for every frame, shared by all memories (see `hermes.trace`)
lanes/N/…               one memory: a run with its own conversation, but without pictures

All memories were asked the same questions at the same times; an answer in state "error" contains the error message.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hermes.files.checks import member, number, sequence, text
from hermes.files.limits import RUN_LIMITS, MemoryBudget
from hermes.trace.archive import begins_with, check_version, opened, read_head
from hermes.trace.block import DamagedError, TraceError
from hermes.trace.head import Head, RunTurn, parse
from hermes.trace.run import LAB_HEAD, RUN_HEAD, Run, check_pictures, read_pictures, read_run

LAB_FORMAT = "hermes-lab"
LAB_VERSION = 2
MIN_LANES, MAX_LANES = 2, 4
"""Minimum and maximum number of memories in a lab run."""
EVENT_RATES = (0.01, 1000.0)
"""Range of the frame rate of events."""


class LabRun:
    """One recorded lab run. It never changes, and any thread may read it.

    Attributes:
        path: The file.
        head: Metadata; its settings are those of the first memory, which all memories share except for the policy.
        lanes: The memories in the order in which they were chosen; each is a `Run` with the shared pictures.
        events_fps: Frame rate of the frame numbers in `head.events`; None: unknown.
        memory_bytes: What the file expands to.
    """

    def __init__(self, path: Path, head: Head, lanes: Sequence[Run], events_fps: float | None) -> None:
        """Create a lab run from the parts of a file; see `read_lab`."""
        self.path = path
        self.head = head
        self.lanes = tuple(lanes)
        self.events_fps = events_fps
        self.memory_bytes = 0

    @property
    def id(self) -> str:
        """Name in URLs; "" if it has none."""
        return self.head.id

    @property
    def title(self) -> str:
        """Title to display."""
        return self.head.title

    @property
    def seconds(self) -> float:
        """Stream time of the last moment of any memory, in seconds."""
        return max(lane.seconds for lane in self.lanes)

    @property
    def questions(self) -> tuple[tuple[RunTurn, ...], ...]:
        """Every question, oldest first, with the turn of each memory."""
        return tuple(zip(*(lane.chat for lane in self.lanes), strict=True))

    def picture(self, frame: int) -> bytes | None:
        """Return the JPEG of a frame; None if it was not stored."""
        return self.lanes[0].picture(frame)

    def check(self, budget: MemoryBudget) -> None:
        """Decode every part of every memory once; see `Run.check`.

        Raises:
            DamagedError: A part is damaged or inconsistent with the others.
            InvalidValueError: The same, for a single value.
            FileTooLargeError: The run exceeds the budget.
        """
        for lane in self.lanes:
            lane.check(budget)


def read_lab(path: str | Path, *, trusted: bool = False) -> LabRun:
    """Read a recorded lab run. Nothing in it is executed, and declared sizes are checked before anything is allocated.

    Args:
        path: The file.
        trusted: Whether the file ships with this program, see `hermes.trace.read`.

    Raises:
        TraceError: The file is not a lab run, is damaged, inconsistent or too large, or has another format version.
    """
    path = Path(path)
    with opened(path) as parts:
        if LAB_HEAD not in parts:
            kind = "a run of one memory, not a lab run" if RUN_HEAD in parts else "not a recorded run"
            raise TraceError(f"{path.name} is {kind}.")
        content = read_head(parts[LAB_HEAD], LAB_FORMAT)
        head = parse(content)
        check_version(path.name, content, LAB_VERSION)
        folders, rate = _listed(content)
        pictures = read_pictures(parts, RUN_LIMITS.frames)
        lanes = [read_run(path, parts.below(folder), pictures, i) for i, folder in enumerate(folders)]
        run = LabRun(path, head, lanes, rate)
        _check_questions(run)
        if any(frame >= max(lane.frames for lane in run.lanes) for frame in pictures):
            raise DamagedError("A picture belongs to a frame that no memory has seen.")
        if not trusted:
            check_pictures(pictures)
            run.check(parts.budget)
        run.memory_bytes = parts.budget.used
        for lane in lanes:
            lane.memory_bytes = parts.budget.used
        return run


def is_lab(path: str | Path) -> bool:
    """Whether a file starts like a recorded lab run; False if it cannot be read."""
    return begins_with(path, LAB_HEAD)


def _listed(content: dict[str, Any]) -> tuple[list[str], float | None]:
    """Return the folders of the memories and the frame rate of the events."""
    folders = sequence(member(content, "lanes", "header"), "list of memories", MAX_LANES)
    rate = content.get("events_fps")
    if len(folders) < MIN_LANES:
        raise DamagedError(f"It does not have {MIN_LANES} to {MAX_LANES} memories.")
    names = [text(folder, "list of memories", RUN_LIMITS.text) for folder in folders]
    if len(set(names)) != len(names):
        raise DamagedError("It lists a memory twice.")
    return names, None if rate is None else float(number(rate, "frame rate of the events", *EVENT_RATES))


def _check_questions(run: LabRun) -> None:
    asked = {tuple((turn.question, turn.at) for turn in lane.chat) for lane in run.lanes}
    if len(asked) != 1:
        raise DamagedError("Its memories were asked different questions.")
