"""Metrics of a memory, one number each, for lessons and reports: pure numpy functions of a snapshot.

A metric that is undefined for a snapshot is nan.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hermes.snapshot import SUMMARY, AnswerTrace, Snapshot

Bool = npt.NDArray[np.bool_]

NEWEST: float = 0.25
"""Share of the frames seen that counts as the newest."""
START_SECONDS: float = 1.0
"""Length of the start of a stream, see `kept_start`."""


@dataclass(frozen=True)
class KeptStart:
    """Layers that still hold the start of a stream although they evicted most of what followed.

    Attributes:
        frames: Number of frames of the start: those of the first second, at least one.
        layers: The layers, ascending.
        ratio: Largest mean guidance attention on a token of the start divided by that on other frame tokens, over these
            layers; nan if no layer has measured it.
        ratio_layer: Layer with this ratio; -1 if there is none.
    """

    frames: int
    layers: tuple[int, ...]
    ratio: float
    ratio_layer: int


def _layers(shot: Snapshot, tier: int | None) -> npt.NDArray[np.int64]:
    """Layers of a tier; None: all layers."""
    return np.arange(shot.num_layers) if tier is None else np.flatnonzero(shot.tiers == tier)


def _mean(values: npt.NDArray[np.floating]) -> float:
    return float(values.mean()) if values.size else math.nan


def bytes_per_token(shot: Snapshot) -> float:
    """Bytes of keys and values of one token in all layers."""
    cached = shot.tokens_seen + shot.prompt_len
    return shot.full_cache_bytes / cached if cached else math.nan


def newest_share(shot: Snapshot, tier: int | None = None) -> float:
    """Share of a tier's frame tokens that belong to the newest quarter of the frames, 0 to 1."""
    kept = shot.kept[_layers(shot, tier)].astype(np.float64)
    newest = math.ceil(shot.frames_seen * NEWEST)
    total = kept.sum()
    return float(kept[:, -newest:].sum() / total) if newest and total else math.nan


def frames_touched(shot: Snapshot, tier: int | None = None) -> float:
    """Share of the frames seen of which a layer holds at least one token, 0 to 1, mean over the tier's layers."""
    return _mean((shot.kept[_layers(shot, tier)] > 0).astype(np.float64))


def during(shot: Snapshot, start: float, end: float) -> Bool:
    """Mask of the frames between two times in seconds, inclusive [frames]."""
    return (shot.frame_times >= start) & (shot.frame_times <= end)


def held(shot: Snapshot, frames: Bool, tier: int | None = None) -> float:
    """Share of the tokens of `frames` [frames] that a tier still holds, 0 to 1, mean over its layers."""
    return _mean(shot.kept[_layers(shot, tier)][:, frames] / max(shot.tokens_per_frame, 1))


def largest_position(shot: Snapshot) -> float:
    """The largest rotary position in the cache."""
    return float(shot.position.max()) if shot.position.size else math.nan


def reindexed_times(shot: Snapshot) -> int:
    """Number of evictions that re-indexed the positions of at least one layer."""
    return sum(bool(eviction.reindexed.any()) for eviction in shot.evictions)


def evicted_share(shot: Snapshot) -> float:
    """Share of the tokens seen that a layer has evicted, 0 to 1, mean over layers."""
    if not shot.tokens_seen or not shot.num_layers:
        return math.nan
    evicted = sum(int(eviction.evicted.sum()) for eviction in shot.evictions)
    return evicted / (shot.num_layers * shot.tokens_seen)


def summary_tokens(shot: Snapshot) -> int:
    """Number of summary tokens in all layers."""
    return int((shot.kind == SUMMARY).sum())


def summary_mass(shot: Snapshot) -> float:
    """Tokens that the summary tokens of a layer represent, mean over the layers that have summary tokens; 0 without any."""
    layer = np.repeat(np.arange(shot.num_layers), np.diff(shot.offsets))
    summary = shot.kind == SUMMARY
    layers = len(np.unique(layer[summary]))
    return float(shot.mass[summary].sum() / layers) if layers else 0.0


def neighbour_overlap(shot: Snapshot, tier: int | None = None) -> float:
    """Jaccard index of the frame tokens that adjacent layers hold, 0 to 1.

    Mean over the pairs of adjacent layers that both belong to the tier; prompt and summary tokens are excluded.
    """
    layers = _layers(shot, tier)
    size = shot.tokens_per_frame
    sets = {}
    for index in layers:
        part = shot.layer(int(index))
        frame, patch = part["frame"].astype(np.int64), part["patch"].astype(np.int64)
        sets[int(index)] = (frame * size + patch)[(frame >= 0) & (patch >= 0)]
    pairs = [(sets[a], sets[a + 1]) for a in sets if a + 1 in sets]
    alike = [len(np.intersect1d(a, b)) / max(len(np.union1d(a, b)), 1) for a, b in pairs]
    return _mean(np.asarray(alike, np.float64))


