"""Board data that is sent only while it is visible: scores per column, and the filmstrip.

All functions are vectorized: they count a snapshot's tokens per column, picture and patch without a loop over tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hermes.snapshot import TIERS, VISION, Snapshot

NOT_SCORED = 255
MOST = 254
MODES = ("kept", "importance", "recency", "guidance", "answer")
"""Display modes of the chart of layers and frames."""
SCORE_MODES = ("importance", "recency", "guidance")
MAX_PICTURES = 24
STEADY = 0.75
"""Hysteresis of the filmstrip: a picture keeps its frame while that holds at least this share of the best frame's tokens.

Without it the filmstrip would flicker.
"""

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Wanted:
    """What the browser shows now. Only this is sent.

    Attributes:
        mode: Mode of the chart of layers and frames, one of `MODES`.
        first: First frame of the filmstrip's window.
        stop: End of the window (exclusive); 0 for the whole axis.
        pictures: Number of pictures that fit into the filmstrip, 0 (not visible) to `MAX_PICTURES`.
    """

    mode: str = "kept"
    first: int = 0
    stop: int = 0
    pictures: int = 0

    @classmethod
    def read(cls, data: Any) -> Wanted:
        """Parse a browser's request. Invalid values are replaced by the defaults."""
        if not isinstance(data, Mapping):
            return cls()
        numbers = [data.get(name) for name in ("first", "stop", "pictures")]
        whole = [n if isinstance(n, int) and not isinstance(n, bool) and 0 <= n < 2**31 else 0 for n in numbers]
        mode = data.get("mode")
        return cls(mode if mode in MODES else "kept", whole[0], whole[1], min(whole[2], MAX_PICTURES))


def groups_of(snapshot: Snapshot) -> tuple[list[int], npt.NDArray[np.int64]]:
    """Return the groups of layers that the board distinguishes, and the group of each layer.

    Returns:
        The sorted groups, as indices into `TIERS` (3 if there are no tiers: all layers), and int64 [layers].
    """
    if not snapshot.tiered:
        return [len(TIERS)], np.full(snapshot.num_layers, len(TIERS))
    of = snapshot.tiers.astype(np.int64)
    return sorted(set(of.tolist())), of


def layer_of(snapshot: Snapshot) -> npt.NDArray[np.int64]:
    """Return the layer of each token [tokens]."""
    return np.repeat(np.arange(snapshot.num_layers), np.diff(snapshot.offsets))


@dataclass(frozen=True)
class ScoreColumns:
    """Scores of the columns in each layer.

    Attributes:
        values: uint8 [layers, columns] from 0 to 254, or `NOT_SCORED` where no token is held or scored.
        least: The value that 0 represents in each layer.
        largest: The value that 254 represents in each layer.
    """

    values: Bytes
    least: list[float]
    largest: list[float]


