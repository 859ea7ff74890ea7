"""Moments of a run: a few consecutive `LiveView`s as one block.

A block can be decoded independently. Data that grows over the whole run (frame times, evictions, answers) is stored once, in
its `RunHistory`. Fields of a moment that are not arrays are stored only when they change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from hermes.files.checks import mapping, member, number, sequence, text, whole
from hermes.files.limits import RUN_LIMITS
from hermes.recognition import Recognised
from hermes.snapshot import AnswerTrace, Eviction, Snapshot
from hermes.trace import tokens
from hermes.trace.block import DamagedError, pack, unpack
from hermes.view import LiveView

MOMENTS = 16
"""Moments per block: more make files slightly smaller and seeking slower."""
MAX_MOMENTS = 1024
"""Most moments in a block when reading: a recorder that drops older moments joins blocks and keeps every answer."""

_SHARED = ("frame_times", "evictions", "answer")
_LEFT_OUT = ("snapshot", "frame_jpeg", "notes", "recognised")
_VIEW = tuple(item.name for item in fields(LiveView) if item.name not in _LEFT_OUT)
_ADDED = {"snapshot.state_layers": [], "snapshot.state_bytes": 0}
"""Values of fields that older files lack."""
_SNAPSHOT = tuple(item.name for item in fields(Snapshot) if item.name not in (*_SHARED, *tokens.FIELDS))


@dataclass
class RunHistory:
    """Append-only data of a run; a moment stores how much of it existed.

    Attributes:
        frame_times: Time of every frame in seconds [frames].
        evictions: All evictions, oldest first.
        answers: All answers with their attention, oldest first.
    """

    frame_times: npt.NDArray[np.float64]
    evictions: Sequence[Eviction]
    answers: list[AnswerTrace]


def encode(views: Sequence[LiveView], history: RunHistory) -> bytes:
    """Encode views that have snapshots as one block, without their pictures."""
    pairs = [(view, view.snapshot) for view in views if view.snapshot is not None]
    meta, arrays = tokens.encode([snapshot for _, snapshot in pairs])
    scalars: list[dict[str, Any]] = []
    known: dict[str, Any] = {}
    for view, snapshot in pairs:
        plain = _plain(view, snapshot, history)
        changed = {name: value for name, value in plain.items() if name not in known or not _same(known[name], value)}
        scalars.append(changed)
        known = plain
    return pack({"scalars": scalars, **meta}, arrays)


def decode(data: bytes, history: RunHistory, pictures: Mapping[int, bytes]) -> list[LiveView]:
    """Decode the views of a block. Their values are checked later, see `hermes.trace.consistency`.

    Args:
        data: The block; its declared size was charged before.
        history: The history of the run.
        pictures: JPEG by frame.

    Raises:
        DamagedError: The block cannot be decoded, or does not match the history.
        InvalidValueError: A value is invalid.
    """
    meta, arrays = unpack(data)
    meta = mapping(meta, "list of moments")
    known: dict[str, Any] = {}
    plains = []
    for changes in sequence(meta.get("scalars"), "list of moments", MAX_MOMENTS):
        known = {**known, **mapping(changes, "moment")}
        plains.append(known)
    if not plains:
        raise DamagedError("A block has no moments.")
    most = len(history.frame_times)
    frames = [whole(member(plain, "frames", "moment"), "number of frames of a moment", 1, most) for plain in plains]
    held = tokens.decode(meta, arrays, frames)
    return [_join(plain, flat, history, pictures) for plain, flat in zip(plains, held, strict=True)]


def _plain(view: LiveView, snapshot: Snapshot, history: RunHistory) -> dict[str, Any]:
    """The fields of a moment that are not arrays."""
    answer = -1 if snapshot.answer is None else _find(history.answers, snapshot.answer)
    return {
        "frames": snapshot.frames_seen,
        "evictions": len(snapshot.evictions),
        "answer": answer,
        **{f"view.{name}": getattr(view, name) for name in _VIEW},
        "view.recognised": None if view.recognised is None else list(astuple(view.recognised)),
        **{f"snapshot.{name}": getattr(snapshot, name) for name in _SNAPSHOT},
    }


def _join(
    plain: dict[str, Any], arrays: Mapping[str, Any], history: RunHistory, pictures: Mapping[int, bytes]
) -> LiveView:
    evictions = whole(member(plain, "evictions", "moment"), "number of evictions", 0, len(history.evictions))
    answer = whole(member(plain, "answer", "moment"), "number of an answer", -1, len(history.answers) - 1)
    snapshot = Snapshot(
        **{name: _tupled(member(_ADDED | plain, f"snapshot.{name}", "moment")) for name in _SNAPSHOT},
        **arrays,
        frame_times=history.frame_times[: plain["frames"]],
        evictions=history.evictions[:evictions],
        answer=history.answers[answer] if answer >= 0 else None,
    )
    view = {name: member(plain, f"view.{name}", "moment") for name in _VIEW}
    frame = whole(view["frame_index"], "number of a frame", -1, RUN_LIMITS.frames)
    recognised = _recognised(plain.get("view.recognised"))
    return LiveView(**view, snapshot=snapshot, frame_jpeg=pictures.get(frame), recognised=recognised)


def _recognised(value: Any) -> Recognised | None:
    """Parse what the vision tower recognised: name, confidence and probability of any object; None in older files."""
    if value is None:
        return None
    parts = sequence(value, "list of what was recognised", 3)
    if len(parts) != 3:
        raise DamagedError("What was recognised is incomplete.")
    confidence, shown = (float(number(part, "confidence of what was recognised", 0.0, 1.001)) for part in parts[1:])
    return Recognised(text(parts[0], "name of what was recognised", RUN_LIMITS.text), confidence, shown)


def _find(answers: Sequence[AnswerTrace], answer: AnswerTrace) -> int:
    return next(i for i, known in enumerate(answers) if known is answer)


def _tupled(value: Any) -> Any:
    """Convert a list from JSON back to a tuple."""
    return tuple(value) if isinstance(value, list) else value


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) or (one != one and other != other)  # noqa: PLR0124 - nan
