"""STORM's temporal pooling without its trained Mamba projector (arXiv 2503.04130): frames averaged in groups of four."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch

from hermes.memory.chunk import Chunk
from hermes.memory.stream_state import StateField
from hermes.policies.base import Policy
from hermes.policies.fidelity import UNTRAINED
from hermes.policies.grouping import OPEN_GROUP, open_groups
from hermes.policies.settings import OUR_REINDEXING, Setting
from hermes.policies.step import Outcome, Step


@dataclass
class Storm(Policy):
    """Averages every `group` frames into one, patch by patch, and keeps the newest.

    Attributes:
        group: Number of frames averaged into one.
    """

    name: ClassVar[str] = "storm"
    title: ClassVar[str] = "STORM-style temporal pooling"
    badge: ClassVar[str] = UNTRAINED
    about: ClassVar[str] = (
        "Averages groups of frames before the decoder and keeps the newest averages within the budget."
    )
    citation: ClassVar[str] = "STORM, arXiv 2503.04130; temporal pooling, no Mamba"
    state_fields: ClassVar[Mapping[str, StateField]] = {"frames": StateField((), "integer", 0, 1e12), **OPEN_GROUP}
    settings: ClassVar[tuple[Setting, ...]] = (
        Setting("group", "Frames per group", "Frames averaged into one.", "number", 4, low=1, high=32, step=1),
        OUR_REINDEXING,
    )

    group: int = 4

    def on_frames(self, step: Step, chunk: Chunk) -> Chunk:
        """Average the frames of each group; an open group is prefilled again when the next chunk continues it."""
        held = step.state.number("frames")
        frames = int(chunk.encoded.step[-1]) + 1
        step.state.count("frames", held + frames)
        number = torch.arange(held, held + frames, device=step.backbone.device) // self.group
        # Group 0 continues the open group. Without an open group, the first group is number 1.
        return open_groups(step, chunk, number - number[0] + int(held % self.group == 0))

    def after_encode(self, step: Step) -> Outcome | None:
        """Evict the oldest tokens."""
        return self.retain_newest(step)
