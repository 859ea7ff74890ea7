"""Saves and loads sessions as safetensors files with settings in the header.

The format cannot contain code, and every value is checked (`header_checks`, `memory_checks`, `history_columns`), so
untrusted files are safe to load.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from hermes.analysis.token_history import ScoreRecord
from hermes.backbones.base import NOMINAL_SIZE, Backbone
from hermes.errors import HermesError
from hermes.files.checks import InvalidValueError, mapping, parse_json, text, whole
from hermes.files.limits import SESSION_LIMITS, FileTooLargeError, MemoryBudget
from hermes.files.output import OutputError, replacing
from hermes.formatting import format_bytes
from hermes.memory.archive import Archive
from hermes.memory.cache import MemoryCache
from hermes.memory.encoded import Layout
from hermes.memory.heads import HeadTable
from hermes.memory.linear_state import StateTensors
from hermes.memory.stream_state import StreamState
from hermes.policies import Policy
from hermes.session import header_checks, memory_checks
from hermes.session.format_2 import FORMAT_2, read_evictions_2, read_records_2
from hermes.session.history_columns import (
    UNSAVED_ANSWER,
    eviction_tensors,
    read_answer,
    read_evictions,
    read_records,
    record_tensors,
)
from hermes.session.record import EvictionLog, SessionStats, Times
from hermes.session.session_file import SessionFile
from hermes.snapshot import AnswerTrace

if TYPE_CHECKING:
    from hermes.session.stream_session import StreamSession

FORMAT = "hermes-session-3"
LAYER_FIELDS = ("keys", "values", "positions", "labels", "figures")
HEAD_FIELDS = ("positions", "labels", "figures")
LARGEST_ARCHIVE = 2_000_000_000
"""Upper bound of the archive in a session file, in bytes."""
WIDEST = 8
"""Bytes of the widest element of a tensor."""


class SessionFileError(HermesError):
    """A file that is not a session, is damaged, was saved with another model, or cannot be written."""


def save(session: StreamSession, path: Path) -> None:
    """Write a session to a file, which is replaced atomically.

    Every check of `load` is made before the file is replaced.

    Raises:
        SessionFileError: The file cannot be written, the stream's archive is too large, or `load` would refuse the file.
    """
    cache, history = session.state.cache, session.state.history
    tensors: dict[str, Tensor] = {}
    for i, layer in enumerate(cache.layers if cache else []):
        held = layer.held()
        tensors |= {f"layer.{i}.{name}": getattr(held, name).contiguous().clone() for name in LAYER_FIELDS}
        if held.heads is not None:
            tensors |= {f"heads.{i}.{name}": getattr(held.heads, name).contiguous().clone() for name in HEAD_FIELDS}
    tensors |= _linear_tensors(cache)
    tensors |= _state_tensors(session.state.policy_state)
    for i, (frame, _) in enumerate(session.state.pending):
        tensors[f"pending.{i}"] = torch.from_numpy(np.ascontiguousarray(frame))
    tensors["times"] = torch.tensor(history.times.array, dtype=torch.float64)
    tensors |= eviction_tensors(history.evictions) | record_tensors(session.token_history.records)
    header = {
        "format": FORMAT,
        "fingerprint": session.model.fingerprint,
        "model": session.model.card.name,
        "policy": {"name": session.policy.name, **asdict(session.policy)},
        "chunk": session.chunk,
        "prompt_len": cache.prompt_len if cache else 0,
        "released_chat": session.state.released_chat,
        "stats": asdict(session.stats),
        "sequence": history.sequence,
        "conversation": history.conversation,
        "layout": asdict(session.state.layout) if session.state.layout else None,
        "pending": [seconds for _, seconds in session.state.pending],
        "archive_limit": session.state.policy_state.archive.limit if session.state.policy_state.archive else 0,
        "intact": [layer.intact for layer in cache.layers] if cache else [],
    }
    if history.answer:
        header["answer"] = _take_arrays(history.answer, "answer", tensors)
        for name in UNSAVED_ANSWER:
            del tensors[f"answer.{name}"]
    try:
        data = json.dumps(header)
        _check_declared([list(tensor.shape) for tensor in tensors.values()])
        _read_parts(SessionFile(_parse(data), tensors, session.model))
        with replacing(path) as part:
            save_file(tensors, part, metadata={"session": data})
            _check_size(part)
    except (OSError, SafetensorError, OutputError) as error:
        raise SessionFileError(f"The session could not be written to {path}: {error}") from error
    except HermesError as error:
        raise SessionFileError(f"The session was not saved, because it could not be loaded again. {error}") from error


def load(cls: type[StreamSession], path: Path, model: Backbone) -> StreamSession:
    """Read a session; see `StreamSession.load`."""
    if not path.is_file():
        raise SessionFileError(f"There is no session file at {path}.")
    try:
        header, tensors = _read(path)
        _check_kind(path.name, header, model)
        file = SessionFile(header, tensors, model)
        return _build(cls, file, _read_parts(file))
    except SessionFileError:
        raise
    except FileTooLargeError as error:
        raise SessionFileError(f"{path.name} is too large. {error}") from error
    except (HermesError, SafetensorError, OSError, ValueError) as error:
        detail = f" {error}" if isinstance(error, HermesError) else ""
        raise SessionFileError(f"{path.name} is damaged or not a session of this program.{detail}") from error


def _check_kind(name: str, header: dict[str, Any], model: Backbone) -> None:
    """Check that a header belongs to a session that was saved with `model`.

    Raises:
        SessionFileError: It does not.
    """
    if header.get("format") not in (FORMAT, FORMAT_2):
        raise SessionFileError(f"{name} is not a session of this program.")
    if header.get("fingerprint") != model.fingerprint:
        saved = text(header.get("model"), "name of the model", SESSION_LIMITS.text)
        raise SessionFileError(
            f"{name} was saved with the model “{saved}”; it cannot be used with “{model.card.name}”."
        )


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the header and the tensors of a file after checking their declared sizes.

    Raises:
        FileTooLargeError: The file, its header or its tensors are too large.
        InvalidValueError: The header is invalid.
        SafetensorError: The file is not a safetensors file.
        OSError: The file cannot be read.
    """
    _check_size(path)
    with safe_open(path, framework="pt") as file:
        names = list(file.keys())
        _check_declared([file.get_slice(name).get_shape() for name in names])
        header = _parse((file.metadata() or {}).get("session", "null"))
        return header, {name: file.get_tensor(name) for name in names}


