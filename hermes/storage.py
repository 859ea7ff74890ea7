"""Sessions on disk: one safetensors file (no code in it, so untrusted files are safe to open), settings in its header."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from hermes.backbones.base import Backbone
from hermes.errors import HermesError
from hermes.life import ScoreRecord
from hermes.memory.archive import Archive
from hermes.memory.cache import MemoryCache
from hermes.memory.encoded import Layout
from hermes.memory.heads import HeadTable
from hermes.memory.stream_state import StreamState
from hermes.memory.tiers import FamilyConstants, Ramp
from hermes.output import OutputError, replacing
from hermes.policies import make_policy
from hermes.session_record import EvictionLog, Times
from hermes.snapshot import AnswerTrace, Eviction

if TYPE_CHECKING:
    from hermes.session import StreamSession

FORMAT = "hermes-session-2"
LAYER_FIELDS = ("keys", "values", "positions", "labels", "figures")
HEAD_FIELDS = ("positions", "labels", "figures")
LARGEST_ARCHIVE = 2_000_000_000
"""Bytes of an archive that is still written into a session's file."""


class SessionFileError(HermesError):
    """A file that is no session, or not one for this model."""


def save(session: StreamSession, path: Path) -> None:
    """Write `session` to `path`; the file appears whole or not at all.

    Raises:
        SessionFileError: The file cannot be written, or the stream's archive is too large for one.
    """
    cache, history = session._cache, session._history  # noqa: SLF001 - storage is the session's other half
    tensors: dict[str, Tensor] = {}
    for i, layer in enumerate(cache.layers if cache else []):
        held = layer.held()
        tensors |= {f"layer.{i}.{name}": getattr(held, name).contiguous().clone() for name in LAYER_FIELDS}
        if held.heads is not None:
            tensors |= {f"heads.{i}.{name}": getattr(held.heads, name).contiguous().clone() for name in HEAD_FIELDS}
    tensors |= _state_tensors(session._state)  # noqa: SLF001
    for i, (frame, _) in enumerate(session._pending):  # noqa: SLF001
        tensors[f"pending.{i}"] = torch.from_numpy(np.ascontiguousarray(frame))
    tensors["times"] = torch.tensor(history.times.array, dtype=torch.float64)
    header = {
        "format": FORMAT,
        "fingerprint": session.model.fingerprint,
        "model": session.model.card.name,
        "policy": {"name": session.policy.name, **asdict(session.policy)},
        "chunk": session.chunk,
        "prompt_len": cache.prompt_len if cache else 0,
        "stats": asdict(session.stats),
        "sequence": history.sequence,
        "conversation": history.conversation,
        "layout": asdict(session._layout) if session._layout else None,  # noqa: SLF001
        "pending": [seconds for _, seconds in session._pending],  # noqa: SLF001
        "archive_limit": session._state.archive.limit if session._state.archive else 0,  # noqa: SLF001
        "intact": [layer.intact for layer in cache.layers] if cache else [],
    }
    if history.answer:
        header["answer"] = _take_arrays(history.answer, "answer", tensors)
    header["evictions"] = [_take_arrays(e, f"eviction.{i}", tensors) for i, e in enumerate(history.evictions.view())]
    header["life"] = [_take_arrays(r, f"life.{i}", tensors) for i, r in enumerate(session.life.records)]
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
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("session", "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        if not isinstance(header, dict) or header.get("format") != FORMAT:
            raise SessionFileError(f"{path.name} is not a session of this program.")
        if header["fingerprint"] != model.fingerprint:
            raise SessionFileError(
                f"{path.name} was saved with the model “{header['model']}”; it cannot go on with “{model.card.name}”."
            )
        return _rebuild(cls, header, tensors, model)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise SessionFileError(f"{path.name} is damaged or not a session of this program.") from error


def _rebuild(
    cls: type[StreamSession], header: dict[str, Any], tensors: dict[str, Tensor], model: Backbone
) -> StreamSession:
    settings = dict(header["policy"])
    if settings.get("constants"):
        settings["constants"] = _constants(settings["constants"])
    session = cls(model, make_policy(settings.pop("name"), **settings), chunk=header["chunk"])
    history, stats = session._history, session.stats
    for name, value in header["stats"].items():
        setattr(stats, name, value)
    history.times = Times(tensors["times"].numpy())
    history.sequence = header["sequence"]
    history.conversation = tuple(header["conversation"]) if header["conversation"] else None
    if "answer" in header:
        history.answer = _put_arrays(AnswerTrace, header["answer"], "answer", tensors)
    history.evictions = EvictionLog(
        _put_arrays(Eviction, scalars, f"eviction.{i}", tensors) for i, scalars in enumerate(header["evictions"])
    )
    for i, scalars in enumerate(header.get("life", [])):
        session.life.add(_put_arrays(ScoreRecord, scalars, f"life.{i}", tensors))
    if header["layout"]:
        shape = header["layout"]
        session._layout = Layout(
            tuple(shape["grid"]), tuple(shape["pixels"]), shape["frames_per_step"], shape["interval"]
        )
    pending = [(tensors[f"pending.{i}"].numpy(), seconds) for i, seconds in enumerate(header["pending"])]
    session._pending = pending
    if len(history.times):
        session._cache = _cache(header, tensors, model)
    session._state.tensors = {
        name.removeprefix("state."): value.to(model.device if value.dim() else "cpu")
        for name, value in tensors.items()
        if name.startswith("state.")
    }
    archived = {name.removeprefix("archive."): value for name, value in tensors.items() if name.startswith("archive.")}
    if archived:
        session._state.archive = Archive.of_state(archived, header["archive_limit"], model.device)
    return session


def _state_tensors(state: StreamState) -> dict[str, Tensor]:
    """What a policy remembers beside the cache, by name."""
    tensors = {f"state.{name}": value.contiguous().clone() for name, value in state.tensors.items()}
    if state.archive is None:
        return tensors
    if state.archive.nbytes > LARGEST_ARCHIVE:
        raise SessionFileError(
            f"This stream’s archive holds {state.archive.nbytes / 1e9:.1f} GB of keys and values; a session is saved with "
            f"at most {LARGEST_ARCHIVE / 1e9:.0f} GB. It goes on as long as this program runs."
        )
    return tensors | {f"archive.{name}": value for name, value in state.archive.state().items()}


def _cache(header: dict[str, Any], tensors: dict[str, Tensor], model: Backbone) -> MemoryCache:
    length = max(tensors[f"layer.{i}.keys"].shape[1] for i in range(model.num_layers))
    cache = model.new_cache(length + 512)
    cache.prompt_len = int(header["prompt_len"])
    for i, layer in enumerate(cache.layers):
        layer.length = tensors[f"layer.{i}.keys"].shape[1]
        layer.intact = bool(header["intact"][i])
        for name in LAYER_FIELDS:
            getattr(layer, name)[:, : layer.length] = tensors[f"layer.{i}.{name}"].to(model.device)
        if f"heads.{i}.labels" in tensors:
            heads = HeadTable(*(tensors[f"heads.{i}.{name}"].to(layer.keys.device) for name in HEAD_FIELDS))
            layer.heads = heads.reallocated(layer.length, layer.capacity)
    return cache


def _constants(values: dict[str, Any]) -> FamilyConstants:
    alpha, k = (tuple(Ramp(**ramp) for ramp in values[name]) for name in ("alpha", "k"))
    return FamilyConstants(alpha, k, tuple(values["gamma"]))  # type: ignore[arg-type]


def _take_arrays(record: Any, prefix: str, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Move a record's arrays into `tensors`; what is left goes into the header."""
    scalars = {}
    for item in fields(record):
        value = getattr(record, item.name)
        if isinstance(value, np.ndarray):
            tensors[f"{prefix}.{item.name}"] = torch.from_numpy(value)
        else:
            scalars[item.name] = value
    return scalars


def _put_arrays(cls: type[Any], scalars: dict[str, Any], prefix: str, tensors: dict[str, Tensor]) -> Any:
    arrays = {f.name: tensors[f"{prefix}.{f.name}"].numpy() for f in fields(cls) if f"{prefix}.{f.name}" in tensors}
    return cls(**scalars, **arrays)
