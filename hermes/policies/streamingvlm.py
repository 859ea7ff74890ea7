"""StreamingVLM's schedule: the first text tokens, a long window of text and a short window of video (arXiv 2510.09608).

The publication fine-tunes the model for this schedule; only the schedule is shown here. It keeps the model's own commentary
in the text windows. Here questions and answers never enter the memory, so the text windows hold the text that a model
family writes between frames, such as timestamps; families without such text keep only the video window.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from hermes.memory.layer import KIND, SECONDS
from hermes.memory.positions import Reindexing
from hermes.policies.base import Policy
from hermes.policies.fidelity import UNTRAINED
from hermes.policies.settings import REINDEXING, Setting
from hermes.policies.step import Outcome, Step
from hermes.snapshot import TEXT


@dataclass
class StreamingVLM(Policy):
    """Keeps the prompt and the first text as attention sinks, the newest text, and the last seconds of video.

    Attributes:
        text_sink: Number of first text tokens that are kept, prompt included.
        text_window: Number of newest text tokens that are kept.
        video_seconds: Seconds of video that are kept.
    """

    name: ClassVar[str] = "streamingvlm"
    title: ClassVar[str] = "StreamingVLM-style schedule"
    badge: ClassVar[str] = UNTRAINED
    about: ClassVar[str] = (
        "Keeps the first text tokens, a long window of text and the last seconds of video; positions are counted inside the "
        "cache. The schedule only, without the published fine-tuning."
    )
    citation: ClassVar[str] = "after StreamingVLM, arXiv 2510.09608; schedule only, not fine-tuned for it"
    spreads: ClassVar[bool] = True
    settings: ClassVar[tuple[Setting, ...]] = (
        Setting(
            "text_sink",
            "First text tokens",
            "Number of first text tokens that are never evicted, prompt included. Besides the prompt, they take at most a "
            "quarter of the budget.",
            "number",
            512,
            low=0,
            high=4096,
            step=1,
            source="released code",
        ),
        Setting(
            "text_window",
            "Newest text tokens",
            "Number of newest text tokens that are kept; with the first ones at most half the budget.",
            "number",
            512,
            low=0,
            high=4096,
            step=1,
            source="released code",
        ),
        Setting(
            "video_seconds",
            "Seconds of video",
            "Video of this many last seconds is kept, as far as it fits the budget.",
            "number",
            16.0,
            low=0.5,
            high=3600.0,
            step=0.5,
            source="released code",
        ),
        replace(REINDEXING, default="eager", source="released code"),
    )

    text_sink: int = 512
    text_window: int = 512
    video_seconds: float = 16.0
    reindexing: Reindexing = "eager"

    def after_encode(self, step: Step) -> Outcome | None:
        """Evict everything outside the three windows."""
        start = step.prompt_len
        sink = min(max(self.text_sink - start, 0), self.budget // 4)
        window = min(self.text_window, self.budget // 2 - sink)
        kept: list[Tensor | None] = []
        for layer in step.cache.layers:
            text = layer.labels[KIND, start : layer.length] == TEXT
            seconds = layer.figures[SECONDS, start : layer.length]
            keep = scheduled(text, seconds, sink, window, self.video_seconds, self.budget)
            kept.append(None if len(keep) == len(text) else keep)
        return self.retain(step, kept) if any(keep is not None for keep in kept) else None


def scheduled(text: Tensor, seconds: Tensor, sink: int, window: int, span: float, budget: int) -> Tensor:
    """Select the tokens of StreamingVLM's schedule.

    Args:
        text: Whether each token is text, bool [tokens], oldest first.
        seconds: Time of each token in seconds [tokens].
        sink: Number of first text tokens to keep.
        window: Number of newest text tokens to keep.
        span: Length of the video window in seconds, up to the newest token.
        budget: Maximum number of tokens; text comes first, then the newest video.

    Returns:
        int64 [at most budget], ascending.
    """
    words, video = text.nonzero()[:, 0], (~text).nonzero()[:, 0]
    order = torch.arange(len(words), device=words.device)
    words = words[(order < sink) | (order >= len(words) - window)][:budget]
    recent = video[seconds[video] > seconds.max() - span] if len(video) else video
    room = budget - len(words)
    return torch.cat((words, recent[max(len(recent) - room, 0) :])).sort().values
