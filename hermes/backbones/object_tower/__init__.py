"""A vision tower that recognises objects: EfficientNet-Lite0 with ImageNet's classifier and a small readout.

Importing this package registers the tower with transformers' `AutoConfig` and `AutoModel`.
"""

from transformers import AutoConfig, AutoModel

from hermes.backbones.object_tower.configuration import ObjectTowerConfig
from hermes.backbones.object_tower.modeling import ObjectTower, Sighting

AutoConfig.register(ObjectTowerConfig.model_type, ObjectTowerConfig, exist_ok=True)
AutoModel.register(ObjectTowerConfig, ObjectTower, exist_ok=True)

__all__ = ["ObjectTower", "ObjectTowerConfig", "Sighting"]
