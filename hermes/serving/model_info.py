"""Facts about a loaded model, for display."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hermes.backbones.card import UNLIMITED, Knowledge
from hermes.memory.tiers import LLAVA_ONEVISION, FamilyConstants

if TYPE_CHECKING:
    from hermes.backbones.base import Backbone


@dataclass(frozen=True)
class ModelInfo:
    """Facts about a loaded model for display: names, a one-sentence description, sizes, device and type.

    `constants` are the paper's constants for the model's family, or those of another family that it uses; `guidance` holds
    its own guidance prompts by name; `knowledge` is what it knows.
    """

    name: str
    title: str
    family: str
    about: str
    parameters: int
    num_layers: int
    tokens_per_frame: int
    bytes_per_token: int
    max_positions: int
    suggested: tuple[str, ...]
    device: str
    dtype: str
    constants: FamilyConstants = LLAVA_ONEVISION
    guidance: tuple[tuple[str, str], ...] = ()
    knowledge: Knowledge = UNLIMITED

    @classmethod
    def of(cls, name: str, model: Backbone) -> ModelInfo:
        """Return the facts about a loaded model that was requested as `name`."""
        return cls(
            name=name,
            title=model.card.name,
            family=model.family,
            about=model.card.about,
            parameters=sum(p.numel() for p in model.model.parameters()),
            num_layers=model.num_layers,
            tokens_per_frame=model.tokens_per_frame,
            bytes_per_token=model.bytes_per_token,
            max_positions=model.max_positions,
            suggested=model.card.suggested,
            device=str(model.device),
            dtype=str(model.dtype).removeprefix("torch."),
            constants=model.constants,
            guidance=tuple(model.card.guidance.items()),
            knowledge=model.card.knowledge,
        )
