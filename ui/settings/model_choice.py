"""The shipped model that suits a source, unless the visitor or the server's flags chose a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from hermes.backbones.shipped import shipped_models


@dataclass(frozen=True)
class ModelChoice:
    """Chooses a model by what a source shows.

    Attributes:
        worlds: Name of the model by the world of the clips that it knows.
        pictures: Name of the model for uploads, cameras and clips of no world; "" to keep the model.
    """

    worlds: Mapping[str, str] = field(default_factory=dict)
    pictures: str = ""

    @classmethod
    def of_shipped(cls) -> ModelChoice:
        """Return the choice among the shipped models, from what their folders say that they know.

        Raises:
            ModelError: The description of a model cannot be read.
        """
        models = [model for model in shipped_models().values() if model.knowledge.world]
        real = next((model.name for model in models if model.knowledge.pictures), "")
        return cls(MappingProxyType({model.knowledge.world: model.name for model in models}), real)

    @property
    def models(self) -> frozenset[str]:
        """Names of the models that can be selected."""
        return frozenset((*self.worlds.values(), self.pictures))

    def model_for(self, kind: str, world: str | None, model: str) -> str:
        """Return the name of the model for a source.

        Args:
            kind: Kind of the source, see `ui.player.source.Source`.
            world: World of the clip, "" for none; None if the source is not a bundled clip.
            model: The present model, which is kept for recorded runs, without a source, and if no model suits.
        """
        if world:
            return self.worlds.get(world, model)
        shows_pictures = world is not None or kind in ("upload", "camera")
        return self.pictures or model if shows_pictures else model


KEEP = ModelChoice()
"""Keeps the present model for every source."""
