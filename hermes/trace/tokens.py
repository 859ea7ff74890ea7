"""The tokens of consecutive snapshots as plain columns: each column holds one field of all snapshots, one after the other.

Pure functions on numpy arrays. Every field is stored exactly, except three that `hermes.trace.rounding` rounds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hermes.files.checks import flag, mapping, sequence, shaped, within
from hermes.files.limits import LARGEST_NUMBER, RUN_LIMITS, FileTooLargeError
from hermes.snapshot import Snapshot
from hermes.trace.block import Array, DamagedError
from hermes.trace.rounding import UNIT_FIGURES, coarse, coarse_code, coded, figure

Int = npt.NDArray[np.int64]

TOKEN_FIELDS: Mapping[str, type[np.generic]] = {
    "frame": np.int32, "patch": np.int16, "kind": np.int8, "mass": np.float32, "position": np.float32,
    "token_seconds": np.float32,
}  # fmt: skip
"""Fields with one value for each token, and their types."""
OPTIONAL_TOKEN_FIELDS: Mapping[str, type[np.generic]] = {"first_frame": np.int32, "held_by": np.float32}
"""Further fields with one value for each token, which are empty for some policies."""
GUIDANCE = "guidance_attention"
GRIDS = ("kept", "archived")
"""Fields with one value for each frame and layer, uint16; `archived` is empty for some policies."""
FIELDS = ("offsets", "tiers", *TOKEN_FIELDS, *OPTIONAL_TOKEN_FIELDS, GUIDANCE, *UNIT_FIGURES, *GRIDS)
"""Every field of a snapshot that these functions store."""


def encode(snapshots: Sequence[Snapshot]) -> tuple[dict[str, Any], dict[str, Array]]:
    """Encode the tokens of snapshots as a JSON value and columns.

    Args:
        snapshots: At least one, all of one stream with one number of layers.
    """

    def joined(name: str) -> Array:
        return np.concatenate([getattr(s, name).reshape(-1) for s in snapshots])

    units = {name: coded(joined(name)) for name in UNIT_FIGURES}
    arrays: dict[str, Array] = {
        "lengths": np.stack([np.diff(s.offsets) for s in snapshots]),
        "tiers": np.stack([s.tiers for s in snapshots]),
        **{name: joined(name) for name in (*TOKEN_FIELDS, *OPTIONAL_TOKEN_FIELDS, *GRIDS)},
        GUIDANCE: coarse_code(joined(GUIDANCE)),
        **{name: codes for name, (codes, _) in units.items()},
    }
    return {
        "filled": {
            name: [bool(getattr(s, name).size) for s in snapshots] for name in (*OPTIONAL_TOKEN_FIELDS, "archived")
        },
        "steps": {name: steps for name, (_, steps) in units.items()},
    }, arrays


def decode(meta: Mapping[str, Any], arrays: Mapping[str, Array], frames: Sequence[int]) -> list[dict[str, Array]]:
    """Decode the columns of `encode`: for each snapshot the arrays named in `FIELDS`, without empty ones.

    Args:
        meta: The JSON value of `encode`.
        arrays: The columns of `encode`.
        frames: Frames seen at each snapshot.

    Raises:
        InvalidValueError: The columns have inconsistent lengths.
        DamagedError: A column is missing or has the wrong type.
        FileTooLargeError: There are too many layers.
    """
    moments = len(frames)
    lengths = shaped(_column(arrays, "lengths"), (moments, None), "numbers of tokens")
    layers = lengths.shape[1]
    if layers < 1:
        raise DamagedError("A moment has no layers.")
    if layers > RUN_LIMITS.layers:
        raise FileTooLargeError(f"It has {layers:,} layers, and at most {RUN_LIMITS.layers:,} are read.")
    within(lengths, 0, LARGEST_NUMBER / RUN_LIMITS.layers, "numbers of tokens")
    lengths = lengths.astype(np.int64)
    tiers = shaped(_column(arrays, "tiers"), (moments, layers), "tiers")
    tiers = within(tiers, 0, 2, "tiers").astype(np.int8)
    counts, cells = lengths.sum(1), np.asarray(frames, np.int64) * layers
    filled = _filled(mapping(meta.get("filled"), "list of fields"), moments)
    steps = mapping(meta.get("steps"), "list of scales")
    columns: dict[str, list[Array | None]] = {
        name: _split(arrays, name, counts, dtype, None) for name, dtype in TOKEN_FIELDS.items()
    }
    for name, dtype in OPTIONAL_TOKEN_FIELDS.items():
        columns[name] = _split(arrays, name, counts, dtype, filled[name])
    columns[GUIDANCE] = [part if part is None else coarse(part) for part in _codes(arrays, GUIDANCE, counts)]
    for name in UNIT_FIGURES:
        scale = flag(steps.get(name), "list of scales")
        columns[name] = [part if part is None else figure(part, scale) for part in _codes(arrays, name, counts)]
    grids = {
        name: [
            part if part is None else part.reshape(layers, -1)
            for part in _split(arrays, name, cells, np.uint16, filled.get(name))
        ]
        for name in GRIDS
    }
    return [
        {
            "offsets": np.concatenate(([0], np.cumsum(lengths[i]))).astype(np.int64),
            "tiers": tiers[i],
            **{name: part for name, parts in {**columns, **grids}.items() if (part := parts[i]) is not None},
        }
        for i in range(moments)
    ]


def _codes(arrays: Mapping[str, Array], name: str, counts: Int) -> list[Array | None]:
    limits = np.iinfo(np.int16)
    within(_column(arrays, name), limits.min, limits.max, f"column “{name}”")
    return _split(arrays, name, counts, np.int64, None)


def _split(
    arrays: Mapping[str, Array], name: str, counts: Int, dtype: type[np.generic], filled: list[bool] | None
) -> list[Array | None]:
    """Split a column by snapshot; None for snapshots without the field."""
    column = _column(arrays, name)
    if filled is not None:
        counts = np.where(filled, counts, 0)
    shaped(column, (int(counts.sum()),), f"column “{name}”")
    target = np.dtype(dtype)
    if target.kind == "f":
        if column.dtype != target:
            raise DamagedError(f"The column “{name}” has the type {column.dtype.name}.")
    else:
        limits = np.iinfo(target)
        if column.dtype.kind not in "iu":
            raise DamagedError(f"The column “{name}” has the type {column.dtype.name}.")
        within(column, limits.min, limits.max, f"column “{name}”")
    parts: list[Array | None] = []
    stop = 0
    for i, count in enumerate(counts.tolist()):  # one step for each snapshot
        start, stop = stop, stop + count
        parts.append(None if filled is not None and not filled[i] else column[start:stop].astype(target, copy=False))
    return parts


def _filled(listed: Mapping[str, Any], moments: int) -> dict[str, list[bool]]:
    """Return which snapshots have each optional field."""
    filled = {}
    for name in (*OPTIONAL_TOKEN_FIELDS, "archived"):
        values = [flag(value, "list of fields") for value in sequence(listed.get(name), "list of fields", moments)]
        if len(values) != moments:
            raise DamagedError("The list of fields is incomplete.")
        filled[name] = values
    return filled


def _column(arrays: Mapping[str, Array], name: str) -> Array:
    if name not in arrays:
        raise DamagedError(f"The column “{name}” is missing.")
    return arrays[name]
