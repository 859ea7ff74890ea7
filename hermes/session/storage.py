"""Saves and loads sessions as safetensors files with settings in the header.

The format cannot contain code, and every value is checked (`hermes.session.checks`), so untrusted files are safe to load.
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from hermes.backbones.base import NOMINAL_SIZE, Backbone
from hermes.errors import HermesError
from hermes.files.checks import InvalidValueError, mapping, parse_json, text, whole
from hermes.files.limits import SESSION_LIMITS, FileTooLargeError, MemoryBudget
from hermes.files.output import OutputError, replacing
from hermes.formatting import format_bytes
from hermes.memory.archive import Archive
from hermes.memory.cache import MemoryCache
from hermes.memory.heads import HeadTable
from hermes.memory.stream_state import StreamState
from hermes.session import checks
from hermes.session.checks import SessionFile
from hermes.session.record import EvictionLog, Times
from hermes.snapshot import STORED_NAMES

if TYPE_CHECKING:
    from hermes.session.stream_session import StreamSession

FORMAT = "hermes-session-2"
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

    Raises:
        SessionFileError: The file cannot be written, or the stream's archive is too large.
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
    header["evictions"] = [_take_arrays(e, f"eviction.{i}", tensors) for i, e in enumerate(history.evictions.view())]
    header["life"] = [_take_arrays(r, f"life.{i}", tensors) for i, r in enumerate(session.token_history.records)]
    try:
        with replacing(path) as part:
            save_file(tensors, part, metadata={"session": json.dumps(header)})
    except (OSError, SafetensorError, OutputError) as error:
        raise SessionFileError(f"The session could not be written to {path}: {error}") from error


def load(cls: type[StreamSession], path: Path, model: Backbone) -> StreamSession:
    """Read a session; see `StreamSession.load`."""
    if not path.is_file():
        raise SessionFileError(f"There is no session file at {path}.")
    try:
        header, tensors = _read(path)
        _check_kind(path.name, header, model)
        return _rebuild(cls, SessionFile(header, tensors, model))
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
    if header.get("format") != FORMAT:
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
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
    if size > SESSION_LIMITS.file_bytes or (
        len(start) == 8
        and struct.unpack("<Q", start)[0] > SESSION_LIMITS.json_bytes
        and size > SESSION_LIMITS.json_bytes
    ):
        raise FileTooLargeError("The file or its header exceeds the limit of a session file.")
    budget = MemoryBudget(SESSION_LIMITS.memory_bytes)
    with safe_open(path, framework="pt") as file:
        names = list(file.keys())
        if len(names) > SESSION_LIMITS.parts:
            raise FileTooLargeError(f"It has more than {SESSION_LIMITS.parts:,} tensors.")
        for name in names:
            budget.charge(WIDEST * math.prod(file.get_slice(name).get_shape()))
        data = (file.metadata() or {}).get("session", "null").encode()
        header = mapping(parse_json(data, SESSION_LIMITS.json_bytes, "header"), "header")
        return header, {name: file.get_tensor(name) for name in names}


def _rebuild(cls: type[StreamSession], file: SessionFile) -> StreamSession:
    """Check every part of a file and build a session from it."""
    model = file.model
    times = checks.read_times(file)
    layout = checks.read_layout(file, seen=bool(times))
    grid = layout.grid if layout else model.layout(*NOMINAL_SIZE).grid
    patches = grid[0] * grid[1]
    evictions, records, answer = checks.read_evictions(file), checks.read_records(file), checks.read_answer(file)
    checks.check_history_of(times, evictions, records, answer, model.num_layers, patches)
    if times:
        checks.check_memory(file, len(times), patches)
    policy = checks.read_policy(file)
    state = checks.check_state(file, policy, len(times), patches)
    archived = checks.check_archive(file, len(times), patches)
    limit = whole(file.part("archive_limit"), "limit of the archive")
    session = cls(model, policy, chunk=whole(file.part("chunk"), "chunk", 1, checks.LARGEST_CHUNK))
    session.stats = checks.read_stats(file)
    if session.stats.frames_seen != len(times) * (layout.frames_per_step if layout else 1):
        raise InvalidValueError("The number of frames does not match the times of frames.")
    history = session.state.history
    history.times = Times(times)
    history.sequence = whole(file.part("sequence"), "number of the snapshot", 0, checks.LARGEST_COUNT)
    history.conversation = checks.read_conversation(file)
    history.answer = answer
    history.evictions = EvictionLog(evictions)
    for record in records:
        session.token_history.add(record)
    session.state.layout = layout
    session.state.released_chat = checks.read_released_chat(file)
    session.state.pending = checks.read_pending(file, times[-1] if times else None)
    if times:
        session.state.cache = _cache(file)
    session.state.policy_state.tensors = {
        name: value.to(model.device if value.dim() else "cpu") for name, value in state.items()
    }
    if archived:
        session.state.policy_state.archive = Archive.of_state(archived, limit, model.device)
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


def _cache(file: SessionFile) -> MemoryCache:
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
    for number, moments in checks.read_linear_states(file).items():
        cache.states[number].restore(moments)
    return cache


def _take_arrays(record: Any, prefix: str, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Move a record's arrays into `tensors` and return its other values, for the header."""
    scalars = {}
    for item in fields(record):
        value = getattr(record, item.name)
        if isinstance(value, np.ndarray):
            tensors[f"{prefix}.{STORED_NAMES.get(item.name, item.name)}"] = torch.from_numpy(value)
        else:
            scalars[item.name] = value
    return scalars
