"""The state of a session: what storage writes, snapshots read, and `StreamSession` updates."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from hermes.memory.cache import MemoryCache
from hermes.memory.encoded import Frames, Layout
from hermes.memory.stream_state import StreamState
from hermes.session.record import SessionHistory


@dataclass
class SessionState:
    """Everything that a session holds besides its model, policy and counters.

    Attributes:
        cache: Keys, values and provenance of every retained token; None before the first frame.
        layout: How frames become tokens, determined by the first frames; None before them.
        pending: Frames and their times that wait for the frame they are merged with.
        policy_state: What the policy remembers of the stream besides the cache.
        released_chat: Whether the stream started with the system prompt of the released code.
        history: Frame times, evictions, the conversation and the last answer.
        objects: Probability of each of `Backbone.object_names` in the newest frame, float [objects]; None before the first
            frame, after loading, and for other models.
    """

    cache: MemoryCache | None = None
    layout: Layout | None = None
    pending: list[tuple[Frames, float]] = field(default_factory=list)
    policy_state: StreamState = field(default_factory=StreamState)
    released_chat: bool = False
    history: SessionHistory = field(default_factory=SessionHistory)
    objects: Tensor | None = None
