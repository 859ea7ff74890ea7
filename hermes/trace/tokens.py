"""The tokens of a row of snapshots as columns of small numbers, each moment told by how it differs from the one before.

Pure functions on numpy arrays. Between two snapshots a few tokens leave, new ones come at the end, and the figures of an
eviction change; so a token is named by where it stood before (`source`), and a column tells only what differs from its
prediction. What is exact in a snapshot stays exact, except three figures, which `hermes.trace.rounding` rounds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hermes.snapshot import TEXT, Snapshot
from hermes.trace.block import Array, DamagedError
from hermes.trace.rounding import NONE, UNIT_FIGURES, coarse, coarse_code, coded, figure

Int = npt.NDArray[np.int64]
Float = npt.NDArray[np.float32]

LABELS = ("frame", "patch", "kind")
LABEL_TYPES = {"frame": np.int32, "patch": np.int16, "kind": np.int8}
TOKEN_FIELDS = ("offsets", *LABELS, "mass", "position", *UNIT_FIGURES, "guidance_attention", "token_seconds", "kept")
"""Fields of a snapshot that these functions always store."""
SOME_TOKENS = ("first_frame", "held_by")
SOME_FRAMES = ("archived",)
"""Fields that some policies leave empty: values of every token, and of every frame in every layer."""

_COLUMNS = ("mass", "token_seconds", "position", "guidance_attention", *UNIT_FIGURES)
_ONE = int(np.float32(1).view(np.int32))
_NAN = int(np.float32(np.nan).view(np.int32))


# Coding ---------------------------------------------------------------------------------------------------------------


def encode(
    snapshots: Sequence[Snapshot], frame_times: npt.NDArray[np.float64]
) -> tuple[dict[str, Any], dict[str, Array]]:
    """Tokens of snapshots that follow each other, as a JSON value and columns; the first stands by itself.

    Args:
        snapshots: At least one, all of one stream with one number of layers.
        frame_times: Time of every frame of the stream, in seconds; at least those that the snapshots have seen.
    """
    extras = [name for name in SOME_TOKENS if all(_fills(s, name, s.frame.shape) for s in snapshots)]
    grids = ["kept", *(n for n in SOME_FRAMES if all(_fills(s, n, s.kept.shape) for s in snapshots))]
    steps = {name: all(coded(getattr(s, name))[1] for s in snapshots) for name in UNIT_FIGURES}
    whole = all(_is_whole(s.position) for s in snapshots)
    names = [*_COLUMNS, *extras]
    sources, changed, values = [], _lists(names), _lists(names)
    odd, odd_values = _lists(grids), _lists(grids)
    new: dict[str, list[Array]] = {name: [] for name in LABELS}
    before: Snapshot | None = None
    columns_before: dict[str, Int] = {}
    for now in snapshots:
        source = _sources(before, now)
        columns = {**_columns(now, steps, whole), **{name: _whole_numbers(getattr(now, name)) for name in extras}}
        guess = predict(source, columns_before, now.frame, frame_times)
        for name, column in columns.items():
            differs = column != guess[name]
            changed[name].append(differs)
            values[name].append((column - guess[name])[differs])
        for name in grids:
            rest = getattr(now, name).astype(np.int64) - _expected(name, now, before, extras)
            odd[name].append(np.flatnonzero(rest))
            odd_values[name].append(rest[rest != 0])
        for name in LABELS:
            new[name].append(getattr(now, name)[source < 0])
        sources.append(_jumps(source))
        before, columns_before = now, columns
    arrays: dict[str, Array] = {
        "lengths": np.stack([np.diff(s.offsets) for s in snapshots]),
        "source": np.concatenate(sources),
        "new.frame": np.diff(np.concatenate(new["frame"]).astype(np.int64), prepend=0),
        "new.patch": np.concatenate(new["patch"]),
        "new.kind": np.concatenate(new["kind"]),
    }
    for name in changed:
        arrays[f"changed.{name}"] = np.packbits(np.concatenate(changed[name]))
        arrays[f"value.{name}"] = _difference(np.concatenate(values[name]), name)
    for name in grids:
        arrays[f"odd.{name}"] = np.concatenate(odd[name])
        arrays[f"odd.{name}.counts"] = np.array([len(where) for where in odd[name]], np.int64)
        arrays[f"odd.{name}.values"] = np.concatenate(odd_values[name])
    return {"steps": steps, "whole_positions": whole, "extras": extras, "grids": grids}, arrays


def decode(
    meta: Mapping[str, Any], arrays: Mapping[str, Array], frame_times: npt.NDArray[np.float64], frames: Sequence[int]
) -> list[dict[str, Array]]:
    """What `encode` was given: for each moment the arrays named in `TOKEN_FIELDS`.

    Args:
        meta: As `encode` returned it.
        arrays: As `encode` returned them.
        frame_times: As given to `encode`.
        frames: Frames seen at each moment.

    Raises:
        DamagedError: The columns do not fit together.
    """
    lengths = arrays["lengths"].astype(np.int64)
    if len(lengths) != len(frames) or (lengths < 0).any():
        raise DamagedError("Its moments do not fit together.")
    counts = lengths.sum(1)
    starts = np.concatenate(([0], np.cumsum(counts)))
    total = int(starts[-1])
    jumps = _exactly(arrays["source"], total)
    fresh = np.concatenate(([0], np.cumsum(jumps == 0)))
    labels = {name: _exactly(arrays[f"new.{name}"], int(fresh[-1])).astype(np.int64) for name in LABELS}
    labels["frame"] = np.cumsum(labels["frame"])
    names = [*_COLUMNS, *(name for name in meta["extras"] if name in SOME_TOKENS)]
    changed = {
        n: np.unpackbits(_exactly(arrays[f"changed.{n}"], -(-total // 8)), count=total).astype(bool) for n in names
    }
    done = {n: np.concatenate(([0], np.cumsum(changed[n]))) for n in names}
    values = {n: _sum(_exactly(arrays[f"value.{n}"], int(done[n][-1])), n) for n in names}
    moments: list[dict[str, Array]] = []
    columns: dict[str, Int] = {}
    held: dict[str, Int] = {}
    for i, seen in enumerate(frames):
        part = slice(starts[i], starts[i + 1])
        source = _from_jumps(jumps[part], len(held["frame"]) if held else 0)
        held = {
            name: _follow(source, held.get(name), labels[name][fresh[starts[i]] : fresh[starts[i + 1]]])
            for name in LABELS
        }
        if len(held["frame"]) and held["frame"].max() >= min(seen, len(frame_times)):
            raise DamagedError("A token belongs to a frame that was never seen.")
        guess = predict(source, columns, held["frame"], frame_times)
        columns = {name: guess[name] for name in names}
        for name in names:
            where = np.flatnonzero(changed[name][part])
            columns[name][where] += values[name][done[name][starts[i]] : done[name][starts[i + 1]]]
        moments.append(_arrays(meta, lengths[i], held, columns))
        _add_grids(meta, arrays, moments, seen)
    return moments


def _add_grids(
    meta: Mapping[str, Any], arrays: Mapping[str, Array], moments: list[dict[str, Array]], frames: int
) -> None:
    """Put `kept`, and what else is told of every frame in every layer, into the newest of the moments."""
    now, before, i = moments[-1], moments[-2] if len(moments) > 1 else None, len(moments) - 1
    shape = (len(now["offsets"]) - 1, frames)
    for name in ("kept", *(name for name in meta["grids"] if name in SOME_FRAMES)):
        last = None if before is None or name not in before else before[name]
        grid = held_tokens(now, shape) if name == "kept" else _padded(last, shape)
        stops = np.concatenate(([0], np.cumsum(arrays[f"odd.{name}.counts"].astype(np.int64))))
        part = slice(stops[i], stops[i + 1])
        grid.reshape(-1)[arrays[f"odd.{name}"][part]] += arrays[f"odd.{name}.values"][part]
        now[name] = grid.astype(np.uint16)


def predict(
    source: Int, before: Mapping[str, Int], frame: Array, frame_times: npt.NDArray[np.float64]
) -> dict[str, Int]:
    """What each column would be if nothing had changed: as it was for tokens held before, the usual for new ones.

    Args:
        source: Where each token stood at the moment before, -1 for new ones [tokens].
        before: The columns of that moment.
        frame: Frame of each token [tokens].
        frame_times: Time of every frame, in seconds.
    """
    new = source < 0
    seconds = np.where(frame >= 0, frame_times.astype(np.float32)[np.maximum(frame, 0)], np.float32(np.nan))
    usual: dict[str, Any] = {
        "mass": _ONE,
        "token_seconds": np.where(frame >= 0, seconds.view(np.int32), _NAN),
        "position": 0,
        "guidance_attention": int(coarse_code(np.full(1, np.nan, np.float32))[0]),
        **dict.fromkeys(UNIT_FIGURES, NONE),
        "first_frame": frame,
        "held_by": _ONE,
    }
    if not before:
        return {name: np.broadcast_to(value, source.shape).astype(np.int64) for name, value in usual.items()}
    return {name: np.where(new, value, before[name][source]) for name, value in usual.items() if name in before}


def held_tokens(flat: Mapping[str, Array], shape: tuple[int, int]) -> Int:
    """What `kept` is expected to be: tokens of each frame in each layer, by the shares of heads that hold them."""
    layers = np.repeat(np.arange(shape[0]), np.diff(flat["offsets"]))
    seen = (flat["frame"] >= 0) & (flat["kind"] != TEXT)
    cells = layers[seen] * shape[1] + flat["frame"][seen]
    shares = flat["held_by"][seen] if len(flat.get("held_by", ())) else None
    held = np.bincount(cells, shares, minlength=shape[0] * shape[1])
    return np.maximum(np.rint(held), held > 0).astype(np.int64).reshape(shape)


def _expected(name: str, now: Snapshot, before: Snapshot | None, extras: Sequence[str]) -> Int:
    if name != "kept":
        return _padded(None if before is None else getattr(before, name), now.kept.shape)
    fields = ("offsets", "frame", "kind", *(name for name in extras if name == "held_by"))
    flat = {field: getattr(now, field) for field in fields}
    return held_tokens(flat, now.kept.shape)


def _padded(grid: Array | None, shape: tuple[int, ...]) -> Int:
    out = np.zeros(shape, np.int64)
    if grid is not None:
        out[:, : grid.shape[1]] = grid
    return out


def _fills(snapshot: Snapshot, name: str, shape: tuple[int, ...]) -> bool:
    """Whether a field exists, is not empty, and has a value for everything."""
    values = getattr(snapshot, name, None)
    return values is not None and values.size > 0 and values.shape == shape


def _lists(names: Sequence[str]) -> dict[str, list[Array]]:
    return {name: [] for name in names}


def _whole_numbers(values: Array) -> Int:
    return (values.view(np.int32) if values.dtype == np.float32 else values).astype(np.int64)


def _columns(now: Snapshot, steps: Mapping[str, bool], whole: bool) -> dict[str, Int]:
    """The columns as whole numbers, from which the floats can be made again."""

    def unit(name: str) -> Int:
        values = getattr(now, name)
        return coded(values)[0] if steps[name] else values.astype(np.float16).view(np.int16).astype(np.int64)

    return {
        "mass": now.mass.view(np.int32).astype(np.int64),
        "token_seconds": now.token_seconds.view(np.int32).astype(np.int64),
        "position": now.position.astype(np.int64) if whole else now.position.view(np.int32).astype(np.int64),
        "guidance_attention": coarse_code(now.guidance_attention),
        **{name: unit(name) for name in UNIT_FIGURES},
    }


def _arrays(meta: Mapping[str, Any], lengths: Int, held: dict[str, Int], columns: dict[str, Int]) -> dict[str, Array]:
    """One moment's arrays out of labels and columns."""
    extras = {name: columns[name].astype(np.int32) for name in meta["extras"] if name in columns}
    if "held_by" in extras:
        extras["held_by"] = extras["held_by"].view(np.float32)
    position = columns["position"]
    return {
        "offsets": np.concatenate(([0], np.cumsum(lengths))).astype(np.int64),
        **{name: held[name].astype(LABEL_TYPES[name]) for name in LABELS},
        "mass": columns["mass"].astype(np.int32).view(np.float32),
        "token_seconds": columns["token_seconds"].astype(np.int32).view(np.float32),
        "position": position.astype(np.float32)
        if meta["whole_positions"]
        else position.astype(np.int32).view(np.float32),
        "guidance_attention": coarse(columns["guidance_attention"]),
        **{name: figure(columns[name], meta["steps"][name]) for name in UNIT_FIGURES},
        **extras,
    }


