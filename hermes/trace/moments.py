"""Moments of a run: a few `LiveView`s that follow each other, as one block.

The first of them stands by itself, so a run can be entered at any block. What grows over the whole run (frame times,
evictions, answers) is in its `History` once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from hermes.live_view import LiveView
from hermes.snapshot import AnswerTrace, Eviction, Snapshot
from hermes.trace import tokens
from hermes.trace.block import Array, DamagedError, pack, unpack

MOMENTS = 16
"""Moments a block: more make the file a little smaller, and jumping to a moment slower."""

_SHARED = ("frame_times", "evictions", "answer")
_LEFT_OUT = ("snapshot", "frame_jpeg")


@dataclass
class History:
    """What only grows while a stream runs; a moment knows how much of it there was.

    Attributes:
        frame_times: Time of every frame, in seconds [frames].
        evictions: Every eviction, oldest first.
        answers: Every answer with what it read, oldest first.
    """

    frame_times: npt.NDArray[np.float64]
    evictions: tuple[Eviction, ...]
    answers: list[AnswerTrace]


def encode(views: Sequence[LiveView], history: History) -> bytes:
    """Views with a snapshot each as one block; their pictures are kept elsewhere."""
    snapshots = [view.snapshot for view in views if view.snapshot is not None]
    meta, arrays = tokens.encode(snapshots, history.frame_times)
    scalars: list[dict[str, Any]] = []
    known: dict[str, Any] = {}
    others: dict[str, Array] = {}
    for i, (view, snapshot) in enumerate(zip(views, snapshots, strict=True)):
        plain, more = _split(view, snapshot, history, {*meta["extras"], *meta["grids"]})
        scalars.append(
            {name: value for name, value in plain.items() if name not in known or not _same(known[name], value)}
        )
        known = plain
        for name, values in more.items():
            before = others.get(name)
            if before is None or not np.array_equal(before, values, equal_nan=values.dtype.kind == "f"):
                others[name] = values
                arrays[f"other.{i}.{name}"] = values
    types = {name: values.dtype.name for name, values in others.items()}
    return pack({"scalars": scalars, "types": types, **meta}, arrays)


def decode(data: bytes, history: History, pictures: Mapping[int, bytes]) -> list[LiveView]:
    """The views of a block.

    Args:
        data: The block.
        history: Of the whole run.
        pictures: JPEG by frame.

    Raises:
        DamagedError: It does not fit together, or not with the history.
    """
    meta, arrays = unpack(data)
    try:
        return _decode(meta, arrays, history, pictures)
    except (KeyError, ValueError, TypeError, IndexError, AttributeError, OverflowError) as error:
        raise DamagedError("A part of it does not fit together.") from error


def _decode(
    meta: Mapping[str, Any], arrays: Mapping[str, Array], history: History, pictures: Mapping[int, bytes]
) -> list[LiveView]:
    known: dict[str, Any] = {}
    plains = []
    for changes in meta["scalars"]:
        known = {**known, **changes}
        plains.append(known)
    frames = [int(plain["frames"]) for plain in plains]
    if not frames or min(frames) < 1 or max(frames) > len(history.frame_times):
        raise DamagedError("A moment has seen frames that do not exist.")
    held = tokens.decode(meta, arrays, history.frame_times, frames)
    others: dict[str, Array] = {}
    views = []
    for i, (plain, flat) in enumerate(zip(plains, held, strict=True)):
        prefix = f"other.{i}."
        for name, values in arrays.items():
            if name.startswith(prefix):
                field = name.removeprefix(prefix)
                others[field] = values.astype(meta["types"][field])
        views.append(_join(plain, {**others, **flat}, history, pictures))
    return views


def _split(
    view: LiveView, snapshot: Snapshot, history: History, stored: Set[str]
) -> tuple[dict[str, Any], dict[str, Array]]:
    """What a moment says beside the fields that are `stored` with its tokens: plain values, arrays that rarely change."""
    answer = -1 if snapshot.answer is None else _find(history.answers, snapshot.answer)
    plain: dict[str, Any] = {"frames": snapshot.frames_seen, "evictions": len(snapshot.evictions), "answer": answer}
    arrays: dict[str, Array] = {}
    for item in fields(LiveView):
        if item.name not in _LEFT_OUT:
            plain[f"view.{item.name}"] = getattr(view, item.name)
    for item in fields(Snapshot):
        if item.name in _SHARED or item.name in tokens.TOKEN_FIELDS or item.name in stored:
            continue
        value = getattr(snapshot, item.name)
        if isinstance(value, np.ndarray):
            arrays[item.name] = value
        else:
            plain[f"snapshot.{item.name}"] = value
    return plain, arrays


def _join(
    plain: Mapping[str, Any], arrays: Mapping[str, Array], history: History, pictures: Mapping[int, bytes]
) -> LiveView:
    def values_of(prefix: str, cls: type) -> dict[str, Any]:
        names = {item.name for item in dataclasses.fields(cls)}
        values = {name.removeprefix(prefix): value for name, value in plain.items() if name.startswith(prefix)}
        return {name: _tupled(value) for name, value in values.items() if name in names}

    frames, evictions, answer = int(plain["frames"]), int(plain["evictions"]), int(plain["answer"])
    if not 0 <= evictions <= len(history.evictions) or not -1 <= answer < len(history.answers):
        raise DamagedError("A moment tells of an eviction or an answer that does not exist.")
    known = {item.name for item in fields(Snapshot)}
    held: dict[str, Any] = {name: values for name, values in arrays.items() if name in known}
    snapshot = Snapshot(
        **values_of("snapshot.", Snapshot),
        **held,
        frame_times=history.frame_times[:frames],
        evictions=history.evictions[:evictions],
        answer=history.answers[answer] if answer >= 0 else None,
    )
    if len(snapshot.tiers) + 1 != len(snapshot.offsets):
        raise DamagedError("A moment has tiers of other layers than it has tokens of.")
    view = values_of("view.", LiveView)
    return LiveView(**view, snapshot=snapshot, frame_jpeg=pictures.get(view["frame_index"]))


def _find(answers: Sequence[AnswerTrace], answer: AnswerTrace) -> int:
    return next(i for i, known in enumerate(answers) if known is answer)


def _tupled(value: Any) -> Any:
    """Lists as JSON gives them back are the tuples that they were."""
    return tuple(_tupled(part) for part in value) if isinstance(value, list) else value


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) or (one != one and other != other)  # noqa: PLR0124 - nan
