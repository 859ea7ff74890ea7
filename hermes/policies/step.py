"""What the hooks of a policy receive and return."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from hermes.backbones.base import Backbone
from hermes.memory.cache import MemoryCache
from hermes.memory.chunk import Chunk
from hermes.memory.scores import Scores
from hermes.memory.stream_state import StreamState
from hermes.memory.watched_attention import AttentionRecorder


@dataclass(frozen=True)
class Step:
    """Input of a policy at one step of a stream.

    Attributes:
        backbone: The model.
        cache: The memory, modified in place.
        measure_guidance: Measures the attention of the guidance prompts on the video tokens. Arguments: whether each layer
            is needed, the guidance mode and, optionally, the tier whose prompt each layer uses.
        state: State of the policy for this stream besides the cache.
        grid: Rows and columns of a frame's tokens.
        chunk: The chunk that was encoded, as the decoder read it; None if there is no new chunk.
        attention: Recorded attention of the rows from `Policy.watched_rows`; None if there are none.
        question: Token ids of the question alone, without the chat template [tokens]; None outside `Policy.before_answer`.
    """

    backbone: Backbone
    cache: MemoryCache
    measure_guidance: Callable[..., list[Tensor | None]]
    state: StreamState = field(default_factory=StreamState)
    grid: tuple[int, int] = (0, 0)
    chunk: Chunk | None = None
    attention: AttentionRecorder | None = None
    question: Tensor | None = None

    @property
    def patches(self) -> int:
        """Number of tokens per frame."""
        return self.grid[0] * self.grid[1]

    @property
    def prompt_len(self) -> int:
        """Number of prompt tokens at the start of every layer."""
        return self.cache.prompt_len

    def chunk_frames(self) -> Tensor:
        """Frame numbers of the current chunk, ascending, int64 [frames]."""
        frame = torch.zeros(0, dtype=torch.long) if self.chunk is None else self.chunk.frame.long()
        return torch.unique(frame[frame >= 0])

    def video_tokens(self) -> list[int]:
        """Number of video tokens in each layer, `N_l`."""
        return [layer.length - self.prompt_len for layer in self.cache.layers]


@dataclass(frozen=True)
class Outcome:
    """Result of an eviction.

    Attributes:
        evicted: Number of tokens that each layer evicted [layers].
        merged: Number of those that were merged into a summary token [layers].
        reindexed: Whether each layer's positions were compacted [layers].
        scores: Scores of all tokens before the eviction; None if nothing was evicted.
    """

    evicted: tuple[int, ...]
    merged: tuple[int, ...]
    reindexed: tuple[bool, ...]
    scores: Scores | None = None


@dataclass(frozen=True)
class Recall:
    """A separate memory for answering one question.

    Attributes:
        memory: A new cache: prompt first, at consecutive positions, without the question.
        moved_bytes: Bytes of keys, values or features fetched from outside the cache.
    """

    memory: MemoryCache
    moved_bytes: int = 0


@dataclass(frozen=True)
class AnswerSettings:
    """How questions are put to the model and how answers are decoded.

    Attributes:
        released_chat: Whether a stream starts with the system prompt of the released code, and questions follow its format.
            Models without one keep their chat template.
        prefix: Text with which the answer to a multiple-choice question starts; it is not part of the answer.
        repetition_penalty: Divides positive and multiplies negative logits of tokens that the answer contains; 1 is off.
    """

    released_chat: bool = False
    prefix: str = ""
    repetition_penalty: float = 1.0
