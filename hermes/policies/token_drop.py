"""TimeChat-Online's token drop: drops patches that are similar to the previous frame (arXiv 2504.17343)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch

from hermes.memory.chunk import Chunk
from hermes.memory.stream_state import StateField
from hermes.policies.base import Policy
from hermes.policies.fidelity import BASELINE
from hermes.policies.ops.features import patch_similarity
from hermes.policies.settings import OUR_REINDEXING, Setting
from hermes.policies.step import Outcome, Step


@dataclass
class TokenDrop(Policy):
    """Drops redundant patches before the decoder and keeps the newest of the remaining tokens.

    Attributes:
        threshold: Patches with a higher similarity to the previous frame are dropped.
    """

    name: ClassVar[str] = "token-drop"
    title: ClassVar[str] = "Token drop"
    badge: ClassVar[str] = BASELINE
    about: ClassVar[str] = (
        "Drops patches that have not changed since the previous frame, and keeps the newest of the others."
    )
    citation: ClassVar[str] = "TimeChat-Online, arXiv 2504.17343; the budget is ours"
    spreads: ClassVar[bool] = True
    state_fields: ClassVar[Mapping[str, StateField]] = {
        "previous": StateField(("patches", "hidden"), "model", -1e6, 1e6)
    }
    settings: ClassVar[tuple[Setting, ...]] = (
        Setting(
            "threshold",
            "Similarity to drop",
            "A patch is dropped if its cosine similarity to the same patch of the previous frame is above this.",
            "number",
            0.5,
            low=-1.0,
            high=1.0,
            step=0.01,
            source="released code",
        ),
        OUR_REINDEXING,
    )

    threshold: float = 0.5

    def on_frames(self, step: Step, chunk: Chunk) -> Chunk:
        """Drop patches that are similar to the previous frame (the complete frame, before its own drop)."""
        features = chunk.features()[0]
        previous = step.state.tensors.get("previous")
        keep = patch_similarity(features, previous) <= self.threshold
        if previous is None:
            keep[0] = True
        step.state.tensors["previous"] = features[-1].clone()
        whole = torch.ones(chunk.tokens, dtype=torch.bool, device=keep.device)
        whole[chunk.encoded.vision] = keep.flatten()
        return chunk.select(whole)

    def after_encode(self, step: Step) -> Outcome | None:
        """Evict the oldest tokens."""
        return self.retain_newest(step)
