"""Token history of a frame: scores of its tokens at each eviction, when they left, and the summaries they were merged into.

Needs numpy only, so that recorded runs can be read without torch. A session adds one `ScoreRecord` per eviction to a
`TokenHistoryLog`, which keeps them within a size limit; `token_history_of` extracts the history of one frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

UNSCORED = 255
"""In `ScoreRecord.importance`: the token has no score."""
SCORE_STEPS = 254
"""A stored score of 254 corresponds to an importance of 1."""
LIMIT_BYTES = 8_000_000
"""Upper bound of the score records of one stream, in bytes."""
NEWEST = 8
"""Number of newest records, which are thinned last."""

Bool = npt.NDArray[np.bool_]
Byte = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class ScoreRecord:
    """Score of every video token at one eviction, and whether it was retained.

    Flat arrays list the video tokens before the eviction, oldest first: those of layer 0, then those of layer 1, and so on.
    Prompt tokens are not included.

    Attributes:
        sequence: Number of the first snapshot after this eviction.
        seconds: Stream time in seconds.
        frames_seen: Frames seen before the eviction.
        offsets: Start of each layer in the flat arrays, int64 [layers + 1].
        frame: Frame of each token, -1 for a summary token, int32 [tokens].
        patch: Patch of each token, -1 if it has none, int16 [tokens].
        importance: Score of each token, 0 to 254 for 0 to 1; 255: no score, uint8 [tokens].
        kept: Whether each token was retained, bool [tokens].
        merged: Whether each layer merged the evicted tokens into a new summary token, bool [layers].
        complete: False for a thinned record, which lists only summary tokens and evicted tokens.
    """

    sequence: int
    seconds: float
    frames_seen: int
    offsets: npt.NDArray[np.int64]
    frame: npt.NDArray[np.int32]
    patch: npt.NDArray[np.int16]
    importance: Byte
    kept: Bool
    merged: Bool
    complete: bool = True

    @property
    def num_layers(self) -> int:
        """Number of layers."""
        return len(self.offsets) - 1

    @property
    def layer_of(self) -> npt.NDArray[np.int64]:
        """Layer of each token, int64 [tokens]."""
        return np.repeat(np.arange(self.num_layers), np.diff(self.offsets))

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return sum(a.nbytes for a in (self.offsets, self.frame, self.patch, self.importance, self.kept, self.merged))

    def thinned(self) -> ScoreRecord:
        """Return the record without the frame tokens that were retained."""
        if not self.complete:
            return self
        keep = ~self.kept | (self.frame < 0)
        sizes = np.bincount(self.layer_of[keep], minlength=self.num_layers)
        return replace(
            self,
            offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            frame=self.frame[keep],
            patch=self.patch[keep],
            importance=self.importance[keep],
            kept=self.kept[keep],
            complete=False,
        )


def to_bytes(importance: npt.NDArray[np.floating]) -> Byte:
    """Quantise scores of 0 to 1 (nan: no score) for `ScoreRecord.importance`."""
    scored = np.isfinite(importance)
    steps = np.rint(np.clip(np.where(scored, importance, 0), 0, 1) * SCORE_STEPS)
    return np.where(scored, steps, UNSCORED).astype(np.uint8)


def from_bytes(importance: Byte) -> npt.NDArray[np.float32]:
    """Return the scores that `to_bytes` quantised, in steps of 1/254; nan: no score."""
    return np.where(importance == UNSCORED, np.nan, importance / np.float32(SCORE_STEPS)).astype(np.float32)


class TokenHistoryLog:
    """The score records of one stream, oldest first, within a size limit.

    Above the limit, every other old record is thinned (it still lists the evicted tokens). Once all old records are thinned,
    the older half is dropped.

    Attributes:
        records: The records. The tuple is replaced, never changed, so that other threads can read it.
        limit: Upper bound in bytes; 0 keeps no records.
        lost: Number of evictions whose records were dropped.
    """

    def __init__(self, limit: int = LIMIT_BYTES) -> None:
        """Start empty."""
        self.records: tuple[ScoreRecord, ...] = ()
        self.limit = limit
        self.lost = 0
        self._nbytes = 0

    @property
    def nbytes(self) -> int:
        """Bytes of all records."""
        return self._nbytes

    @property
    def thinned(self) -> int:
        """Number of thinned records."""
        return sum(not record.complete for record in self.records)

    def add(self, *new: ScoreRecord) -> None:
        """Add the records of evictions, oldest first."""
        records, size = [*self.records, *new], self._nbytes + sum(record.nbytes for record in new)
        while size > self.limit and records:
            complete = [i for i, known in enumerate(records[:-NEWEST]) if known.complete]
            if complete:
                for i in complete[::2]:
                    records[i] = records[i].thinned()
            else:
                dropped = (len(records) + 1) // 2
                self.lost += dropped
                records = records[dropped:]
            size = sum(known.nbytes for known in records)
        self.records, self._nbytes = tuple(records), size


@dataclass(frozen=True)
class Merge:
    """Tokens of a frame that one eviction merged into a summary token of one layer.

    Attributes:
        layer: The layer.
        seconds: Stream time of the eviction, at which the summary token was created.
        tokens: Number of the frame's tokens that were merged.
        summaries: Creation times in seconds of the summary tokens that this one was later merged into, in order.
        held: Whether the last of these summary tokens was still held at the newest record.
    """

    layer: int
    seconds: float
    tokens: int
    summaries: tuple[float, ...]
    held: bool


@dataclass(frozen=True)
class TokenHistory:
    """History of one frame's tokens. Covers the `m` evictions since the frame was seen whose records are kept.

    Attributes:
        frame: Number of the frame.
        seconds: Stream time of each eviction, float64 [m].
        held: Tokens of the frame that each layer held after each eviction, uint16 [layers, m].
        score: Score of each patch before each eviction; nan: not held, no score, or thinned record,
            float32 [layers, m, patches].
        cut: Lowest retained score of each layer at each eviction; nan: nothing evicted, no scores, or thinned record,
            float32 [layers, m].
        left: Stream time at which each patch left each layer; nan: still held, float64 [layers, patches].
        merges: Merges of the frame's tokens into summary tokens, oldest first.
        thinned: Which evictions have a thinned record, bool [m].
        missed: Whether records of the frame's first evictions were dropped; tokens evicted then count as never held.
    """

    frame: int
    seconds: npt.NDArray[np.float64]
    held: npt.NDArray[np.uint16]
    score: npt.NDArray[np.float32]
    cut: npt.NDArray[np.float32]
    left: npt.NDArray[np.float64]
    merges: tuple[Merge, ...]
    thinned: Bool
    missed: bool = False


def token_history_of(records: Sequence[ScoreRecord], frame: int) -> TokenHistory:
    """Extract the history of a frame's tokens from score records.

    Args:
        records: Score records of one stream, oldest first.
        frame: Number of the frame, from 0.

    Returns:
        The token history; without evictions (`m` = 0) if no record covers the frame.
    """
    since = [i for i, record in enumerate(records) if record.frames_seen > frame]
    found = {i: np.flatnonzero((records[i].frame == frame) & (records[i].patch >= 0)) for i in since}
    layers = records[-1].num_layers if records else 0
    patches = 1 + max((int(records[i].patch[at].max()) for i, at in found.items() if len(at)), default=-1)
    score = np.full((layers, len(since), patches), np.nan, np.float32)
    left = np.full((layers, patches), np.nan)
    known = np.zeros((layers, patches), bool)
    evicted_at = np.full((layers, patches), len(since))
    merges: list[Merge] = []
    for m, i in enumerate(since):
        record, at = records[i], found[i]
        layer, patch, stays = record.layer_of[at], record.patch[at], record.kept[at]
        score[layer, m, patch] = from_bytes(record.importance[at])
        known[layer, patch] = True
        left[layer[~stays], patch[~stays]] = record.seconds
        evicted_at[layer[~stays], patch[~stays]] = m
        evicted = np.bincount(layer[~stays], minlength=layers)
        merges.extend(
            _follow(records, i, int(index), int(evicted[index]))
            for index in np.flatnonzero((evicted > 0) & record.merged)
        )
    # A token without a record was evicted earlier, unless all records are thinned: then it may have been retained.
    unknown = ~known & any(records[i].complete for i in since) & known.any(axis=0)
    evicted_at[unknown] = 0
    held = (evicted_at[:, None, :] > np.arange(len(since))[None, :, None]).sum(2)
    return TokenHistory(
        frame=frame,
        seconds=np.array([records[i].seconds for i in since]),
        held=held.astype(np.uint16),
        score=score,
        cut=_cuts([records[i] for i in since], layers),
        left=left,
        merges=tuple(merges),
        thinned=np.array([not records[i].complete for i in since], bool),
        missed=bool(unknown.any()),
    )


def _cuts(records: Sequence[ScoreRecord], layers: int) -> npt.NDArray[np.float32]:
    """Lowest retained score of each layer at each record that evicted tokens there; else nan [layers, records]."""
    cuts = np.full((layers, len(records)), np.nan, np.float32)
    for m, record in enumerate(records):
        if not record.complete or not len(record.frame):
            continue
        # One more element, so that the start of an empty last layer is a valid index.
        starts = record.offsets[:-1]
        lowest = np.minimum.reduceat(np.append(np.where(record.kept, record.importance, UNSCORED), UNSCORED), starts)
        evicted = np.add.reduceat(np.append(~record.kept, False).astype(np.int64), starts)
        some = (evicted > 0) & (np.diff(record.offsets) > 0)
        cuts[:, m] = np.where(some, from_bytes(lowest.astype(np.uint8)), np.nan)
    return cuts


def _follow(records: Sequence[ScoreRecord], created: int, layer: int, tokens: int) -> Merge:
    """Follow the summary token that record `created` added to `layer`; summary tokens are in order of creation."""
    place = int(_summaries(records[created], layer).sum())  # after the retained summary tokens
    chain: list[float] = []
    held = True
    for record in records[created + 1 :]:
        stays = _summaries(record, layer)
        if place >= len(stays):
            continue  # the record does not list this layer's summary tokens
        if stays[place]:
            place = int(stays[:place].sum())
        elif record.merged[layer]:
            chain.append(record.seconds)
            place = int(stays.sum())
        else:
            held = False
            break
    return Merge(layer, records[created].seconds, tokens, tuple(chain), held)


def _summaries(record: ScoreRecord, layer: int) -> Bool:
    """Whether each summary token of a layer was retained, oldest first."""
    part = slice(record.offsets[layer], record.offsets[layer + 1])
    return record.kept[part][record.frame[part] < 0]
