"""LiveVLM v2: vision-to-vision attention with temporal buckets, and retrieval of pages within the memory.

arXiv 2505.15269 v2, re-implemented from third-party descriptions that agree; training-free. With `read_share=1` a question
reads everything that is held.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from hermes.memory.chunk import Chunk
from hermes.memory.importance import normalise
from hermes.memory.layer import FRAME, IMPORTANCE, PATCH, LayerMemory
from hermes.policies.archiving import own_tokens
from hermes.policies.base import Policy
from hermes.policies.fidelity import TRAINING_FREE
from hermes.policies.ops.buckets import bucket_of, bucketed, page_scores
from hermes.policies.ops.retrieval import recall_by_layer
from hermes.policies.settings import OUR_REINDEXING, Setting
from hermes.policies.step import Outcome, Recall, Step


@dataclass
class LiveVLM(Policy):
    """Keeps the newest tokens, and older ones that the newest frame attends to, spread over the stream in buckets.

    Attributes:
        short_share: Share of the budget for the newest tokens.
        voting_frames: Number of newest frames whose attention scores the tokens.
        free_share: Share of the long-term budget that the best scores fill regardless of buckets.
        capacity: Tokens per bucket.
        page: Tokens per page.
        read_share: Share of the pages that a question reads.
    """

    name: ClassVar[str] = "livevlm"
    title: ClassVar[str] = "LiveVLM"
    badge: ClassVar[str] = TRAINING_FREE
    about: ClassVar[str] = (
        "Keeps the newest tokens, and older ones that the newest frame attends to, spread over time; a question reads the "
        "most similar pages and the newest tokens."
    )
    citation: ClassVar[str] = "LiveVLM, arXiv 2505.15269 v2"
    settings: ClassVar[tuple[Setting, ...]] = (
        Setting(
            "short_share",
            "Newest tokens",
            "Share of the budget for the newest tokens, which are all kept.",
            "number",
            0.25,
            low=0.05,
            high=0.9,
            step=0.05,
            source="ours",
        ),
        Setting(
            "voting_frames",
            "Voting frames",
            "Number of newest frames whose attention selects the tokens to keep.",
            "number",
            1,
            low=1,
            high=16,
            step=1,
            source="ours",
        ),
        Setting(
            "free_share",
            "Kept without buckets",
            "Share of the older tokens selected by score alone, before buckets apply.",
            "number",
            0.5,
            low=0.0,
            high=1.0,
            step=0.05,
            source="ours",
        ),
        Setting("capacity", "Bucket capacity", "Tokens per time bucket.", "number", 1, low=1, high=64, step=1),
        Setting("page", "Page size", "Kept tokens per page.", "number", 16, low=1, high=256, step=1),
        Setting(
            "read_share",
            "Pages read",
            "Share of the pages that a question reads; at 1 it reads everything that is held.",
            "number",
            0.4,
            low=0.05,
            high=1.0,
            step=0.05,
        ),
        OUR_REINDEXING,
    )

    short_share: float = 0.25
    voting_frames: int = 1
    free_share: float = 0.5
    capacity: int = 1
    page: int = 16
    read_share: float = 0.4

    def _short(self) -> int:
        """Number of newest tokens that are always kept."""
        return max(round(self.budget * self.short_share), 1)

    def watched_rows(self, step: Step, chunk: Chunk) -> slice | Tensor | None:
        """The patches of the newest frames."""
        return chunk.encoded.vision.nonzero()[-self.voting_frames * step.patches :, 0]

    def after_encode(self, step: Step) -> Outcome | None:
        """If over budget, keep the newest tokens, and older ones by score and bucket."""
        counts = step.video_tokens()
        if max(counts) <= self.budget:
            return None
        if step.attention is None:
            return self.retain_newest(step)
        kept = [self._keep(step, index, layer) for index, layer in enumerate(step.cache.layers)]
        return self.retain(step, kept)

    def _keep(self, step: Step, index: int, layer: LayerMemory) -> Tensor | None:
        """Return the video tokens that a layer keeps; None if it is within budget."""
        tokens, start = layer.length - step.prompt_len, step.prompt_len
        if tokens <= self.budget or step.attention is None:
            return None
        scores = step.attention.mean(index).mean(0)[start:]
        layer.figures[IMPORTANCE, start : layer.length] = normalise(scores)
        older, room = tokens - self._short(), self.budget - self._short()
        labels = layer.labels[:, start : start + older].long()
        place = labels[FRAME].clamp(min=0) * step.patches + labels[PATCH].clamp(min=0)
        bucket = bucket_of(place, max(room // self.capacity, 1))
        chosen = bucketed(scores[:older], bucket, self.capacity, round(room * self.free_share), room)
        return torch.cat((chosen, torch.arange(older, tokens, device=chosen.device)))

    def before_answer(self, step: Step, ids: Tensor) -> Recall | None:
        """Read the prompt, the pages to which the question attends most in each layer, and the newest tokens."""
        start = step.prompt_len

        def choose(index: int, queries: Tensor) -> LayerMemory:
            layer = step.cache.layers[index]
            whole = torch.arange(layer.length, device=layer.keys.device)
            older = layer.length - start - self._short()
            if older <= 0:
                return layer.copy_of(whole)
            scores = page_scores(queries, layer.raw_keys(step.backbone.rotary, start)[:, :older], self.page)
            read = torch.zeros(len(scores), dtype=torch.bool, device=whole.device)
            read[scores.topk(math.ceil(self.read_share * len(scores))).indices] = True
            pages = read.repeat_interleave(self.page)[:older]
            return layer.copy_of(
                torch.cat((whole[:start], whole[start : start + older][pages], whole[start + older :]))
            )

        return Recall(recall_by_layer(step.backbone, own_tokens(step, ids), step.cache, choose))
