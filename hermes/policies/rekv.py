"""ReKV: encode with a sliding window, archive every frame, and retrieve frames per layer for a question.

arXiv 2503.00540 (ICLR 2025), re-implemented and checked against the released code; training-free. Deviation: the window
keeps its positions, where the released code gives the prompt one fixed distance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from hermes.policies.archiving import archive_chunk, frames_within, recall_blocks
from hermes.policies.fidelity import TRAINING_FREE
from hermes.policies.ops.retrieval import best_blocks, group_queries, similarity
from hermes.policies.step import Outcome, Recall, Step
from hermes.policies.windowed_archive import WindowedArchive


@dataclass
class ReKV(WindowedArchive):
    """Keeps a local window; a question is answered from archived frames, retrieved per layer."""

    name: ClassVar[str] = "rekv"
    title: ClassVar[str] = "ReKV"
    badge: ClassVar[str] = TRAINING_FREE
    about: ClassVar[str] = (
        "Encodes with a sliding window and archives every frame; for a question, each layer retrieves the most similar "
        "frames."
    )
    citation: ClassVar[str] = "ReKV, arXiv 2503.00540"
    needs: ClassVar[str] = "an archive of every frame outside the cache, in host memory and on disk"

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
