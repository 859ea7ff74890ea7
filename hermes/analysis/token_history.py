"""The life of a frame: how its tokens scored at every eviction, when they left, and into which summary they went.

Numpy only, so that recorded runs are read without torch. It does not know how scores are made: the session hands in one
`ScoreRecord` an eviction, `LifeLog` keeps them within a limit of bytes, and `life_of` reads a frame's life out of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

UNSCORED = 255
"""In `ScoreRecord.importance`: the policy gave this token no score."""
SCORE_STEPS = 254
"""A stored score of 254 is an importance of 1."""
LIMIT_BYTES = 8_000_000
"""Upper bound of the score records of one stream, in bytes."""
NEWEST = 8
"""Records that are never thinned before all others are."""

Bool = npt.NDArray[np.bool_]
Byte = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class ScoreRecord:
    """What every video token scored at one eviction, and whether it stayed.

    Flat arrays list the video tokens of layer 0 oldest first, then of layer 1, and so on, as they were before anything
    left; the prompt is not among them.

    Attributes:
        sequence: Number of the snapshot that first shows this eviction.
        seconds: Stream clock, in seconds.
        frames_seen: Frames seen then.
        offsets: Start of each layer in the flat arrays, int64 [layers + 1].
        frame: Frame of each token, -1 for a summary token, int32 [tokens].
        patch: Patch of each token, -1 where it has none, int16 [tokens].
        importance: Its score, 0 to 254 for 0 to 1; 255: no score, uint8 [tokens].
        kept: Whether it stayed, bool [tokens].
        folded: Whether each layer folded what left into a summary token of this eviction, bool [layers].
        complete: False for a thinned record, which lists only summary tokens and the tokens that left.
    """

    sequence: int
    seconds: float
    frames_seen: int
    offsets: npt.NDArray[np.int64]
    frame: npt.NDArray[np.int32]
    patch: npt.NDArray[np.int16]
    importance: Byte
    kept: Bool
    folded: Bool
    complete: bool = True

    @property
    def num_layers(self) -> int:
        """Layers of the model."""
        return len(self.offsets) - 1

    @property
    def layer_of(self) -> npt.NDArray[np.int64]:
        """Layer of each token, int64 [tokens]."""
        return np.repeat(np.arange(self.num_layers), np.diff(self.offsets))

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        return sum(a.nbytes for a in (self.offsets, self.frame, self.patch, self.importance, self.kept, self.folded))

    def thinned(self) -> ScoreRecord:
        """The record without the scores of frame tokens that stayed."""
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
    """Scores of 0 to 1 (nan: none) as `ScoreRecord.importance` stores them."""
    scored = np.isfinite(importance)
    steps = np.rint(np.clip(np.where(scored, importance, 0), 0, 1) * SCORE_STEPS)
    return np.where(scored, steps, UNSCORED).astype(np.uint8)


def from_bytes(importance: Byte) -> npt.NDArray[np.float32]:
    """The scores that `to_bytes` stored, nan where there was none; steps of 1/254."""
    return np.where(importance == UNSCORED, np.nan, importance / np.float32(SCORE_STEPS)).astype(np.float32)


class LifeLog:
    """The score records of one stream, oldest first, within a limit of bytes.

    Past the limit, every other old record is thinned (it still tells who left); once all are, the older half goes.

    Attributes:
        records: The records. The tuple is replaced, never changed, so that another thread may read it meanwhile.
        limit: Bytes that the records may take; 0 keeps none.
        lost: Evictions whose records are gone altogether.
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
        """Records that lost the scores of tokens that stayed."""
        return sum(not record.complete for record in self.records)

    def add(self, record: ScoreRecord) -> None:
        """Add the record of an eviction."""
        records, size = [*self.records, record], self._nbytes + record.nbytes
        while size > self.limit and records:
            whole = [i for i, known in enumerate(records[:-NEWEST]) if known.complete]
            if whole:
                for i in whole[::2]:
                    records[i] = records[i].thinned()
            else:
                gone = (len(records) + 1) // 2
                self.lost += gone
                records = records[gone:]
            size = sum(known.nbytes for known in records)
        self.records, self._nbytes = tuple(records), size


@dataclass(frozen=True)
class Fold:
    """Tokens of a frame that one eviction folded into a summary token of one layer.

    Attributes:
        layer: The layer.
        seconds: Stream clock of that eviction: the summary's birth.
        tokens: How many of the frame's tokens went into it.
        summaries: Births of the summaries that this one was folded into later, in seconds, in order; empty: none.
        held: Whether the last of them was still held at the newest record.
    """

    layer: int
    seconds: float
    tokens: int
    summaries: tuple[float, ...]
    held: bool


