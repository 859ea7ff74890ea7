"""Snapshot of a memory at one moment: numpy only, so that it can be read, shown and stored without torch.

The live page, recorded runs, exports and tests all use this record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Final, overload

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
    """One answer and its attention, recorded while the answer was decoded.

    Attributes:
        question: Text of the question.
        answer: Text of the answer.
        asked_seconds: Stream time of the question, in seconds (time of the newest frame seen; nan if none).
        frames_seen: Frames seen at that time; frames merged by the model count as one.
        first_token_seconds: Wall time from the question to the first token, in seconds.
        attention: Share of attention on each frame, mean over heads and over the decoded tokens [layers, frames], 0 to 1.
        attention_heads: The same per head [layers, heads, frames].
        attention_rest: Share on everything else [layers, 3]: prompt, summary tokens, and the question and answer (with a
            frame that waited for the one it is merged with, and that only this answer saw). For each layer, the sum of
            `attention` and `attention_rest` is 1.
        attention_patch: Share on each token of the memory at that time, flat like `Snapshot.frame` [tokens].
        token_frame: Frame of each of those tokens, -1 for none [tokens].
        token_patch: Patch of each of those tokens, -1 for none [tokens].
        offsets: Start of each layer in the three flat arrays [layers + 1].
        moved_bytes: Bytes of keys, values and features fetched from outside the memory for this answer; if not 0,
            `token_frame` lists the tokens that were read, not those of the memory.
        tokens_read: Tokens read by each head of a layer, prompt included [layers]. If heads hold different tokens,
            `offsets` counts the tokens of all heads together. Empty in older records.
        attention_by_token: Share of attention on each frame while each of the first tokens of the answer was generated,
            float16 [answer tokens, layers, heads, frames]. Their number is limited. Empty if it was not recorded.
        token_ends: Number of characters of `answer` that are complete after each of these tokens, ascending [answer tokens].
            A token that ends within a character has the end of the previous one. See `hermes.analysis.words`.
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
    attention_by_token: npt.NDArray[np.float16] = field(default_factory=lambda: np.zeros((0, 0, 0, 0), np.float16))
    token_ends: Int = field(default_factory=lambda: np.zeros(0, np.int64))

    def without_tokens(self) -> AnswerTrace:
        """Return a copy without the attention of the single tokens."""
        return replace(self, attention_by_token=np.zeros((0, 0, 0, 0), np.float16), token_ends=np.zeros(0, np.int64))


@dataclass(frozen=True)
class Eviction:
    """One eviction: tokens removed because a layer was over its budget.

    Attributes:
        sequence: Number of the first snapshot after the eviction.
        seconds: Stream time, in seconds.
        frames_seen: Frames seen at that time; frames merged by the model count as one.
        evicted: Number of evicted tokens in each layer [layers].
        merged: Number of those that were merged into a summary token [layers].
        reindexed: Whether positions were compacted in each layer [layers].
    """

    sequence: int
    seconds: float
    frames_seen: int
    evicted: Int
    merged: Int
    reindexed: npt.NDArray[np.bool_]


STORED_NAMES: Final = MappingProxyType({"merged": "folded"})
"""Names of attributes of evictions and score records in run and session files, where they differ."""


@dataclass(frozen=True, eq=False)
class Evictions(Sequence[Eviction]):
    """Evictions of a stream as columns, oldest first: under 100 bytes each for ten layers. Immutable.

    Attributes:
        sequence: int64 [evictions]; all attributes as in `Eviction`.
        seconds: float64 [evictions].
        frames_seen: int64 [evictions].
        evicted: Unsigned 16 bit or int64 [evictions, layers].
        merged: The same type [evictions, layers].
        reindexed: bool [evictions, layers].
    """

    sequence: Int
    seconds: npt.NDArray[np.float64]
    frames_seen: Int
    evicted: npt.NDArray[Any]
    merged: npt.NDArray[Any]
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
            merged=self.merged[at].astype(np.int64),
            reindexed=self.reindexed[at].copy(),
        )

    @property
    def nbytes(self) -> int:
        """Bytes of the columns."""
        return sum(getattr(self, f.name).nbytes for f in fields(self))