def border(shot: Snapshot) -> Bool:
    """Mask of the patches at the edge of a frame [rows * columns]."""
    rows, columns = shot.grid
    edge = np.zeros((rows, columns), bool)
    edge[[0, -1]] = edge[:, [0, -1]] = True
    return edge.ravel()


def answer_newest_share(shot: Snapshot, trace: AnswerTrace, tier: int | None = None) -> float:
    """Share of an answer's attention to frames that is on the newest quarter of them, 0 to 1, mean over layers."""
    read = trace.attention[_layers(shot, tier)].astype(np.float64)
    newest = math.ceil(read.shape[1] * NEWEST)
    total = read.sum(axis=1)
    if not newest or not (total > 0).any():
        return math.nan
    return _mean(read[total > 0, -newest:].sum(axis=1) / total[total > 0])


def answer_on(shot: Snapshot, trace: AnswerTrace, frames: Bool, tier: int | None = None) -> float:
    """Share of an answer's attention to frames that is on `frames` [frames], 0 to 1, mean over layers."""
    read = trace.attention[_layers(shot, tier)].astype(np.float64)
    total = read.sum(axis=1)
    there = np.zeros(read.shape[1], bool)
    there[: min(len(there), len(frames))] = frames[: len(there)]
    return _mean(read[total > 0][:, there].sum(axis=1) / total[total > 0]) if (total > 0).any() else math.nan


def answer_border_ratio(shot: Snapshot, trace: AnswerTrace, frames: Bool | None = None) -> float:
    """Mean attention of an answer on tokens at a frame's edge divided by that on tokens inside.

    Above 1, edges draw more attention than their share. nan if a frame has no inside.

    Args:
        shot: The memory.
        trace: The answer.
        frames: Mask of the frames to include [frames]; None: all.
    """
    edge = border(shot)
    picture = (trace.token_patch >= 0) & (trace.token_frame >= 0)
    if frames is not None:
        picture &= frames[np.clip(trace.token_frame, 0, len(frames) - 1)]
    outside = edge[np.clip(trace.token_patch, 0, len(edge) - 1)] & picture
    inside = ~edge[np.clip(trace.token_patch, 0, len(edge) - 1)] & picture
    if not outside.any() or not inside.any() or not trace.attention_patch[inside].any():
        return math.nan
    return float(trace.attention_patch[outside].mean() / trace.attention_patch[inside].mean())


def guidance_ratio(shot: Snapshot, frames: Bool, tier: int | None = None) -> float:
    """Mean guidance attention on held tokens of `frames` [frames] divided by that on tokens of all other frames.

    nan if guidance was not measured, or if one of the two sets of tokens is empty.
    """
    layer = np.repeat(np.arange(shot.num_layers), np.diff(shot.offsets))
    counts = (shot.frame >= 0) & np.isfinite(shot.guidance_attention) & np.isin(layer, _layers(shot, tier))
    there = counts & frames[np.clip(shot.frame, 0, max(len(frames) - 1, 0))]
    other = counts & ~there
    if not there.any() or not other.any() or not shot.guidance_attention[other].any():
        return math.nan
    return float(shot.guidance_attention[there].mean() / shot.guidance_attention[other].mean())


def kept_start(shot: Snapshot) -> KeptStart:
    """Find the layers that hold at least half of the tokens of the first second.

    There are none unless the memory holds, in the mean over its layers, at most half of that share of the later frames in
    the older half of the stream: a memory that has not evicted much yet holds everything.
    """
    times, size = shot.frame_times, max(shot.tokens_per_frame, 1)
    frames = max(int((times < times[0] + START_SECONDS - 1e-6).sum()), 1) if shot.frames_seen else 0
    later = slice(frames, shot.frames_seen // 2)
    if not frames or later.stop <= later.start:
        return KeptStart(frames, (), math.nan, -1)
    start = shot.kept[:, :frames].mean(axis=1) / size
    after = shot.kept[:, later].mean(axis=1) / size
    layers = np.flatnonzero(start >= 0.5) if after.mean() <= start.mean() / 2 else np.zeros(0, np.int64)
    if not len(layers):
        return KeptStart(frames, (), math.nan, -1)
    layer = np.repeat(np.arange(shot.num_layers), np.diff(shot.offsets))
    scored = (shot.frame >= 0) & np.isfinite(shot.guidance_attention)
    first = scored & (shot.frame < frames)

    def means(mask: Bool) -> npt.NDArray[np.float64]:
        total = np.bincount(layer[mask], shot.guidance_attention[mask], minlength=shot.num_layers)
        return total / np.maximum(np.bincount(layer[mask], minlength=shot.num_layers), 1)

    attention, others = means(first)[layers], means(scored & ~first)[layers]
    ratios = np.divide(attention, others, out=np.zeros_like(attention), where=others > 0)
    if not ratios.any():
        return KeptStart(frames, tuple(layers.tolist()), math.nan, -1)
    return KeptStart(frames, tuple(layers.tolist()), float(ratios.max()), int(layers[ratios.argmax()]))
