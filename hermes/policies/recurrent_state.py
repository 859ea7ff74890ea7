"""Constant-size state on a Transformer: one slot per patch and layer that blends every frame with all earlier ones.

A surrogate for the constant memory of Video-Ma²mba's state-space model (arXiv 2411.19460), not that system: there, the
language model itself is recurrent and trained that way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from hermes.memory.eviction import reindex
from hermes.memory.layer import FIRST, KIND, MASS, PATCH, SECONDS, LayerMemory, Provenance
from hermes.memory.positions import rotate
from hermes.policies.base import Policy
from hermes.policies.fidelity import SURROGATE
from hermes.policies.limits import BudgetError
from hermes.policies.ops.slots import blended, slot_weights
from hermes.policies.settings import Setting
from hermes.policies.step import Outcome, Step
from hermes.snapshot import SUMMARY


@dataclass
class RecurrentState(Policy):
    """Holds one slot per patch in each layer, regardless of the length of the stream.

    Attributes:
        decay: Share of the old state that remains after a frame.
    """

    name: ClassVar[str] = "recurrent-state"
    title: ClassVar[str] = "Recurrent-state surrogate"
    badge: ClassVar[str] = SURROGATE
    about: ClassVar[str] = (
        "Blends every frame into one slot per patch and layer, so that older frames fade. A surrogate for the constant "
        "state of a recurrent model such as Video-Ma²mba, which cannot be reproduced on a frozen Transformer."
    )
    citation: ClassVar[str] = "ours; Video-Ma²mba, arXiv 2411.19460, is a recurrent model and is not shown here"
    settings: ClassVar[tuple[Setting, ...]] = (
        Setting(
            "decay",
            "State kept",
            "Share of the state that remains after a new frame.",
            "number",
            0.9,
            low=0.0,
            high=0.999,
            step=0.001,
            source="ours",
        ),
    )

    decay: float = 0.9

    def after_encode(self, step: Step) -> Outcome | None:
        """Blend all tokens of each layer into its slots, oldest first."""
        if step.chunk is None or not max(step.video_tokens()):
            return None
        patches = step.patches
        if patches > self.budget:
            raise BudgetError(f"The state needs {patches} slots per layer, but the budget is {self.budget}.")
        evicted = [self._blend(step, layer, patches) for layer in step.cache.layers]
        return Outcome(tuple(evicted), tuple(evicted), (True,) * len(evicted))

    def _blend(self, step: Step, layer: LayerMemory, patches: int) -> int:
        """Blend one layer into its slots at the newest frame's positions; return the number of tokens merged."""
        start, rotary = step.prompt_len, step.backbone.rotary
        labels, figures = layer.labels[:, start : layer.length].clone(), layer.figures[:, start : layer.length].clone()
        index = (labels[PATCH] >= 0).nonzero()[:, 0]
        patch, count = labels[PATCH, index].long(), figures[MASS, index]
        weight = slot_weights(patch, labels[KIND, index] == SUMMARY, patches, self.decay)
        keys = blended(layer.raw_keys(rotary, start)[:, index], weight)
        values = blended(layer.values[:, start + index].float(), weight)
        held = (weight.sum(1) > 0).nonzero()[:, 0]
        newest = self._newest(patch, patches)[held]
        positions = layer.positions[:, start + index[newest]]
        origin = positions.new_zeros(positions.shape[0], 1).expand_as(positions)
        keys = rotate(keys[:, held], origin, positions, rotary).to(layer.keys.dtype)
        provenance = Provenance.of_text(len(held), labels.device, SUMMARY)
        provenance.labels[PATCH] = held.to(torch.int32)
        provenance.labels[FIRST] = labels[FIRST].amin()
        at_patch = torch.nn.functional.one_hot(patch, patches).T.float()[held]
        provenance.figures[MASS] = at_patch @ count
        seconds = torch.nan_to_num(figures[SECONDS, index])
        provenance.figures[SECONDS] = (at_patch @ (seconds * count)) / provenance.figures[MASS]
        before = layer.length - start
        layer.intact, layer.length = False, start
        layer.append(keys, values[:, held].to(layer.values.dtype), positions, provenance)
        reindex(layer, start, rotary)
        return before - len(held)

    @staticmethod
    def _newest(patch: Tensor, patches: int) -> Tensor:
        """Index of each patch's newest token, int64 [patches]; 0 if there is none."""
        order = torch.arange(len(patch), device=patch.device)
        return torch.zeros(patches, dtype=torch.long, device=patch.device).scatter_reduce_(0, patch, order, "amax")
