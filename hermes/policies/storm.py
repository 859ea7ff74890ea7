"""STORM's temporal pooling without its trained Mamba projector (arXiv 2503.04130): frames averaged in groups of four."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch

from hermes.memory.chunk import Chunk
from hermes.memory.stream_state import StateField
from hermes.policies.base import UNTRAINED, Outcome, Policy, Step
from hermes.policies.grouping import OPEN_GROUP, open_groups
from hermes.policies.settings import OUR_REINDEXING, Setting


@dataclass
class Storm(Policy):
    """Every `group` frames become one, patch by patch; the newest of these stay.

    Attributes:
        group: Frames that are averaged into one.
    """

    name: ClassVar[str] = "storm"
    title: ClassVar[str] = "STORM"
    badge: ClassVar[str] = UNTRAINED
    about: ClassVar[str] = (
        "Averages groups of frames before the decoder; the newest of what is left stay under the budget."
    )
    citation: ClassVar[str] = "STORM, arXiv 2503.04130; temporal pooling, no Mamba"
    state_fields: ClassVar[Mapping[str, StateField]] = {"frames": StateField((), "integer", 0, 1e12), **OPEN_GROUP}
    settings: ClassVar[tuple[Setting, ...]] = (
        Setting("group", "Frames a group", "Frames averaged into one.", "number", 4, low=1, high=32, step=1),
        OUR_REINDEXING,
    )

    group: int = 4

    def on_frames(self, step: Step, chunk: Chunk) -> Chunk:
        """Average; a group that is still open is read again, with what it has so far, when it goes on."""
        held = step.state.number("frames")
        frames = int(chunk.encoded.step[-1]) + 1
        step.state.count("frames", held + frames)
        number = torch.arange(held, held + frames, device=step.backbone.device) // self.group
        # Without an open group to go on with, the first group is numbered 1: group 0 is the one left open.
        return open_groups(step, chunk, number - number[0] + int(held % self.group == 0))

    def after_encode(self, step: Step) -> Outcome | None:
        """Evict the oldest."""
        return self.retain_newest(step)
