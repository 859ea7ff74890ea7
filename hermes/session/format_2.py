"""Reads the history of session files in format 2, which have a tensor for each array of each eviction and score record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from hermes.analysis.token_history import ScoreRecord
from hermes.files.checks import flag, mapping, member, number, sequence, whole
from hermes.files.limits import SESSION_LIMITS
from hermes.session.history_columns import check_records_of
from hermes.session.record import EvictionLog
from hermes.session.session_file import SessionFile
from hermes.snapshot import STORED_NAMES, Eviction
from hermes.trace.consistency import check_history
from hermes.trace.moments import RunHistory

FORMAT_2: Final = "hermes-session-2"
_EVICTION: Final = {"evicted": np.int64, "merged": np.int64, "reindexed": np.bool_}
_RECORD: Final = {
    "offsets": np.int64, "frame": np.int32, "patch": np.int16, "importance": np.uint8, "kept": np.bool_,
    "merged": np.bool_,
}  # fmt: skip


def read_evictions_2(file: SessionFile, times: list[float]) -> EvictionLog:
    """Return the evictions of a stream whose frames have these times."""
    evictions = []
    for i, value in enumerate(sequence(file.part("evictions"), "evictions", SESSION_LIMITS.parts)):
        evictions.append(Eviction(**_moment(value, "eviction"), **_arrays(file, f"eviction.{i}", _EVICTION)))
    check_history(RunHistory(np.asarray(times), tuple(evictions), []), file.model.num_layers)
    return EvictionLog(evictions)


def read_records_2(file: SessionFile, frames: int, patches: int) -> list[ScoreRecord]:
    """Return the score records of a stream of `frames` frames with `patches` tokens each, oldest first."""
    records = []
    for i, value in enumerate(sequence(file.header.get("life", []), "score records", SESSION_LIMITS.parts)):
        arrays = _arrays(file, f"life.{i}", _RECORD)
        complete = flag(member(mapping(value, "score record"), "complete", "score record"), "score record")
        records.append(ScoreRecord(**_moment(value, "score record"), **arrays, complete=complete))
    check_records_of(records, file.model.num_layers, frames, patches)
    return records


def _arrays(file: SessionFile, prefix: str, types: Mapping[str, Any]) -> dict[str, Any]:
    return {name: file.array(f"{prefix}.{STORED_NAMES.get(name, name)}", dtype) for name, dtype in types.items()}


def _moment(value: Any, name: str) -> dict[str, Any]:
    values = mapping(value, name)
    return {
        "sequence": whole(member(values, "sequence", name), f"number of an {name}"),
        "seconds": float(number(member(values, "seconds", name), f"time of an {name}")),
        "frames_seen": whole(member(values, "frames_seen", name), f"frames of an {name}"),
    }
