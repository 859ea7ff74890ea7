"""The record of a memory at one moment: numpy only, so that it can be read, shown and stored without torch.

It does not know how the memory was made. Live page, recorded runs, exports and tests all read this one record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, overload

import numpy as np
import numpy.typing as npt

TIERS = ("sensory", "working", "long-term")
"""Names of the tiers; `Snapshot.tiers` holds indices into this tuple (paper section 3.2)."""

KINDS = ("prompt", "vision", "summary", "text")
"""What a cached token is; `Snapshot.kind` holds indices into this tuple."""

PROMPT, VISION, SUMMARY, TEXT = range(4)

Int = npt.NDArray[np.int64]
Float = npt.NDArray[np.float32]


@dataclass(frozen=True)
class AnswerTrace:
    """One answer and what it read: true attention, captured while the answer was decoded.

    Attributes:
        question: What was asked.
        answer: What was answered.
        asked_seconds: Stream clock when it was asked, in seconds (time of the newest frame then seen; nan: none).
        frames_seen: Frames that had been seen then.
        first_token_seconds: Wall time from asking to the first token, in seconds.
        attention: Share of attention on each frame, mean over heads and over the decoded tokens [layers, frames], 0 to 1.
        attention_heads: The same per head [layers, heads, frames].
        attention_rest: Share on what is not a frame [layers, 3]: prompt, summary tokens, the question and answer.
            A row of `attention` and its row here add up to 1.
        attention_patch: Share on each token of the layers' memory as it was then, flat like `Snapshot.frame` [tokens].
        token_frame: The frame of each of those tokens, -1 where it has none [tokens].
        token_patch: The patch of each of those tokens, -1 where it has none [tokens].
        offsets: Start of each layer in the three flat arrays [layers + 1].
        moved_bytes: Bytes of keys, values and features that were fetched from outside the memory for this answer; what was
            read then is what `token_frame` lists, not what the memory holds.
        tokens_read: Tokens that a head of each layer read, prompt included [layers]; where heads hold tokens of their own,
            `offsets` counts more: those of all heads. Empty in records made before it was kept.
    """

    question: str
    answer: str
    asked_seconds: float
    frames_seen: int
    first_token_seconds: float
    attention: Float
    attention_heads: Float
    attention_rest: Float
    attention_patch: Float
    token_frame: npt.NDArray[np.int32]
    token_patch: npt.NDArray[np.int16]
    offsets: Int
    moved_bytes: int = 0
    tokens_read: Int = field(default_factory=lambda: np.zeros(0, np.int64))


@dataclass(frozen=True)
class Eviction:
    """One eviction: tokens let go because a layer was over its budget.

    Attributes:
        sequence: Number of the snapshot that first shows it.
        seconds: Stream clock, in seconds.
        frames_seen: Frames seen then.
        evicted: Tokens let go in each layer [layers].
        folded: Of those, the tokens folded into a summary token [layers].
        reindexed: Whether positions were compacted in each layer [layers].
    """

    sequence: int
    seconds: float
    frames_seen: int
    evicted: Int
    folded: Int
    reindexed: npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Evictions(Sequence[Eviction]):
    """Evictions of a stream, oldest first, as columns: under 100 bytes each for ten layers. It never changes.

    Attributes:
        sequence: int64 [evictions]; this and the others as in `Eviction`.
        seconds: float64 [evictions].
        frames_seen: int64 [evictions].
        evicted: Unsigned 16 bit or int64 [evictions, layers].
        folded: The same type [evictions, layers].
        reindexed: bool [evictions, layers].
    """

    sequence: Int
    seconds: npt.NDArray[np.float64]
    frames_seen: Int
    evicted: npt.NDArray[Any]
    folded: npt.NDArray[Any]
    reindexed: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.sequence)

    @overload
    def __getitem__(self, at: int) -> Eviction: ...
    @overload
    def __getitem__(self, at: slice) -> Evictions: ...
    def __getitem__(self, at: int | slice) -> Eviction | Evictions:
        if isinstance(at, slice):
            return Evictions(*(getattr(self, f.name)[at] for f in fields(self)))
        return Eviction(
            sequence=int(self.sequence[at]),
            seconds=float(self.seconds[at]),
            frames_seen=int(self.frames_seen[at]),
            evicted=self.evicted[at].astype(np.int64),
            folded=self.folded[at].astype(np.int64),
            reindexed=self.reindexed[at].copy(),
        )

    @property
    def nbytes(self) -> int:
        """Bytes of the columns."""
        return sum(getattr(self, f.name).nbytes for f in fields(self))


@dataclass(frozen=True)
class Snapshot:
    """What a memory holds, layer by layer and token by token.

    Flat arrays list the tokens of layer 0 oldest first, then of layer 1, and so on; `offsets` says where layers start.

    Attributes:
        sequence: Rises by one with every change of the memory, from 0.
        model: Name of the model that answers.
        policy: Name of the policy.
        budget: Video tokens a layer may hold; -1 where the policy has no budget.
        guidance: How guidance is measured: "forward" (paper), "embedding" (released code) or "none".
        guidance_prompts: The generic prompts by name ("local", "global"), as now in use; empty without guidance.
        seconds: Stream clock: the time of the newest frame, in seconds; nan before the first.
        grid: Rows and columns of a frame's tokens; their product is the tokens a frame.
        prompt_len: Prompt tokens at the head of every layer.
        tiers: Tier of each layer, an index into `TIERS` [layers].
        frame_times: Time of every frame seen, in seconds [frames]; frames that a model merges count as one.
        kept: Tokens of each frame that each layer still holds, patches and what a frame was pooled into [layers, frames].
        offsets: Start of each layer in the flat arrays [layers + 1].
        frame: Frame of each token, -1 for the prompt and for summaries of more than one frame [tokens].
        patch: Patch of each token in its frame, row * columns + column; -1 where it has none [tokens].
        kind: What each token is, an index into `KINDS` [tokens].
        mass: How many tokens it stands for: 1, more for a summary [tokens].
        position: Rotary position of each token (temporal axis where there are three) [tokens].
        importance: Score at the last eviction that the token went through, 0 to 1; nan: none yet [tokens].
        guidance_attention: Attention of the guidance prompt at that eviction; nan: not measured [tokens].
        recency: Recency at that eviction, 0 to 1; nan: none yet [tokens].
        tokens_seen: Video tokens since the stream began, before a policy dropped or merged any.
        cache_bytes: Bytes of keys and values that the held tokens take, all layers.
        full_cache_bytes: Bytes that keys and values of all tokens seen would take.
        evictions: Every eviction so far, oldest first.
        answer: The last answer; None before the first.
        token_seconds: Time of each token's frame, in seconds; of a summary the mean of what it folds; nan for the prompt
            [tokens].
        tiered: Whether the policy tells layers apart by tier; if not, `tiers` says nothing about what they keep.
        archive_bytes: Bytes that the policy keeps outside the memory: archived keys and values, stored features.
        archived: Tokens of each frame that lie outside the memory, as archived keys and values or as stored features
            [layers, frames]; empty where the policy keeps none.
        first_frame: First frame that each token stands for: its own, or an earlier one where frames were merged; -1 for the
            prompt [tokens]. Empty in records made before it was kept.
        held_by: Share of the heads that hold each token, above 0 to 1, where heads keep tokens of their own; the flat arrays
            then list every token that any head holds, and `kept` is the mean over heads, rounded, at least 1 where a
            frame is held at all. Empty: all heads hold all tokens [tokens].
    """

    sequence: int
    model: str
    policy: str
    budget: int
    guidance: str
    guidance_prompts: dict[str, str]
    seconds: float
    grid: tuple[int, int]
    prompt_len: int
    tiers: npt.NDArray[np.int8]
    frame_times: npt.NDArray[np.float64]
    kept: npt.NDArray[np.uint16]
    offsets: Int
    frame: npt.NDArray[np.int32]
    patch: npt.NDArray[np.int16]
    kind: npt.NDArray[np.int8]
    mass: Float
    position: npt.NDArray[np.float32]
    importance: Float
    guidance_attention: Float
    recency: Float
    tokens_seen: int
    cache_bytes: int
    full_cache_bytes: int
    evictions: Sequence[Eviction] = field(default=())
    answer: AnswerTrace | None = None
    token_seconds: Float = field(default_factory=lambda: np.zeros(0, np.float32))
    tiered: bool = True
    archive_bytes: int = 0
    archived: npt.NDArray[np.uint16] = field(default_factory=lambda: np.zeros((0, 0), np.uint16))
    first_frame: npt.NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    held_by: Float = field(default_factory=lambda: np.zeros(0, np.float32))

    @property
    def row(self) -> npt.NDArray[np.int16]:
        """Row of each token in its frame, -1 where it has none [tokens]."""
        return np.where(self.patch >= 0, self.patch // self.grid[1], -1).astype(np.int16)

    @property
    def column(self) -> npt.NDArray[np.int16]:
        """Column of each token in its frame, -1 where it has none [tokens]."""
        return np.where(self.patch >= 0, self.patch % self.grid[1], -1).astype(np.int16)

    @property
    def token_tier(self) -> npt.NDArray[np.int8]:
        """Tier of each token's layer, an index into `TIERS` [tokens]."""
        return np.repeat(self.tiers, np.diff(self.offsets))

    @property
    def num_layers(self) -> int:
        """Decoder layers."""
        return len(self.tiers)

    @property
    def frames_seen(self) -> int:
        """Frames seen since the stream began."""
        return len(self.frame_times)

    @property
    def tokens_per_frame(self) -> int:
        """Tokens that a frame had when it was seen."""
        return self.grid[0] * self.grid[1]

    @property
    def kept_per_layer(self) -> Int:
        """Tokens of the video (vision, text between frames, summaries) that each layer holds, in each head [layers]."""
        video = (self.kind != PROMPT) * (self.held_by if len(self.held_by) else np.ones(1))
        return np.rint(np.add.reduceat(np.append(video, 0.0), self.offsets[:-1])).astype(np.int64)

    def retention(self) -> Float:
        """Share of every frame that each tier still holds, mean over its layers [3, frames], 0 to 1."""
        share = self.kept.astype(np.float32) / max(self.tokens_per_frame, 1)
        rows = [share[self.tiers == tier] for tier in range(len(TIERS))]
        return np.stack([r.mean(0) if len(r) else np.zeros(self.frames_seen, np.float32) for r in rows])

    def layer(self, index: int) -> dict[str, npt.NDArray[Any]]:
        """The flat arrays cut to one layer, by name."""
        start, stop = self.offsets[index], self.offsets[index + 1]
        names = ("frame", "patch", "kind", "mass", "position", "importance", "guidance_attention", "recency")
        more = ("row", "column", "token_seconds")
        return {name: getattr(self, name)[start:stop] for name in names + more}

    def as_dict(self) -> dict[str, Any]:
        """Every field by name, without copying arrays."""
        return {f.name: getattr(self, f.name) for f in fields(self)}