def _check_size(path: Path) -> None:
    """Check the size of a file and of the list of its tensors, before either is read.

    Raises:
        FileTooLargeError: One of them is too large.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
    if size > SESSION_LIMITS.file_bytes or (
        len(start) == 8
        and struct.unpack("<Q", start)[0] > SESSION_LIMITS.json_bytes
        and size > SESSION_LIMITS.json_bytes
    ):
        raise FileTooLargeError("The file or its header exceeds the limit of a session file.")


def _check_declared(shapes: Sequence[Sequence[int]]) -> None:
    """Check the number and the sizes of the tensors of a file, from their shapes.

    Raises:
        FileTooLargeError: There are too many, or they are too large.
    """
    if len(shapes) > SESSION_LIMITS.parts:
        raise FileTooLargeError(f"It has more than {SESSION_LIMITS.parts:,} tensors.")
    budget = MemoryBudget(SESSION_LIMITS.memory_bytes)
    for shape in shapes:
        budget.charge(WIDEST * math.prod(shape))


def _parse(data: str) -> dict[str, Any]:
    return mapping(parse_json(data.encode(), SESSION_LIMITS.json_bytes, "header"), "header")


@dataclass(frozen=True)
class _Parts:
    """The checked parts of a session file."""

    times: list[float]
    layout: Layout | None
    evictions: EvictionLog
    records: list[ScoreRecord]
    answer: AnswerTrace | None
    linear: dict[int, dict[str, StateTensors]]
    policy: Policy
    state: dict[str, Tensor]
    archive: dict[str, Tensor]
    archive_limit: int
    chunk: int
    stats: SessionStats
    sequence: int
    conversation: tuple[str, str] | None
    pending: list[tuple[Any, float]]
    released_chat: bool


def _read_parts(file: SessionFile) -> _Parts:
    """Check every part of a file.

    Raises:
        HermesError: A part is invalid or inconsistent.
    """
    times = header_checks.read_times(file)
    layout = header_checks.read_layout(file, seen=bool(times))
    grid = layout.grid if layout else file.model.layout(*NOMINAL_SIZE).grid
    frames, patches = len(times), grid[0] * grid[1]
    if file.header.get("format") == FORMAT_2:
        evictions, records = read_evictions_2(file, times), read_records_2(file, frames, patches)
    else:
        evictions, records = read_evictions(file, frames), read_records(file, frames, patches)
    answer = read_answer(file, frames, patches)
    linear: dict[int, dict[str, StateTensors]] = {}
    if times:
        memory_checks.check_memory(file, frames, patches)
        linear = memory_checks.read_linear_states(file)
    sequence = whole(file.part("sequence"), "number of the snapshot", 0, header_checks.LARGEST_COUNT)
    newest = [event.sequence for event in evictions.view()[-1:]] + [record.sequence for record in records[-1:]]
    if max(newest, default=0) > sequence:
        raise InvalidValueError("The number of the snapshot is smaller than that of the last eviction.")
    policy = header_checks.read_policy(file)
    stats = header_checks.read_stats(file)
    if stats.frames_seen != frames * (layout.frames_per_step if layout else 1):
        raise InvalidValueError("The number of frames does not match the times of frames.")
    return _Parts(
        times=times,
        layout=layout,
        evictions=evictions,
        records=records,
        answer=answer,
        linear=linear,
        policy=policy,
        state=memory_checks.check_state(file, policy, frames, patches),
        archive=memory_checks.check_archive(file, frames, patches),
        archive_limit=whole(file.part("archive_limit"), "limit of the archive"),
        chunk=whole(file.part("chunk"), "chunk", 1, header_checks.LARGEST_CHUNK),
        stats=stats,
        sequence=sequence,
        conversation=header_checks.read_conversation(file),
        pending=header_checks.read_pending(file, times[-1] if times else None),
        released_chat=header_checks.read_released_chat(file),
    )


def _build(cls: type[StreamSession], file: SessionFile, parts: _Parts) -> StreamSession:
    """Build a session from the checked parts of a file."""
    model = file.model
    session = cls(model, parts.policy, chunk=parts.chunk)
    session.stats = parts.stats
    history = session.state.history
    history.times = Times(parts.times)
    history.sequence = parts.sequence
    history.conversation = parts.conversation
    history.answer = parts.answer
    history.evictions = parts.evictions
    session.token_history.add(*parts.records)
    session.state.layout = parts.layout
    session.state.released_chat = parts.released_chat
    session.state.pending = parts.pending
    if parts.times:
        session.state.cache = _cache(file, parts.linear)
    session.state.policy_state.tensors = {
        name: value.to(model.device if value.dim() else "cpu") for name, value in parts.state.items()
    }
    if parts.archive:
        session.state.policy_state.archive = Archive.of_state(parts.archive, parts.archive_limit, model.device)
    return session


def _linear_tensors(cache: MemoryCache | None) -> dict[str, Tensor]:
    """Tensors of the states of layers that hold no tokens, by name."""
    return {
        f"linear.{number}.{name}.{item.name}": getattr(moment, item.name).contiguous().clone()
        for number, state in (cache.states if cache else {}).items()
        for name, moment in state.moments().items()
        for item in fields(moment)
    }


def _state_tensors(state: StreamState) -> dict[str, Tensor]:
    """Tensors of a policy's state outside the cache, by name."""
    tensors = {f"state.{name}": value.contiguous().clone() for name, value in state.tensors.items()}
    if state.archive is None:
        return tensors
    if state.archive.nbytes > LARGEST_ARCHIVE:
        raise SessionFileError(
            f"This stream’s archive holds {format_bytes(state.archive.nbytes)} of keys and values; a session file takes at "
            f"most {format_bytes(LARGEST_ARCHIVE, 0)}. The stream continues while this program runs."
        )
    return tensors | {f"archive.{name}": value for name, value in state.archive.state().items()}


