"""ReKV: encode with a sliding window, archive every frame, and retrieve frames per layer for a question.

arXiv 2503.00540 (ICLR 2025), re-implemented and checked against the released code; training-free. Deviation: the window
keeps its positions, where the released code gives the prompt one fixed distance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from hermes.backbones.base import Backbone
from hermes.memory.chunk import Chunk
from hermes.memory.positions import Reindexing
from hermes.policies.archiving import (
    ARCHIVE_MEMORY,
    NEEDS,
    WINDOW,
    archive_chunk,
    check_window,
    frames_within,
    local_window,
    recall_blocks,
)
from hermes.policies.base import TRAINING_FREE, Outcome, Policy, Recall, Step
from hermes.policies.ops.retrieval import best_blocks, group_queries, similarity
from hermes.policies.settings import REINDEXING, Setting

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
class ReKV(Policy):
    """Keeps a local window; a question is answered from archived frames, retrieved per layer.

    Attributes:
        window: Tokens that the cache holds; 0: the budget. The budget limits what a question reads.
        frames_read: Frames that each layer reads for a question.
        archive_memory: Megabytes of the archive in host memory.
    """

    name: ClassVar[str] = "rekv"
    title: ClassVar[str] = "ReKV"
    badge: ClassVar[str] = TRAINING_FREE
    about: ClassVar[str] = (
        "Encodes with a sliding window and archives every frame; for a question, each layer retrieves the most similar "
        "frames."
    )
    citation: ClassVar[str] = "ReKV, arXiv 2503.00540"
    needs: ClassVar[str] = NEEDS
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

    def after_encode(self, step: Step) -> Outcome | None:
        """Archive the new frames and retain the window."""
        archive_chunk(step, self.archive_memory)
        return self.retain_newest(step)

    def before_answer(self, step: Step, ids: Tensor) -> Recall | None:
        """Retrieve the frames whose mean key is most similar to each layer's mean query; the window is not read."""

        def choose(index: int, queries: Tensor) -> Tensor:
            archive = step.state.open_archive(self.archive_memory)
            known = archive.layers[index].representatives.rows
            scores = similarity(group_queries(queries, step.backbone.kv_heads), known)
            return best_blocks(scores, frames_within(self.budget, archive, self.frames_read))

        return recall_blocks(step, ids, choose)