@dataclass(frozen=True)
class Life:
    """What became of one frame's tokens. `m` evictions are told, of all since it was seen whose records are kept.

    Attributes:
        frame: The frame.
        seconds: Stream clock of each eviction, float64 [m].
        held: Tokens of the frame that each layer held after each eviction, uint16 [layers, m].
        score: Score of each patch before each eviction; nan: not held then, no score, or thinned,
            float32 [layers, m, patches].
        cut: Lowest score that was kept at each eviction in each layer, the bar to pass; nan: nothing left, no scores, or
            thinned, float32 [layers, m].
        left: Stream clock at which each patch left each layer; nan: still held, float64 [layers, patches].
        folds: Where the frame's tokens were folded into summaries, oldest first.
        thinned: Which of the evictions are told without the scores of tokens that stayed, bool [m].
        missed: Whether records of the frame's first evictions are gone: what left then is counted as gone from the start.
    """

    frame: int
    seconds: npt.NDArray[np.float64]
    held: npt.NDArray[np.uint16]
    score: npt.NDArray[np.float32]
    cut: npt.NDArray[np.float32]
    left: npt.NDArray[np.float64]
    folds: tuple[Fold, ...]
    thinned: Bool
    missed: bool = False


def life_of(records: Sequence[ScoreRecord], frame: int) -> Life:
    """Read the life of `frame` out of the records of a stream.

    Args:
        records: Of one stream, oldest first.
        frame: Number of the frame, from 0.

    Returns:
        Its life; without evictions (`m` = 0) where no record knows it.
    """
    since = [i for i, record in enumerate(records) if record.frames_seen > frame]
    found = {i: np.flatnonzero((records[i].frame == frame) & (records[i].patch >= 0)) for i in since}
    layers = records[-1].num_layers if records else 0
    patches = 1 + max((int(records[i].patch[at].max()) for i, at in found.items() if len(at)), default=-1)
    score = np.full((layers, len(since), patches), np.nan, np.float32)
    left = np.full((layers, patches), np.nan)
    known = np.zeros((layers, patches), bool)
    gone_at = np.full((layers, patches), len(since))
    folds: list[Fold] = []
    for m, i in enumerate(since):
        record, at = records[i], found[i]
        layer, patch, stays = record.layer_of[at], record.patch[at], record.kept[at]
        score[layer, m, patch] = from_bytes(record.importance[at])
        known[layer, patch] = True
        left[layer[~stays], patch[~stays]] = record.seconds
        gone_at[layer[~stays], patch[~stays]] = m
        gone = np.bincount(layer[~stays], minlength=layers)
        folds.extend(
            _follow(records, i, int(line), int(gone[line])) for line in np.flatnonzero((gone > 0) & record.folded)
        )
    # A token that no record knows has left before them, unless all records are thinned and it simply stayed.
    unknown = ~known & any(records[i].complete for i in since) & known.any(axis=0)
    gone_at[unknown] = 0
    held = (gone_at[:, None, :] > np.arange(len(since))[None, :, None]).sum(2)
    return Life(
        frame=frame,
        seconds=np.array([records[i].seconds for i in since]),
        held=held.astype(np.uint16),
        score=score,
        cut=_cuts([records[i] for i in since], layers),
        left=left,
        folds=tuple(folds),
        thinned=np.array([not records[i].complete for i in since], bool),
        missed=bool(unknown.any()),
    )


def _cuts(records: Sequence[ScoreRecord], layers: int) -> npt.NDArray[np.float32]:
    """Lowest score kept in each layer at each record, where something left: [layers, records]."""
    cuts = np.full((layers, len(records)), np.nan, np.float32)
    for m, record in enumerate(records):
        if not record.complete or not len(record.frame):
            continue
        # One more element, so that the start of an empty last layer is an index too.
        starts = record.offsets[:-1]
        lowest = np.minimum.reduceat(np.append(np.where(record.kept, record.importance, UNSCORED), UNSCORED), starts)
        gone = np.add.reduceat(np.append(~record.kept, False).astype(np.int64), starts)
        some = (gone > 0) & (np.diff(record.offsets) > 0)
        cuts[:, m] = np.where(some, from_bytes(lowest.astype(np.uint8)), np.nan)
    return cuts


def _follow(records: Sequence[ScoreRecord], born: int, layer: int, tokens: int) -> Fold:
    """Where the summary that record `born` made in `layer` went: summaries stand in the order of their births."""
    place = int(_summaries(records[born], layer).sum())  # the new one stands behind those that stayed
    chain: list[float] = []
    held = True
    for record in records[born + 1 :]:
        stays = _summaries(record, layer)
        if place >= len(stays):
            continue  # nothing is told of this layer's summaries here
        if stays[place]:
            place = int(stays[:place].sum())
        elif record.folded[layer]:
            chain.append(record.seconds)
            place = int(stays.sum())
        else:
            held = False
            break
    return Fold(layer, records[born].seconds, tokens, tuple(chain), held)


def _summaries(record: ScoreRecord, layer: int) -> Bool:
    """For each summary token of a layer, oldest first, whether it stayed."""
    part = slice(record.offsets[layer], record.offsets[layer + 1])
    return record.kept[part][record.frame[part] < 0]