def _cache(file: SessionFile, linear: dict[int, dict[str, StateTensors]]) -> MemoryCache:
    """Build the cache from checked tensors."""
    model, tensors, header = file.model, file.tensors, file.header
    length = max(tensors[f"layer.{i}.keys"].shape[1] for i in range(model.num_layers))
    cache = model.new_cache(length + 512)
    cache.prompt_len = header["prompt_len"]
    for i, layer in enumerate(cache.layers):
        layer.length = tensors[f"layer.{i}.keys"].shape[1]
        layer.intact = header["intact"][i]
        for name in LAYER_FIELDS:
            getattr(layer, name)[:, : layer.length] = tensors[f"layer.{i}.{name}"].to(layer.keys.device)
        if f"heads.{i}.labels" in tensors:
            heads = HeadTable(*(tensors[f"heads.{i}.{name}"].to(layer.keys.device) for name in HEAD_FIELDS))
            layer.heads = heads.reallocated(layer.length, layer.capacity)
    for number, moments in linear.items():
        cache.states[number].restore(moments)
    return cache


def _take_arrays(record: Any, prefix: str, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Move a record's arrays into `tensors` and return its other values, for the header."""
    scalars = {}
    for item in fields(record):
        value = getattr(record, item.name)
        if isinstance(value, np.ndarray):
            tensors[f"{prefix}.{item.name}"] = torch.from_numpy(value)
        else:
            scalars[item.name] = value
    return scalars