# Where a token stood before -------------------------------------------------------------------------------------------


def _sources(before: Snapshot | None, now: Snapshot) -> Int:
    """Where each token stood in the flat arrays of the snapshot before, -1 for new ones [tokens]."""
    if before is None or not len(before.frame) or not len(now.frame):
        return np.full(len(now.frame), -1, np.int64)
    sizes = [max(int(getattr(s, name).max()) for s in (before, now)) + 2 for name in LABELS]
    old, new = _names(before, sizes), _names(now, sizes)
    most = max(old.max(), new.max()) + 1  # equal names (prompt, summaries) are told apart by their order
    old, new = _numbered(old, most), _numbered(new, most)
    order = np.argsort(old)
    at = np.minimum(np.searchsorted(old[order], new), len(order) - 1)
    source = np.where(old[order][at] == new, order[at], -1)
    # A token that moved before an older one counts as new: sources always rise.
    return np.where(source < np.maximum.accumulate(np.concatenate(([-1], source[:-1]))), -1, source)


def _names(snapshot: Snapshot, sizes: Sequence[int]) -> Int:
    name = np.repeat(np.arange(snapshot.num_layers), np.diff(snapshot.offsets)).astype(np.int64)
    for label, size in zip(LABELS, sizes, strict=True):
        name = name * size + getattr(snapshot, label) + 1
    return name


