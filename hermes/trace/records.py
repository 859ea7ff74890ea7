"""What grows over a whole run, as blocks: frame times, evictions, answers with what they read, scores of what left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hermes.life import ScoreRecord, to_bytes
from hermes.snapshot import PROMPT, AnswerTrace, Eviction, Snapshot
from hermes.trace.block import Array, DamagedError, pack, unpack
from hermes.trace.moments import History

_EVICTION = {"evicted": np.int64, "folded": np.int64, "reindexed": np.bool_}
_RECORD = {
    "offsets": np.int64, "frame": np.int32, "patch": np.int16, "importance": np.uint8, "kept": np.bool_,
    "folded": np.bool_,
}  # fmt: skip
_MOMENT = {"sequence": np.int64, "frames_seen": np.int64, "seconds": np.float64}
_ATTENTION = ("attention", "attention_heads", "attention_rest", "attention_patch")
_FAULTS = (KeyError, ValueError, TypeError, IndexError, AttributeError, OverflowError)


def rounded_answer(answer: AnswerTrace) -> AnswerTrace:
    """An answer as a recorded run gives it back: attention as float16, all else exact."""
    return replace(answer, **{name: getattr(answer, name).astype(np.float16).astype(np.float32) for name in _ATTENTION})


def pack_history(history: History) -> bytes:
    """Frame times and evictions as one block."""
    return pack({}, {"frame_times": history.frame_times, **_columns(history.evictions, {**_MOMENT, **_EVICTION})})


def pack_answer(answer: AnswerTrace) -> bytes:
    """An answer as one block."""
    values = {item.name: getattr(answer, item.name) for item in fields(answer)}
    arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
    types = {name: value.dtype.name for name, value in arrays.items()}
    arrays |= {name: arrays[name].astype(np.float16) for name in _ATTENTION}
    return pack({"said": {name: value for name, value in values.items() if name not in arrays}, "types": types}, arrays)


def pack_scores(records: Sequence[ScoreRecord]) -> bytes:
    """Score records as one block, without the scores of tokens that stayed: the moments have those."""
    return pack({}, _columns([record.thinned() for record in records], {**_MOMENT, **_RECORD}))


def pack_past(pasts: Sequence[npt.NDArray[np.uint16]]) -> bytes:
    """Tokens of each frame that each layer held, of a few moments [layers, frames each], as one block."""
    frames = np.array([kept.shape[1] for kept in pasts], np.int64)
    return pack({}, {"frames": frames, "kept": np.concatenate(pasts, axis=1) if pasts else np.zeros((0, 0), np.uint16)})


def unpack_past(data: bytes) -> tuple[npt.NDArray[np.uint16], ...]:
    """What `pack_past` was given.

    Raises:
        DamagedError: It does not fit together.
    """
    _, arrays = unpack(data)
    try:
        frames, kept = arrays["frames"].astype(np.int64), arrays["kept"].astype(np.uint16)
        if (frames < 1).any() or (np.diff(frames) < 0).any() or frames.sum() != kept.shape[1]:
            raise DamagedError("What it held before does not fit together.")
        return tuple(np.split(kept, np.cumsum(frames)[:-1], axis=1)) if len(frames) else ()
    except _FAULTS as error:
        raise DamagedError("What it held before cannot be read.") from error


def unpack_history(data: bytes, answers: Sequence[AnswerTrace]) -> History:
    """What `pack_history` was given, with the answers put in.

    Raises:
        DamagedError: It does not fit together.
    """
    _, arrays = unpack(data)
    try:
        rows = _rows(arrays, {**_MOMENT, **_EVICTION})
        times = arrays["frame_times"].astype(np.float64)
        if times.ndim != 1 or not np.isfinite(times).all() or (np.diff(times) < 0).any():
            raise DamagedError("The times of its frames go back.")
        return History(times, tuple(Eviction(**row) for row in rows), list(answers))
    except _FAULTS as error:
        raise DamagedError("Its evictions cannot be read.") from error


def unpack_answer(data: bytes) -> AnswerTrace:
    """What `pack_answer` was given.

    Raises:
        DamagedError: It does not fit together.
    """
    meta, arrays = unpack(data)
    try:
        known = {item.name for item in fields(AnswerTrace)}
        values: dict[str, Any] = {name: value for name, value in meta["said"].items() if name in known}
        values |= {name: arrays[name].astype(meta["types"][name]) for name in arrays if name in known}
        values["asked_seconds"], values["frames_seen"] = float(values["asked_seconds"]), int(values["frames_seen"])
        answer = AnswerTrace(**values)
        layers = len(answer.offsets) - 1
        if (
            answer.attention.shape != (layers, answer.frames_seen)
            or answer.attention_heads.shape[::2] != answer.attention.shape
            or answer.attention_rest.shape != (layers, 3)
            or not answer.attention_patch.shape == answer.token_frame.shape == answer.token_patch.shape
            or not (isinstance(answer.question, str) and isinstance(answer.answer, str))
        ):
            raise DamagedError("An answer has read what does not exist.")
    except _FAULTS as error:
        raise DamagedError("An answer cannot be read.") from error
    return answer


def unpack_scores(data: bytes) -> tuple[ScoreRecord, ...]:
    """The records that `pack_scores` was given, thinned.

    Raises:
        DamagedError: It does not fit together.
    """
    _, arrays = unpack(data)
    try:
        return tuple(ScoreRecord(**row, complete=False) for row in _rows(arrays, {**_MOMENT, **_RECORD}))
    except _FAULTS as error:
        raise DamagedError("Its scores cannot be read.") from error


def completed(record: ScoreRecord, snapshot: Snapshot) -> ScoreRecord:
    """A thinned record with the scores of the tokens that stayed, out of a snapshot that no later eviction has changed.

    In each layer the tokens that left come first, then those that stayed; `hermes.life` does not mind.
    """
    stayed = (snapshot.frame >= 0) & (snapshot.kind != PROMPT) & (snapshot.frame < _frames_then(record, snapshot))
    importance = np.concatenate([record.importance, to_bytes(snapshot.importance[stayed])])
    layer_of = np.repeat(np.arange(snapshot.num_layers), np.diff(snapshot.offsets))[stayed]
    layer = np.concatenate([record.layer_of, layer_of])
    order = np.argsort(layer, kind="stable")
    sizes = np.bincount(layer, minlength=record.num_layers)
    if len(sizes) != record.num_layers:
        raise DamagedError("Its scores are of other layers than its moments.")
    return replace(
        record,
        offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        frame=np.concatenate([record.frame, snapshot.frame[stayed]])[order],
        patch=np.concatenate([record.patch, snapshot.patch[stayed]])[order],
        importance=importance[order],
        kept=np.concatenate([record.kept, np.ones(len(layer_of), bool)])[order],
        complete=True,
    )


def _frames_then(record: ScoreRecord, snapshot: Snapshot) -> int:
    """Frames, as the memory counts them, that had been seen at the record."""
    return int(np.searchsorted(snapshot.frame_times, record.seconds, side="right"))


def _columns(rows: Sequence[Any], types: dict[str, Any]) -> dict[str, Array]:
    """Records as columns; arrays of different lengths one after the other, with their lengths."""
    columns: dict[str, Array] = {}
    for name, dtype in types.items():
        values = [np.atleast_1d(np.asarray(getattr(row, name), dtype)) for row in rows]
        columns[name] = np.concatenate(values) if values else np.zeros(0, dtype)
        if name not in _MOMENT:
            columns[f"{name}.lengths"] = np.array([len(value) for value in values], np.int64)
    return columns


def _rows(arrays: dict[str, Array], types: dict[str, Any]) -> list[dict[str, Any]]:
    """Columns as the values of records."""
    count = len(arrays["sequence"])
    rows: list[dict[str, Any]] = [{} for _ in range(count)]
    for name, dtype in types.items():
        values = arrays[name].astype(dtype)
        if name in _MOMENT:
            parts: Any = values.tolist()  # a few numbers a record
        else:
            lengths = arrays[f"{name}.lengths"].astype(np.int64)
            if (lengths < 0).any() or lengths.sum() != len(values):
                raise DamagedError("Its records do not have the lengths that they should.")
            parts = np.split(values, np.cumsum(lengths)[:-1])
        if len(parts) != count and count:
            raise DamagedError("Its records are not complete.")
        for row, part in zip(rows, parts, strict=False):
            row[name] = part
    return rows
