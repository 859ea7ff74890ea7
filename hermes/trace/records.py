"""Blocks of data that grows over a run: frame times, evictions, answers with attention, and scores of evicted tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hermes.analysis.token_history import ScoreRecord, to_bytes
from hermes.files.checks import mapping, member, number, rising, seconds, shaped, text, whole, within
from hermes.files.limits import LARGEST_NUMBER, LATEST, RUN_LIMITS, MemoryBudget
from hermes.snapshot import PROMPT, STORED_NAMES, AnswerTrace, Eviction, Evictions, Snapshot
from hermes.trace.block import Array, DamagedError, pack, unpack
from hermes.trace.consistency import check_answer_arrays
from hermes.trace.moments import RunHistory

_EVICTION = {"evicted": np.int64, "merged": np.int64, "reindexed": np.bool_}
_RECORD = {
    "offsets": np.int64, "frame": np.int32, "patch": np.int16, "importance": np.uint8, "kept": np.bool_,
    "merged": np.bool_,
}  # fmt: skip
_MOMENT = {"sequence": np.int64, "frames_seen": np.int64, "seconds": np.float64}
_ATTENTION = ("attention", "attention_heads", "attention_rest", "attention_patch")
_BY_TOKEN = ("attention_by_token", "token_ends")
_ANSWER_INTEGERS = {"token_frame": np.int32, "token_patch": np.int16, "offsets": np.int64, "tokens_read": np.int64}
_RECORD_BYTES: Final = 2000
"""Memory of one record without the values of its arrays."""


def rounded_answer(answer: AnswerTrace) -> AnswerTrace:
    """Return an answer as it is read from a recorded run: attention rounded to float16, everything else exact."""
    return replace(answer, **{name: getattr(answer, name).astype(np.float16).astype(np.float32) for name in _ATTENTION})


def pack_history(history: RunHistory) -> bytes:
    """Pack frame times and evictions into a block."""
    return pack({}, {"frame_times": history.frame_times, **_columns(history.evictions, {**_MOMENT, **_EVICTION})})


def pack_answer(answer: AnswerTrace) -> bytes:
    """Pack an answer into a block."""
    values = {item.name: getattr(answer, item.name) for item in fields(answer)}
    arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
    arrays |= {name: arrays[name].astype(np.float16) for name in _ATTENTION}
    if not answer.attention_by_token.size:  # optional
        arrays = {name: value for name, value in arrays.items() if name not in _BY_TOKEN}
    return pack({"said": {name: value for name, value in values.items() if not isinstance(value, np.ndarray)}}, arrays)


def pack_scores(records: Sequence[ScoreRecord]) -> bytes:
    """Pack score records into a block, without the scores of retained tokens, which are in the moments."""
    return pack({}, _columns([record.thinned() for record in records], {**_MOMENT, **_RECORD}))


def pack_past(pasts: Sequence[npt.NDArray[np.uint16]]) -> bytes:
    """Pack the tokens per layer and frame of a few moments [layers, frames of the moment] into a block."""
    frames = np.array([kept.shape[1] for kept in pasts], np.int64)
    return pack({}, {"frames": frames, "kept": np.concatenate(pasts, axis=1) if pasts else np.zeros((0, 0), np.uint16)})


def unpack_past(data: bytes, budget: MemoryBudget) -> tuple[npt.NDArray[np.uint16], ...]:
    """Unpack the block of `pack_past`.

    Raises:
        DamagedError: The block cannot be read.
        InvalidValueError: Its parts are inconsistent.
        FileTooLargeError: It exceeds the budget.
    """
    _, arrays = unpack(data, budget)
    name = "earlier moments"
    frames, kept = _array(arrays, "frames", name), _array(arrays, "kept", name)
    if not kept.size:
        return ()
    shaped(frames, (None,), name)
    shaped(kept, (None, None), name)
    rising(within(frames, 1, RUN_LIMITS.frames, name).astype(np.int64), name)
    if len(frames) > RUN_LIMITS.earlier_moments or frames.sum(dtype=np.int64) != kept.shape[1]:
        raise DamagedError("The earlier moments are inconsistent.")
    kept = _integers(kept, np.uint16, name, budget)
    return tuple(np.split(kept, np.cumsum(frames, dtype=np.int64)[:-1], axis=1))


def unpack_history(data: bytes, answers: Sequence[AnswerTrace], budget: MemoryBudget) -> RunHistory:
    """Unpack the block of `pack_history` and add the answers.

    Raises:
        DamagedError: The block cannot be read.
        InvalidValueError: Its parts are inconsistent.
        FileTooLargeError: It exceeds the budget.
    """
    _, arrays = unpack(data, budget)
    times = shaped(_array(arrays, "frame_times", "frame times"), (None,), "frame times")
    if times.dtype != np.float64 or not 1 <= len(times) <= RUN_LIMITS.frames:
        raise DamagedError("The frame times are missing or too many.")
    rising(within(times, 0.0, LATEST, "frame times"), "frame times")
    rows = _rows(arrays, {**_MOMENT, **_EVICTION}, "evictions", budget)
    return RunHistory(times, _evictions(rows), list(answers))


def _evictions(rows: Sequence[Mapping[str, Any]]) -> Sequence[Eviction]:
    """Return evictions as columns: a moment holds the first of them, and a slice of columns takes little memory.

    Raises:
        DamagedError: They have different numbers of layers.
    """
    if not rows:
        return ()
    if any(len(row[name]) != len(rows[0][name]) for row in rows for name in _EVICTION):
        raise DamagedError("The evictions have different numbers of layers.")
    moments: dict[str, Any] = {name: np.array([row[name] for row in rows], dtype) for name, dtype in _MOMENT.items()}
    return Evictions(**moments, **{name: np.stack([row[name] for row in rows]) for name in _EVICTION})


def unpack_answer(data: bytes, budget: MemoryBudget) -> AnswerTrace:
    """Unpack the block of `pack_answer`.

    Raises:
        DamagedError: The block cannot be read.
        InvalidValueError: Its parts are inconsistent.
        FileTooLargeError: It exceeds the budget.
    """
    meta, arrays = unpack(data, budget)
    name = "answer"
    header = mapping(mapping(meta, name).get("said"), name)
    asked, first = member(header, "asked_seconds", name), member(header, "first_token_seconds", name)
    frames = whole(member(header, "frames_seen", name), "number of frames of an answer", 1, RUN_LIMITS.frames)
    held: dict[str, Array] = {}
    for key in _ATTENTION:
        values = _array(arrays, key, name)
        if values.dtype != np.float16:
            raise DamagedError(f"The “{key}” of an answer has the type {values.dtype.name}.")
        budget.charge(4 * values.size)
        held[key] = values.astype(np.float32)
    for key, dtype in _ANSWER_INTEGERS.items():
        held[key] = _integers(_array(arrays, key, name), dtype, f"“{key}” of an answer", budget)
    if any(key in arrays for key in _BY_TOKEN):
        held["attention_by_token"] = _array(arrays, "attention_by_token", name)
        ends = _array(arrays, "token_ends", name)
        held["token_ends"] = _integers(ends, np.int64, "“token_ends” of an answer", budget)
    answer = AnswerTrace(
        question=text(member(header, "question", name), "question", RUN_LIMITS.text),
        answer=text(member(header, "answer", name), name, RUN_LIMITS.text),
        asked_seconds=math.nan if asked != asked else seconds(asked, "time of an answer"),  # noqa: PLR0124 - nan
        frames_seen=frames,
        first_token_seconds=float(number(first, "time to first token", 0.0)),
        moved_bytes=whole(member(header, "moved_bytes", name), "moved bytes of an answer"),
        **held,
    )
    check_answer_arrays(answer)
    return answer


def unpack_scores(data: bytes, budget: MemoryBudget) -> tuple[ScoreRecord, ...]:
    """Unpack the block of `pack_scores`; the records are thinned.

    Raises:
        DamagedError: The block cannot be read.
        InvalidValueError: Its parts are inconsistent.
        FileTooLargeError: It exceeds the budget.
    """
    _, arrays = unpack(data, budget)
    rows = _rows(arrays, {**_MOMENT, **_RECORD}, "scores", budget)
    return tuple(ScoreRecord(**row, complete=False) for row in rows)


def completed(record: ScoreRecord, snapshot: Snapshot) -> ScoreRecord:
    """Complete a thinned record with the scores of the retained tokens, from a snapshot before the next eviction.

    In each layer, evicted tokens come first, then retained ones; `hermes.analysis.token_history` accepts any order.
    """
    retained = (snapshot.frame >= 0) & (snapshot.kind != PROMPT) & (snapshot.frame < _frames_then(record, snapshot))
    importance = np.concatenate([record.importance, to_bytes(snapshot.importance[retained])])
    layer_of = np.repeat(np.arange(snapshot.num_layers), np.diff(snapshot.offsets))[retained]
    layer = np.concatenate([record.layer_of, layer_of])
    order = np.argsort(layer, kind="stable")
    sizes = np.bincount(layer, minlength=record.num_layers)
    if len(sizes) != record.num_layers:
        raise DamagedError("The scores have other layers than the moments.")
    return replace(
        record,
        offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        frame=np.concatenate([record.frame, snapshot.frame[retained]])[order],
        patch=np.concatenate([record.patch, snapshot.patch[retained]])[order],
        importance=importance[order],
        kept=np.concatenate([record.kept, np.ones(len(layer_of), bool)])[order],
        complete=True,
    )


def _frames_then(record: ScoreRecord, snapshot: Snapshot) -> int:
    """Number of frames in the memory at the time of a record."""
    return int(np.searchsorted(snapshot.frame_times, record.seconds, side="right"))


def _columns(rows: Sequence[Any], types: dict[str, Any]) -> dict[str, Array]:
    """Convert records to columns; arrays of different lengths are concatenated and stored with their lengths."""
    columns: dict[str, Array] = {}
    for name, dtype in types.items():
        values = [np.atleast_1d(np.asarray(getattr(row, name), dtype)) for row in rows]
        key = STORED_NAMES.get(name, name)
        columns[key] = np.concatenate(values) if values else np.zeros(0, dtype)
        if name not in _MOMENT:
            columns[f"{key}.lengths"] = np.array([len(value) for value in values], np.int64)
    return columns


def _rows(
    arrays: Mapping[str, Array], types: Mapping[str, Any], name: str, budget: MemoryBudget
) -> list[dict[str, Any]]:
    """Convert columns to the values of records."""
    count = len(shaped(_array(arrays, "sequence", name), (None,), name))
    if count > RUN_LIMITS.events:
        raise DamagedError(f"There are more than {RUN_LIMITS.events:,} {name}.")
    budget.charge(count * _RECORD_BYTES)
    rows: list[dict[str, Any]] = [{} for _ in range(count)]
    for attribute, dtype in types.items():
        key = STORED_NAMES.get(attribute, attribute)
        values, what = _array(arrays, key, name), f"“{key}” of the {name}"
        if key in _MOMENT:
            shaped(values, (count,), what)
            if dtype == np.float64:
                if values.dtype != np.float64:
                    raise DamagedError(f"The {what} has the type {values.dtype.name}.")
                within(values, 0.0, LATEST, what)
            else:
                within(values, 0, LARGEST_NUMBER, what)
            parts: Any = rising(values, what).tolist()  # a few numbers a record
        else:
            lengths = shaped(_array(arrays, f"{key}.lengths", name), (count,), what)
            within(lengths, 0, LARGEST_NUMBER, what)
            shaped(values, (None,), what)
            lengths = lengths.astype(np.int64)
            if lengths.astype(np.float64).sum() != len(values):
                raise DamagedError(f"The {what} do not have the declared lengths.")
            if dtype == np.bool_:
                if values.dtype != np.bool_:
                    raise DamagedError(f"The {what} are not bools.")
            else:
                values = _integers(values, dtype, what, budget)
            parts = np.split(values, np.cumsum(lengths)[:-1]) if count else []
        for row, part in zip(rows, parts, strict=True):
            row[attribute] = part
    return rows


def _array(arrays: Mapping[str, Array], key: str, name: str) -> Array:
    if key not in arrays:
        raise DamagedError(f"The {name} lack “{key}”.")
    return arrays[key]


def _integers(values: Array, dtype: Any, name: str, budget: MemoryBudget) -> Array:
    """Convert an integer array back to the type that it had before narrowing."""
    limits, target = np.iinfo(dtype), np.dtype(dtype)
    if values.dtype.kind not in "iu":
        raise DamagedError(f"The {name} are not integers.")
    within(values, limits.min, limits.max, name)
    if values.dtype != target:
        budget.charge(values.size * target.itemsize)
    return values.astype(target, copy=False)
