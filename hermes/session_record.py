"""What a session keeps count of and what it remembers, beside its memory. Plain data; nothing is decided here."""

from __future__ import annotations

from dataclasses import dataclass, field

from hermes.snapshot import AnswerTrace, Eviction


@dataclass
class SessionStats:
    """What a session has done so far; wall times in seconds.

    Attributes:
        frames_seen: Frames that the model has seen.
        tokens_seen: Tokens of those frames, before a policy reduced them.
        encode_seconds: Time for preparing frames, vision tower and prefill.
        management_seconds: Time for guidance, eviction and re-indexing.
        questions: Questions answered.
        first_token_seconds: Time from the last question to its first token; None before the first.
    """

    frames_seen: int = 0
    tokens_seen: int = 0
    encode_seconds: float = 0.0
    management_seconds: float = 0.0
    questions: int = 0
    first_token_seconds: float | None = None


@dataclass
class History:
    """What a session remembers beside its cache."""

    times: list[float] = field(default_factory=list)
    evictions: list[Eviction] = field(default_factory=list)
    conversation: tuple[str, str] | None = None
    answer: AnswerTrace | None = None
    sequence: int = 0