@dataclass(frozen=True)
class Snapshot:
    """Content of a memory, by layer and token.

    Flat arrays list the tokens of layer 0, oldest first, then those of layer 1, and so on; `offsets` has the layer starts.

    Attributes:
        sequence: Number of the memory's state, from 0; increases by one with every change.
        model: Name of the model.
        policy: Name of the policy.
        budget: Maximum number of video tokens per layer; -1 if the policy has no budget.
        guidance: How guidance is measured: "forward" (paper), "embedding" (released code) or "none".
        guidance_prompts: Generic prompts in use by name ("local", "global"); empty without guidance.
        seconds: Stream time: the time of the newest frame, in seconds; nan before the first.
        grid: Rows and columns of a frame's tokens; their product is the number of tokens per frame.
        prompt_len: Number of prompt tokens at the start of every layer.
        tiers: Tier of each layer, an index into `TIERS` [layers].
        frame_times: Time of every frame seen, in seconds [frames]; frames merged by the model count as one.
        kept: Number of tokens of each frame in each layer, pooled ones included [layers, frames].
        offsets: Start of each layer in the flat arrays [layers + 1].
        frame: Frame of each token, -1 for the prompt and for summaries of several frames [tokens].
        patch: Patch of each token in its frame, row * columns + column; -1 for none [tokens].
        kind: Kind of each token, an index into `KINDS` [tokens].
        mass: Number of tokens that each token represents: 1, or more for a summary [tokens].
        position: Rotary position of each token (the temporal axis if there are three) [tokens].
        importance: Score of each token at its last eviction, 0 to 1; nan before the first [tokens].
        guidance_attention: Attention of the guidance prompt at that eviction; nan if not measured [tokens].
        recency: Recency at that eviction, 0 to 1; nan before the first [tokens].
        tokens_seen: Video tokens since the start of the stream, before a policy dropped or merged any.
        cache_bytes: Bytes of the cached keys and values, all layers.
        full_cache_bytes: Bytes that the keys and values of all tokens seen would take.
        evictions: All evictions so far, oldest first.
        answer: The last answer; None before the first.
        token_seconds: Time of each token's frame, in seconds; for a summary the mean of its tokens; nan for the prompt
            [tokens].
        tiered: Whether the policy treats layers differently by tier; if not, `tiers` has no effect.
        archive_bytes: Bytes that the policy keeps outside the memory: archived keys and values, stored features.
        archived: Number of tokens of each frame outside the memory, as archived keys and values or as stored features
            [layers, frames]; empty if there are none.
        first_frame: First frame that each token represents: its own, or an earlier one if frames were merged; -1 for the
            prompt [tokens]. Empty in older records.
        held_by: Share of the heads that hold each token, in (0, 1], if heads hold different tokens [tokens]. In that case
            the flat arrays list every token held by any head, and `kept` is the rounded mean over heads, at least 1 for
            a frame that any head holds. Empty if all heads hold the same tokens.
        state_layers: Decoder layers that hold no tokens, by number from 0: they use linear attention, with a state of
            constant size that no policy manages. All fields that count layers leave them out.
        state_bytes: Bytes of these states.
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
    state_layers: tuple[int, ...] = ()
    state_bytes: int = 0

    @property
    def row(self) -> npt.NDArray[np.int16]:
        """Row of each token in its frame, -1 for none [tokens]."""
        return np.where(self.patch >= 0, self.patch // self.grid[1], -1).astype(np.int16)

    @property
    def column(self) -> npt.NDArray[np.int16]:
        """Column of each token in its frame, -1 for none [tokens]."""
        return np.where(self.patch >= 0, self.patch % self.grid[1], -1).astype(np.int16)

    @property
    def token_tier(self) -> npt.NDArray[np.int8]:
        """Tier of each token's layer, an index into `TIERS` [tokens]."""
        return np.repeat(self.tiers, np.diff(self.offsets))

    @property
    def num_layers(self) -> int:
        """Number of decoder layers that hold tokens."""
        return len(self.tiers)

    @property
    def layer_numbers(self) -> tuple[int, ...]:
        """Number in the decoder, from 0, of each layer that holds tokens [layers]."""
        return tuple(i for i in range(self.num_layers + len(self.state_layers)) if i not in self.state_layers)

    @property
    def frames_seen(self) -> int:
        """Number of frames seen since the start of the stream."""
        return len(self.frame_times)

    @property
    def eviction_frames(self) -> Int:
        """Number of frames seen at each eviction, ascending [evictions]."""
        if isinstance(self.evictions, Evictions):
            return self.evictions.frames_seen
        return np.array([eviction.frames_seen for eviction in self.evictions], np.int64)

    def frame_rate(self, fps: float) -> float:
        """Return frames per second of `frame_times`, where frames merged by the model count as one.

        Args:
            fps: Sampled frames per second, before merging: an upper bound, and the result before the second frame.
        """
        elapsed = float(self.frame_times[-1] - self.frame_times[0]) if self.frames_seen > 1 else 0.0
        return min((self.frames_seen - 1) / elapsed, fps) if elapsed > 0 else fps

    @property
    def tokens_per_frame(self) -> int:
        """Number of tokens per frame before any eviction."""
        return self.grid[0] * self.grid[1]

    @property
    def kept_per_layer(self) -> Int:
        """Number of video tokens (vision, text between frames, summaries) per head in each layer [layers]."""
        video = (self.kind != PROMPT) * (self.held_by if len(self.held_by) else np.ones(1))
        return np.rint(np.add.reduceat(np.append(video, 0.0), self.offsets[:-1])).astype(np.int64)

    def retention(self) -> Float:
        """Share of every frame that each tier retains, mean over its layers [3, frames], 0 to 1."""
        share = self.kept.astype(np.float32) / max(self.tokens_per_frame, 1)
        rows = [share[self.tiers == tier] for tier in range(len(TIERS))]
        return np.stack([r.mean(0) if len(r) else np.zeros(self.frames_seen, np.float32) for r in rows])

    def layer(self, index: int) -> dict[str, npt.NDArray[Any]]:
        """Return the part of the flat arrays that belongs to one layer, by name."""
        start, stop = self.offsets[index], self.offsets[index + 1]
        names = ("frame", "patch", "kind", "mass", "position", "importance", "guidance_attention", "recency")
        more = ("row", "column", "token_seconds")
        return {name: getattr(self, name)[start:stop] for name in names + more}

    def as_dict(self) -> dict[str, Any]:
        """Return all fields by name, without copying arrays."""
        return {f.name: getattr(self, f.name) for f in fields(self)}