def score_columns(snapshot: Snapshot, mode: str, size: int) -> ScoreColumns:
    """Return the scores of each column of `size` frames in each layer, from the tokens still held.

    Importance and recency are means over the column's tokens, from 0 to 1. Guidance is the share of the guidance prompt's
    attention that the column's tokens received together. Importance varies little within a layer, so its bytes cover the
    range from the layer's smallest to its largest value; guidance is relative to the layer's largest.
    """
    name = {"importance": "importance", "recency": "recency", "guidance": "guidance_attention"}[mode]
    values = getattr(snapshot, name)
    columns = -(-snapshot.frames_seen // size)
    fits = (snapshot.kind == VISION) & np.isfinite(values)
    cell = layer_of(snapshot)[fits] * columns + snapshot.frame[fits] // size
    count = np.bincount(cell, minlength=snapshot.num_layers * columns).reshape(-1, columns)
    total = np.bincount(cell, values[fits], minlength=snapshot.num_layers * columns).reshape(-1, columns)
    least, largest = np.zeros(snapshot.num_layers), np.ones(snapshot.num_layers)
    figure = total / np.maximum(count, 1)
    if mode == "guidance":
        figure, largest = total.astype(np.float64), total.max(axis=1, initial=0.0)
    elif mode == "importance":
        any_scored = (count > 0).any(axis=1)
        least = np.where(any_scored, np.where(count > 0, figure, np.inf).min(axis=1, initial=np.inf), 0.0)
        largest = np.where(any_scored, np.where(count > 0, figure, -np.inf).max(axis=1, initial=-np.inf), 1.0)
    share = (figure - least[:, None]) / np.maximum(largest - least, 1e-12)[:, None]
    values = np.where(count > 0, np.rint(np.clip(share, 0, 1) * MOST), NOT_SCORED).astype(np.uint8)
    return ScoreColumns(values, np.round(least, 6).tolist(), np.round(largest, 6).tolist())


@dataclass(frozen=True)
class Film:
    """The filmstrip. Picture `i` represents `size` frames from `first + i * size` on.

    Attributes:
        first: First frame of the window.
        size: Frames per picture.
        masks: Share of each patch that each group's layers still hold, averaged over the picture's frames,
            uint8 [pictures, groups, patches]; 255 means all.
        shown: The frame that each picture shows [pictures]: the one with most tokens held, chosen among the evidence of
            the last answer if the picture covers some.
    """

    first: int
    size: int
    masks: Bytes
    shown: npt.NDArray[np.int64]


def film(
    snapshot: Snapshot,
    wanted: Wanted,
    axis: int,
    before: Film | None = None,
    evidence: npt.NDArray[np.int64] | None = None,
) -> Film:
    """Return the filmstrip of the visible window, for the frames seen so far.

    Args:
        snapshot: The memory.
        wanted: The window.
        axis: Length of the whole time axis, in frames.
        before: The previous filmstrip, whose choice of frames is kept where possible (see `STEADY`).
        evidence: Frames that show the evidence of the last answer [evidence frames].
    """
    stop = min(wanted.stop or axis, axis)
    first = min(wanted.first, max(stop - 1, 0))
    size = max(1, -(-(stop - first) // max(wanted.pictures, 1)))
    seen = min(stop, snapshot.frames_seen)
    pictures = max(0, -(-(seen - first) // size))
    groups, of = groups_of(snapshot)
    patches = snapshot.tokens_per_frame
    row = np.searchsorted(groups, of)[layer_of(snapshot)]
    at = (snapshot.patch >= 0) & (snapshot.frame >= first) & (snapshot.frame < seen)
    picture = (snapshot.frame[at] - first) // size
    cell = (picture * len(groups) + row[at]) * patches + snapshot.patch[at]
    held = np.bincount(cell, minlength=pictures * len(groups) * patches).reshape(pictures, len(groups), patches)
    layers = np.bincount(np.searchsorted(groups, of), minlength=len(groups))
    frames = np.minimum(size, seen - first - np.arange(pictures) * size)
    share = held / np.maximum(layers[None, :, None] * frames[:, None, None], 1)
    masks = np.rint(np.minimum(share, 1) * 255).astype(np.uint8)
    return Film(first, size, masks, _shown(snapshot, first, size, seen, before, evidence))


def _shown(
    snapshot: Snapshot,
    first: int,
    size: int,
    seen: int,
    before: Film | None,
    evidence: npt.NDArray[np.int64] | None,
) -> npt.NDArray[np.int64]:
    """Return the frame of each picture: the one with most tokens held, and the newest of several such frames.

    If a picture covers evidence of the last answer, only that is considered.
    """
    pictures = max(0, -(-(seen - first) // size))
    held = np.full(pictures * size, -1, np.int64)
    held[: max(seen - first, 0)] = snapshot.kept[:, first:seen].sum(axis=0, dtype=np.int64)
    table = held.reshape(pictures, size)
    if evidence is not None and len(evidence):
        inside = evidence[(evidence >= first) & (evidence < seen)] - first
        shows = np.isin(np.arange(pictures * size), inside).reshape(pictures, size)
        table = np.where(shows.any(axis=1, keepdims=True) & ~shows, -1, table)
    best = size - 1 - table[:, ::-1].argmax(axis=1) if pictures else np.zeros(0, np.int64)
    row = np.arange(pictures)
    if before is not None and (before.first, before.size) == (first, size):
        known = min(len(before.shown), pictures)
        old = before.shown[:known] - first - row[:known] * size
        stays = table[row[:known], old] >= STEADY * table[row[:known], best[:known]]
        best[:known] = np.where(stays, old, best[:known])
    return first + row * size + best
