"""The history of a session as tensors of a session file: evictions, score records and the last answer.

Evictions and score records are columns with one row for each, so that the number of tensors does not grow with the stream.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hermes.analysis.token_history import ScoreRecord
from hermes.files.checks import InvalidValueError, mapping, member, number, offsets, shaped, text, whole, within
from hermes.files.limits import LARGEST_NUMBER, SESSION_LIMITS
from hermes.session.record import EvictionLog
from hermes.session.session_file import SessionFile
from hermes.snapshot import AnswerTrace, Evictions
from hermes.trace.consistency import MERGED_FRAMES, check_answer, check_answer_arrays, check_records

Array = npt.NDArray[Any]

ANSWER: Final = {
    "attention": np.float32, "attention_heads": np.float32, "attention_rest": np.float32, "attention_patch": np.float32,
    "token_frame": np.int32, "token_patch": np.int16, "offsets": np.int64, "tokens_read": np.int64,
}  # fmt: skip
UNSAVED_ANSWER: Final = ("attention_by_token", "token_ends")
"""Arrays of an answer that a session file does not contain: the attention of its single tokens."""
_MOMENT: Final = {"sequence": (np.int64,), "seconds": (np.float64,), "frames_seen": (np.int64,)}
EVICTIONS: Final = {
    **_MOMENT,
    "evicted": (np.uint16, np.int64),
    "merged": (np.uint16, np.int64),
    "reindexed": (np.bool_,),
}
"""Columns of evictions and their types; attributes of `Evictions`."""
RECORDS: Final = {**_MOMENT, "complete": (np.bool_,), "offsets": (np.int64,), "merged": (np.bool_,)}
"""Columns of score records and their types; attributes of `ScoreRecord`."""
TOKENS: Final = {"frame": (np.int32,), "patch": (np.int16,), "importance": (np.uint8,), "kept": (np.bool_,)}
"""Columns of the tokens of all score records, one record after the other."""


# Writing ----------------------------------------------------------------------------------------------------------


def eviction_tensors(log: EvictionLog) -> dict[str, Tensor]:
    """Return the evictions by name of the tensor; empty without evictions."""
    evictions = log.view()
    if not isinstance(evictions, Evictions):
        return {}
    return {f"evictions.{name}": torch.from_numpy(getattr(evictions, name).copy()) for name in EVICTIONS}


def record_tensors(records: Sequence[ScoreRecord]) -> dict[str, Tensor]:
    """Return the score records by name of the tensor; empty without records."""
    if not records:
        return {}
    columns: dict[str, Array] = {
        name: np.array([getattr(record, name) for record in records], kind) for name, (kind,) in RECORDS.items()
    }
    for name, (kind,) in TOKENS.items():
        columns[name] = np.concatenate([getattr(record, name) for record in records]).astype(kind)
    return {f"records.{name}": torch.from_numpy(values) for name, values in columns.items()}


# Reading ----------------------------------------------------------------------------------------------------------


def read_evictions(file: SessionFile, frames: int) -> EvictionLog:
    """Return the evictions of a stream of `frames` frames."""
    if not _has(file, "evictions."):
        return EvictionLog()
    columns: dict[str, Array] = {name: file.array(f"evictions.{name}", *kinds) for name, kinds in EVICTIONS.items()}
    count = len(shaped(columns["sequence"], (None,), "numbers of evictions"))
    for name in ("evicted", "merged", "reindexed"):
        shaped(columns[name], (count, file.model.num_layers), f"“{name}” of evictions")
    for name in ("evicted", "merged"):
        within(columns[name], 0, LARGEST_NUMBER, "evicted tokens")
    _check_moments(columns, count, frames * MERGED_FRAMES, "evictions")
    return EvictionLog.of(Evictions(**columns))


def read_records(file: SessionFile, frames: int, patches: int) -> list[ScoreRecord]:
    """Return the score records of a stream of `frames` frames with `patches` tokens each, oldest first."""
    if not _has(file, "records."):
        return []
    layers = file.model.num_layers
    columns: dict[str, Array] = {name: file.array(f"records.{name}", *kinds) for name, kinds in RECORDS.items()}
    tokens: dict[str, Array] = {name: file.array(f"records.{name}", *kinds) for name, kinds in TOKENS.items()}
    count = len(shaped(columns["sequence"], (None,), "numbers of score records"))
    shaped(columns["complete"], (count,), "score records")
    shaped(columns["merged"], (count, layers), "“merged” of score records")
    _check_moments(columns, count, frames, "score records")
    total = len(shaped(tokens["frame"], (None,), "frames of scores"))
    for name, values in tokens.items():
        shaped(values, (total,), f"“{name}” of scores")
    listed = within(shaped(columns["offsets"], (count, layers + 1), "offsets of scores"), 0, total, "offsets of scores")
    ends = offsets(np.concatenate([[0], np.cumsum(listed[:, -1])]), total, "offsets of scores")
    records = [
        ScoreRecord(
            sequence=int(columns["sequence"][i]),
            seconds=float(columns["seconds"][i]),
            frames_seen=int(columns["frames_seen"][i]),
            offsets=listed[i].copy(),
            merged=columns["merged"][i].copy(),
            complete=bool(columns["complete"][i]),
            **{name: values[start:stop].copy() for name, values in tokens.items()},
        )
        for i, (start, stop) in enumerate(itertools.pairwise(ends.tolist()))
    ]
    check_records_of(records, layers, frames, patches)
    return records


def check_records_of(records: Sequence[ScoreRecord], layers: int, frames: int, patches: int) -> None:
    """Check score records, and that they are in order."""
    check_records(records, layers, frames, patches)
    if any(after.sequence < before.sequence for before, after in itertools.pairwise(records)):
        raise InvalidValueError("The score records are not in order.")


def _has(file: SessionFile, prefix: str) -> bool:
    return any(name.startswith(prefix) for name in file.tensors)


def _check_moments(columns: dict[str, Array], count: int, frames: int, name: str) -> None:
    for column in _MOMENT:
        shaped(columns[column], (count,), f"“{column}” of {name}")
    within(columns["sequence"], 0, LARGEST_NUMBER, f"numbers of {name}")
    within(columns["seconds"], -LARGEST_NUMBER, LARGEST_NUMBER, f"times of {name}")
    within(columns["frames_seen"], 0, frames, f"frames of {name}")


def read_answer(file: SessionFile, frames: int, patches: int) -> AnswerTrace | None:
    """Return the last answer of a stream of `frames` frames with `patches` tokens each."""
    if "answer" not in file.header:
        return None
    values = mapping(file.part("answer"), "answer")
    held: dict[str, Any] = {name: file.array(f"answer.{name}", dtype) for name, dtype in ANSWER.items()}
    asked = member(values, "asked_seconds", "answer")
    answer = AnswerTrace(
        question=text(member(values, "question", "answer"), "question", SESSION_LIMITS.json_bytes),
        answer=text(member(values, "answer", "answer"), "answer", SESSION_LIMITS.json_bytes),
        asked_seconds=math.nan if asked != asked else float(number(asked, "time of an answer")),  # noqa: PLR0124 - nan
        frames_seen=whole(member(values, "frames_seen", "answer"), "frames of an answer", 1, SESSION_LIMITS.frames),
        first_token_seconds=float(number(member(values, "first_token_seconds", "answer"), "time to first token", 0.0)),
        moved_bytes=whole(member(values, "moved_bytes", "answer"), "moved bytes of an answer"),
        **held,
    )
    check_answer_arrays(answer)
    check_answer(answer, file.model.num_layers, frames, patches)
    return answer
