"""Quicksviewer's non-uniform cubes without its trained parts (arXiv 2504.15270): momentum boundaries, averaged cubes.

The publication uses a learned boundary score, the best boundaries of a whole video, and a learned resampler. Here a boundary
is a frame with a high momentum among those seen so far, and a cube is the mean of its frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from hermes.memory.chunk import Chunk
from hermes.memory.stream_state import StateField
from hermes.policies.base import Policy
from hermes.policies.fidelity import UNTRAINED
from hermes.policies.grouping import OPEN_GROUP, open_groups
from hermes.policies.ops.features import before, momentum
from hermes.policies.settings import OUR_REINDEXING, Setting
from hermes.policies.step import Outcome, Step

REMEMBERED = 256
"""Number of boundary scores in the running quantile."""


@dataclass
class Quicksviewer(Policy):
    """Splits the stream into cubes of varying length and keeps one averaged frame for each.

    Attributes:
        alpha: Weight of the newest change in the momentum.
        length: Target mean number of frames per cube.
        side: Largest side of a cube's grid of tokens.
    """

    name: ClassVar[str] = "quicksviewer"
    title: ClassVar[str] = "Quicksviewer-style"
    badge: ClassVar[str] = UNTRAINED
    about: ClassVar[str] = (
        "Splits the stream where it changes and averages the frames between two boundaries; keeps the newest averages."
    )
    citation: ClassVar[str] = "Quicksviewer, arXiv 2504.15270; untrained boundaries and averaging, no resampler"
    state_fields: ClassVar[Mapping[str, StateField]] = {
        "previous": StateField(("patches", "hidden"), "float", -1e6, 1e6),
        "momentum": StateField(("patches", "hidden"), "float", -1e6, 1e6),
        "scores": StateField(("any",)),
        **OPEN_GROUP,
    }
    settings: ClassVar[tuple[Setting, ...]] = (
        Setting(
            "alpha",
            "Momentum",
            "Weight of the newest change.",
            "number",
            0.8,
            low=0.05,
            high=1.0,
            step=0.05,
            source="released code",
        ),
        Setting(
            "length",
            "Frames per cube",
            "Target mean length, by a running quantile. The publication uses the best boundaries of a whole video, one in "
            "five frames.",
            "number",
            5,
            low=1,
            high=64,
            step=1,
            source="ours",
        ),
        Setting(
            "side",
            "Grid per cube",
            "Largest side of a cube’s grid of averaged tokens; the publication uses 64 learned tokens.",
            "number",
            8,
            low=1,
            high=32,
            step=1,
            source="ours",
        ),
        OUR_REINDEXING,
    )

    alpha: float = 0.8
    length: int = 5
    side: int = 8

    def on_frames(self, step: Step, chunk: Chunk) -> Chunk:
        """Place boundaries where momentum is high among the frames seen, and average between them."""
        tensors, features = step.state.tensors, chunk.features()[0].float()
        change = features - before(features, tensors.get("previous"))
        moved = momentum(change, tensors.get("momentum"), self.alpha)
        scores = moved.mean(1).norm(dim=-1)
        seen = torch.cat((tensors.get("scores", scores[:0]), scores))
        cut = self._cuts(seen, len(scores))
        cut[0] |= "previous" not in tensors  # the first frame starts a cube
        tensors |= {"previous": features[-1].clone(), "momentum": moved[-1].clone(), "scores": seen[-REMEMBERED:]}
        return open_groups(step, chunk, cut.long().cumsum(0), self.side)

    def _cuts(self, seen: Tensor, new: int) -> Tensor:
        """Mask of the newest `new` frames that start a cube, each compared with the scores up to its own: bool [new]."""
        judged = torch.arange(len(seen) - new, len(seen), device=seen.device)
        known = torch.arange(len(seen), device=seen.device) <= judged[:, None]
        ranks = ((seen <= seen[judged][:, None]) & known).sum(1) / known.sum(1)
        return ranks > 1 - 1 / self.length

    def after_encode(self, step: Step) -> Outcome | None:
        """Evict the oldest tokens."""
        return self.retain_newest(step)