def _numbered(names: Int, most: int) -> Int:
    """Names made unique: the first of equal ones as it is, the next plus `most`, and so on."""
    order = np.argsort(names, kind="stable")
    ordered = names[order]
    first = np.concatenate(([True], ordered[1:] != ordered[:-1]))
    start = np.maximum.accumulate(np.where(first, np.arange(len(names)), 0))
    out = np.empty_like(names)
    out[order] = ordered + (np.arange(len(names)) - start) * most
    return out


def _jumps(source: Int) -> Int:
    """Rising sources as steps from one to the next, mostly 1; 0 for new tokens."""
    jumps = np.zeros_like(source)
    kept = source >= 0
    jumps[kept] = np.diff(source[kept], prepend=-1)
    return jumps


def _from_jumps(jumps: Array, held: int) -> Int:
    source = np.where(jumps == 0, -1, np.cumsum(jumps.astype(np.int64)) - 1)
    if len(source) and (source.max() >= held or (jumps < 0).any()):
        raise DamagedError("A token comes from nowhere.")
    return source


def _follow(source: Int, before: Int | None, new: Int) -> Int:
    """Labels of tokens held before, with those of new ones put in their places."""
    out = np.empty(len(source), np.int64)
    fresh = source < 0
    out[fresh] = new
    if before is not None:
        out[~fresh] = before[source[~fresh]]
    return out


# Small things ---------------------------------------------------------------------------------------------------------


def _is_whole(position: Float) -> bool:
    return bool(
        np.isfinite(position).all() and (position == np.rint(position)).all() and (np.abs(position) < 2**24).all()
    )


def _difference(values: Int, name: str) -> Int:
    """Positions shift together when they are compacted, so of their changes the differences are told."""
    return np.diff(values, prepend=0) if name == "position" else values


def _sum(values: Array, name: str) -> Int:
    whole = values.astype(np.int64)
    return np.cumsum(whole) if name == "position" else whole


def _exactly(values: Array, count: int) -> Array:
    if values.shape != (count,):
        raise DamagedError("Its columns do not have the same length.")
    return values
