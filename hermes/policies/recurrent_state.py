"""A constant state on a Transformer: one slot a patch and layer, in which every frame is blended with all before it.

It stands for what Video-Ma²mba's state-space model (arXiv 2411.19460) promises, a memory whose size never changes. It is not
that system: there, the language model itself is recurrent and trained so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from hermes.memory.cache import FIRST, KIND, MASS, PATCH, SECONDS, LayerMemory, Provenance, reindex
from hermes.memory.positions import rotate
from hermes.policies.base import SURROGATE, BudgetError, Outcome, Policy, Step
from hermes.policies.ops.slots import blended, slot_weights
from hermes.policies.settings import Setting
from hermes.snapshot import SUMMARY


@dataclass
class RecurrentState(Policy):
    """Each layer holds as many slots as a frame has patches, whatever the length of the stream.

    Attributes:
        decay: Share of the old state that a frame leaves.
    """

    name: ClassVar[str] = "recurrent-state"
    title: ClassVar[str] = "Recurrent state"
    badge: ClassVar[str] = SURROGATE
    about: ClassVar[str] = (
        "One slot a patch and layer: every frame is blended into it, older frames fade. It stands for the constant state of "
        "a recurrent model such as Video-Ma²mba, whose language model is itself recurrent and trained so; on a frozen "
        "Transformer there is no honest form of it."
    )
    citation: ClassVar[str] = "ours; Video-Ma²mba, arXiv 2411.19460, is a recurrent model and is not shown here"
    settings: ClassVar[tuple[Setting, ...]] = (
        Setting(
            "decay",
            "State kept",
            "Share of the state that a new frame leaves in place.",
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
        """Blend everything that each layer holds into its slots, oldest first."""
        if step.chunk is None or not max(step.video_tokens()):
            return None
        patches = step.patches
        if patches > self.budget:
            raise BudgetError(f"A state takes {patches} slots in every layer, and the budget is {self.budget}.")
        evicted = [self._blend(step, layer, patches) for layer in step.cache.layers]
        return Outcome(tuple(evicted), tuple(evicted), (True,) * len(evicted))

    def _blend(self, step: Step, layer: LayerMemory, patches: int) -> int:
        """One layer's slots, re-rotated to the newest frame; tokens that went into them."""
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
        told = Provenance.of_text(len(held), labels.device, SUMMARY)
        told.labels[PATCH] = held.to(torch.int32)
        told.labels[FIRST] = labels[FIRST].amin()
        at_patch = torch.nn.functional.one_hot(patch, patches).T.float()[held]
        told.figures[MASS] = at_patch @ count
        seconds = torch.nan_to_num(figures[SECONDS, index])
        told.figures[SECONDS] = (at_patch @ (seconds * count)) / told.figures[MASS]
        before = layer.length - start
        layer.intact, layer.length = False, start
        layer.append(keys, values[:, held].to(layer.values.dtype), positions, told)
        reindex(layer, start, rotary)
        return before - len(held)

    @staticmethod
    def _newest(patch: Tensor, patches: int) -> Tensor:
        """Index of each patch's newest token, int64 [patches]; 0 where there is none."""
        order = torch.arange(len(patch), device=patch.device)
        return torch.zeros(patches, dtype=torch.long, device=patch.device).scatter_reduce_(0, patch, order, "amax")
