"""Configuration of the object tower."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedConfig

PLACES = 9
CLASSES = 1000


class ObjectTowerConfig(PreTrainedConfig):
    """Objects and sizes of the tower.

    Args:
        object_names: Names of the objects.
        class_to_object: Index of the object of each of ImageNet's 1000 classes, -1 for none.
        readout_size: Width of the readout.
        readout_heads: Attention heads of the readout.
        image_size: Height and width of the input in pixels; 224, the size for which the weights were trained.
        patch_size: Height and width in pixels of one location of the output.
        doubt: If the most likely object has a lower probability, no object counts as shown.
    """

    model_type = "object_tower"
    base_config_key = "vision_config"

    def __init__(
        self,
        object_names: list[str] | None = None,
        class_to_object: list[int] | None = None,
        readout_size: int = 96,
        readout_heads: int = 4,
        image_size: int = 224,
        patch_size: int = 32,
        doubt: float = 0.35,
        **kwargs: Any,
    ) -> None:
        self.object_names = list(object_names or ["object"])
        self.class_to_object = list(class_to_object or [-1] * CLASSES)
        self.readout_size = readout_size
        self.readout_heads = readout_heads
        self.image_size = image_size
        self.patch_size = patch_size
        self.doubt = doubt
        # Of each location: objects, places, whether nothing is there, and which location it is.
        self.hidden_size = len(self.object_names) + PLACES + 1 + (image_size // patch_size) ** 2
        super().__init__(**kwargs)
