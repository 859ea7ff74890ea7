"""A recorded lab run, read from its file: two to four memories on the same frames. Needs no model and no torch.

The format, version 1. A lab run is a zip file:

lab.json                what it says of itself (a `Head` without a conversation), and the folders of its memories
pictures.bin, .xz       a picture for every frame, once for all, as in a run (see `hermes.trace`)
lanes/N/…               one memory: a run as any other, with its own conversation, but without pictures

All memories were asked the same questions at the same times; one that could not answer says why in state "error".
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hermes.trace.archive import begins_with, check_version, opened
from hermes.trace.block import DamagedError, TraceError
from hermes.trace.head import Head, Turn, number, parse
from hermes.trace.run import LAB_HEAD, RUN_HEAD, Run, read_pictures, read_run

LAB_FORMAT = "hermes-lab"
LAB_VERSION = 1
LEAST_LANES, MOST_LANES = 2, 4
"""How many memories run side by side."""


class LabRun:
    """One recorded lab run. It never changes, and any thread may read it.

    Attributes:
        path: The file it was read from.
        head: What it says of itself; its settings are those of the first memory, which all share but for the policy.
        lanes: The memories, in the order in which they were chosen; each is a `Run` with the pictures of all.
        events_fps: Frames a second in which `head.events` count; None: not known.
    """

    def __init__(self, path: Path, head: Head, lanes: Sequence[Run], events_fps: float | None) -> None:
        """Take the parts of a file; see `read_lab`."""
        self.path = path
        self.head = head
        self.lanes = tuple(lanes)
        self.events_fps = events_fps

    @property
    def id(self) -> str:
        """Its name in addresses; "" without one."""
        return self.head.id

    @property
    def title(self) -> str:
        """Its name for people."""
        return self.head.title

    @property
    def seconds(self) -> float:
        """Stream time of the last moment of any memory, in seconds."""
        return max(lane.seconds for lane in self.lanes)

    @property
    def questions(self) -> tuple[tuple[Turn, ...], ...]:
        """Every question, oldest first, with the turn of each memory."""
        return tuple(zip(*(lane.chat for lane in self.lanes), strict=True))

    def picture(self, frame: int) -> bytes | None:
        """The JPEG of a frame; None where it was not kept."""
        return self.lanes[0].picture(frame)

    def check(self) -> None:
        """Read all of it once, as is wise with a file from somebody else.

        Raises:
            TraceError: Some of it is damaged.
        """
        for lane in self.lanes:
            lane.check()


def read_lab(path: str | Path) -> LabRun:
    """Read a recorded lab run. Files may come from anybody: sizes are checked, and nothing in them is executed.

    Raises:
        TraceError: It is no lab run, is damaged, or was written by a newer version; the message says which.
    """
    path = Path(path)
    with opened(path) as parts:
        if LAB_HEAD not in parts:
            kind = "a run of one memory, not a lab run" if RUN_HEAD in parts else "not a recorded run"
            raise TraceError(f"{path.name} is {kind}.")
        check_version(path.name, parts[LAB_HEAD], LAB_FORMAT, LAB_VERSION)
        head, content = parse(parts[LAB_HEAD])
        folders, rate = _listed(content)
        pictures = read_pictures(parts)
        run = LabRun(path, head, [read_run(path, parts.below(folder), pictures) for folder in folders], rate)
        _check_questions(run)
        return run


def is_lab(path: str | Path) -> bool:
    """Whether a file begins like a recorded lab run; nothing else of it is looked at."""
    return begins_with(path, LAB_HEAD)


def _listed(content: dict[str, Any]) -> tuple[list[str], float | None]:
    """The folders of the memories, and the rate of the events."""
    folders, rate = content.get("lanes"), content.get("events_fps")
    if not isinstance(folders, list) or not LEAST_LANES <= len(folders) <= MOST_LANES:
        raise DamagedError(f"It does not have {LEAST_LANES} to {MOST_LANES} memories.")
    if rate is not None and number(rate) <= 0:
        raise DamagedError("Its events have no frame rate.")
    return [str(folder) for folder in folders], rate


def _check_questions(run: LabRun) -> None:
    asked = {tuple((turn.question, turn.at) for turn in lane.chat) for lane in run.lanes}
    if len(asked) != 1:
        raise DamagedError("Its memories were asked different questions.")
