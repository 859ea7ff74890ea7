"""Base class of the policies that encode with a local window and answer from archived frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from hermes.backbones.base import Backbone
from hermes.memory.chunk import Chunk
from hermes.memory.positions import Reindexing
from hermes.policies.base import Policy
from hermes.policies.limits import BudgetError, largest_budget
from hermes.policies.settings import REINDEXING, Setting
from hermes.policies.step import Step

ARCHIVE_MEMORY = Setting(
    "archive_memory",
    "Archive in memory",
    "Megabytes of the archive kept in host memory. The rest goes to disk until the stream is closed.",
    "number",
    1024,
    low=1,
    high=1_000_000,
    step=1,
    source="ours",
)
WINDOW = Setting(
    "window",
    "Local window",
    "Tokens that the cache holds, and that new frames see while they are encoded. 0: as many as the budget. The publication "
    "uses 15,000 tokens, whatever a question reads.",
    "number",
    0,
    low=0,
    high=1_000_000,
    step=1,
    source="ours",
)
FRAMES_READ = Setting(
    "frames_read",
    "Frames read",
    "Frames that each layer reads for a question, within the token budget.",
    "number",
    64,
    low=1,
    high=4096,
    step=1,
    source="released code",
)


@dataclass
class WindowedArchive(Policy):
    """Keeps a local window in the cache and reads archived frames for a question.

    Attributes:
        window: Tokens that the cache holds; 0: the budget. The budget limits what a question reads.
        frames_read: Frames that a question reads in each layer, or on average over the layers.
        archive_memory: Megabytes of the archive in host memory.
    """

    settings: ClassVar[tuple[Setting, ...]] = (
        WINDOW,
        FRAMES_READ,
        ARCHIVE_MEMORY,
        replace(REINDEXING, default="eager", source="released code"),
    )

    window: int = 0
    frames_read: int = 64
    archive_memory: int = 1024
    reindexing: Reindexing = "eager"

    @property
    def held_limit(self) -> int:
        """The local window."""
        return self.window or self.budget

    def check(self, backbone: Backbone) -> None:
        """Check the window, too."""
        super().check(backbone)
        check_window(backbone, self.window)

    def encode_view(self, step: Step, chunk: Chunk) -> Sequence[Tensor | None] | None:
        """Let tokens see the prompt and the local window."""
        return local_window(step, chunk, self.held_limit)


def check_window(backbone: Backbone, window: int) -> None:
    """Check a local window.

    Raises:
        BudgetError: The window is not 0, and smaller than one frame or larger than the model's positions allow.
    """
    least, most = backbone.tokens_per_frame, largest_budget(backbone)
    if window and not least <= window <= most:
        raise BudgetError(
            f"A local window of {window} tokens is not possible: this model needs at least one frame ({least} tokens) and "
            f"has room for at most {most}. 0 makes the window as large as the budget."
        )


def local_window(step: Step, chunk: Chunk, window: int) -> list[Tensor | None] | None:
    """Return masks that let every token see the prompt and the `window` tokens before it; None if that is everything."""
    if max(step.video_tokens()) + chunk.tokens <= window:
        return None
    masks: dict[int, Tensor] = {}
    for layer in step.cache.layers:
        if layer.length not in masks:
            key = torch.arange(layer.length + chunk.tokens, device=step.backbone.device)
            query = key[layer.length :, None]
            masks[layer.length] = (key <= query) & ((key < step.prompt_len) | (key > query - window))
    return [masks[layer.length] for layer in step.cache.layers]
