"""What a benchmark runs against: something that sees frames and answers questions. Usually a `StreamSession`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from hermes.backbones.base import Backbone
from hermes.benchmarks.prompts import ANSWER_PREFIX, CHOICE_TOKENS, OPEN_TOKENS, REPETITION_PENALTY
from hermes.memory.encoded import Frames
from hermes.policies.limits import PUBLISHED_CHUNK
from hermes.session.stream_session import StreamSession


@dataclass(frozen=True)
class TimedReply:
    """An answer and what it cost.

    Attributes:
        text: The answer.
        first_token_seconds: Wall time from the question to the first token.
        answer_seconds: Wall time from the question to the end of the answer.
        tokens_read: Video tokens that a layer read, mean over layers.
        tokens_read_most: Video tokens of the layer that read most.
        cache_bytes: Bytes of the cached keys and values, all layers.
        frames_seen: Frames pushed so far, repeated ones included.
    """

    text: str
    first_token_seconds: float
    answer_seconds: float
    tokens_read: float
    tokens_read_most: int
    cache_bytes: int
    frames_seen: int


class Responder(Protocol):
    """Sees the frames of one video and answers questions about it."""

    def push(self, frames: Sequence[Frames], times: Sequence[float]) -> None:
        """See a chunk of frames: uint8 [H, W, 3] each, with their times in seconds."""

    def ask(self, prompt: str, *, choices: bool) -> TimedReply:
        """Answer a question about the frames seen; `choices`: it lists options."""

    def remember(self, question: str, answer: str) -> None:
        """Set the last question and answer, which guidance prompts mention."""

    def close(self) -> None:
        """Free the memory."""


@dataclass(frozen=True)
class PolicySettings:
    """The policy under which a benchmark runs.

    Attributes:
        policy: Name of a policy or preset.
        budget: Video tokens that a layer may hold; None: the default.
        guidance: "forward" or "embedding"; None: the default.
        changed: Other settings by name.
    """

    policy: str
    budget: int | None
    guidance: str | None
    changed: Mapping[str, Any]


class SessionResponder:
    """A `StreamSession` as a responder."""

    def __init__(self, model: Backbone, settings: PolicySettings, reindexing: str, rate: float) -> None:
        """Start an empty stream.

        Args:
            model: The model.
            settings: The policy.
            reindexing: "lazy" or "eager".
            rate: Frames per second.

        Raises:
            HermesError: A setting is invalid.
        """
        self._rate = rate
        self._session = StreamSession(
            model,
            policy=settings.policy,
            budget=settings.budget,
            guidance=settings.guidance,
            reindexing=reindexing,
            chunk=PUBLISHED_CHUNK,
            changed=settings.changed,
        )

    def describe(self) -> dict[str, Any]:
        """Return the settings in effect, for JSON: `policy`, `budget`, `guidance`, `reindexing`, `changed`."""
        policy = self._session.policy
        return {
            "policy": policy.name,
            "budget": policy.budget if policy.has_budget else None,
            "guidance": getattr(policy, "guidance", None) if policy.has_guidance else None,
            "reindexing": getattr(policy, "reindexing", None),
            "changed": policy.changed(),
        }

    def push(self, frames: Sequence[Frames], times: Sequence[float]) -> None:
        """See a chunk of frames; for models that merge frames, the last one is repeated to complete its step."""
        session = self._session
        first = session.stats.frames_seen == 0
        session.push(np.stack(frames), times)
        # In a stream that begins with a single frame, the repeated one determines the frame rate of the layout.
        repeated = times[-1] + (1 / self._rate if first and len(frames) == 1 else 0)
        while session.frames_waiting:
            session.push(frames[-1][None], [repeated])

    def ask(self, prompt: str, *, choices: bool) -> TimedReply:
        """Answer greedily, with the published length, prefix and repetition penalty."""
        session = self._session
        began = time.perf_counter()
        pieces = session.ask(
            prompt,
            max_new_tokens=CHOICE_TOKENS if choices else OPEN_TOKENS,
            answer_prefix=ANSWER_PREFIX if choices else "",
            repetition_penalty=REPETITION_PENALTY,
        )
        text = "".join(pieces).strip()
        seconds = time.perf_counter() - began
        snapshot = session.snapshot()
        read = snapshot.answer.tokens_read - snapshot.prompt_len if snapshot.answer is not None else np.zeros(1)
        first = session.stats.first_token_seconds
        return TimedReply(
            text=text,
            first_token_seconds=seconds if first is None else first,
            answer_seconds=seconds,
            tokens_read=round(float(read.mean()), 1),
            tokens_read_most=int(read.max()),
            cache_bytes=snapshot.cache_bytes,
            frames_seen=session.stats.frames_seen,
        )

    def remember(self, question: str, answer: str) -> None:
        """Set the last question and answer."""
        self._session.remember(question, answer)

    def close(self) -> None:
        """Free the memory."""
        self._session.close()
