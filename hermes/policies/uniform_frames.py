"""Uniform sampling: as many evenly spaced frames as fit the budget, prefilled when a question is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from hermes.memory.chunk import Chunk
from hermes.memory.stream_state import StateField
from hermes.policies.base import Policy
from hermes.policies.fidelity import BASELINE
from hermes.policies.ops.frame_store import STORE_FIELDS, FrameStore, spread
from hermes.policies.step import Outcome, Recall, Step

STORED = 4
"""Frames stored for each frame read, so that the frames read are evenly spaced for any length of the stream."""


@dataclass
class UniformFrames(Policy):
    """Stores features of evenly spaced frames and prefills as many as fit the budget for a question."""

    name: ClassVar[str] = "uniform-frames"
    title: ClassVar[str] = "Uniform frames"
    badge: ClassVar[str] = BASELINE
    about: ClassVar[str] = (
        "Prefills as many evenly spaced frames as fit the budget, but only when a question is asked, which delays the first "
        "token."
    )
    citation: ClassVar[str] = "the standard baseline of offline video models"
    needs: ClassVar[str] = "features of up to four times as many frames as the budget holds, outside the cache"

    state_fields: ClassVar[Mapping[str, StateField]] = {"stride": StateField((), "integer", 1, 1e9), **STORE_FIELDS}

    def on_frames(self, step: Step, chunk: Chunk) -> Chunk:
        """Store every `stride`-th frame and the newest one; nothing is prefilled yet."""
        state, store = step.state, FrameStore.of(chunk)
        known = FrameStore.of_state(state.tensors)
        store = known.joined(store) if known else store
        stride, frames = state.number("stride", 1), store.frames
        while len(wanted := _on_grid(frames, stride)) > STORED * self._count(store):
            stride *= 2
        state.tensors = {**state.tensors, **store.only(wanted).state()}
        state.count("stride", stride)
        return chunk.select(torch.zeros(chunk.tokens, dtype=torch.bool, device=step.backbone.device))

    def _count(self, store: FrameStore) -> int:
        """Number of frames that fit the budget with the text around them; at least one."""
        return max(self.budget * len(store.frames) // store.tokens, 1)

    def after_encode(self, step: Step) -> Outcome | None:
        """Keep leftovers of another policy within the budget; this policy caches nothing."""
        return self.retain_newest(step)

    def before_answer(self, step: Step, ids: Tensor) -> Recall | None:  # noqa: ARG002
        """Prefill the selected frames."""
        store = FrameStore.of_state(step.state.tensors)
        if store is None:
            return None
        chosen = store.only(spread(store.frames, self._count(store)))
        return Recall(chosen.prefilled(step.backbone, step.cache), chosen.nbytes)


def _on_grid(frames: Tensor, stride: int) -> Tensor:
    """Return the frames whose number is a multiple of `stride`, and the newest one."""
    return frames[(frames % stride == 0) | (frames == frames[-1])]
