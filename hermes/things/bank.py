"""Rendered scenes, encoded once by the frozen part of the tower and stored in shards, so that encoding can be resumed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch
from torch import Tensor

from hermes.backbones.object_tower.modeling import EfficientNetLite
from hermes.things.pictures import NOTHING, Cutout, Pixels
from hermes.things.render import draw, make_look, make_setting
from hermes.worlds.timeline import PLACES

log = logging.getLogger(__name__)

SHARD: Final = 300  # scenes
TAKES: Final = 1  # frames per scene, each with different shake and noise
EMPTY: Final = 0.08  # share of scenes without any object
STRANGE: Final = 0.1  # share of scenes that show an unknown object
WHOLE: Final = 0.14  # share of scenes that are whole photographs without any of the objects
PORTRAIT: Final = 0.06  # share of scenes that are whole photographs of an object
PHOTOGRAPHIC: Final = 4.0  # weight of a cut-out from a photograph relative to a drawing
WEIGHTS: Final = {
    "model": 0.5,
    "icon": 2.0,
}  # of one view of a 3D model (there are at least six of each), and of an icon


@dataclass(frozen=True)
class Features:
    """S scenes of `TAKES` frames each.

    Attributes:
        features: float16 [S, TAKES, 49, 1280].
        label: int64 [S], index of the object, or `NOTHING`.
        place: int64 [S], index into `PLACES`.
        cover: float16 [S, TAKES, 49], share of each location that the object covers.
        strange: bool [S], whether the scene shows an unknown object, or is a photograph without any of the objects.
    """

    features: Tensor
    label: Tensor
    place: Tensor
    cover: Tensor
    strange: Tensor


def to_pixel_values(frames: Tensor) -> Tensor:
    """Convert frames, uint8 [N, 224, 224, 3], to float32 [N, 3, 224, 224], -1 to 1."""
    return frames.permute(0, 3, 1, 2).float() / 127.5 - 1


@dataclass(frozen=True)
class Material:
    """Pictures from which scenes are composed.

    Attributes:
        cutouts: Cut-outs of known and of unknown objects.
        backgrounds: Photographs, uint8 [H, W, 3] RGB.
        whole: Photographs without any of the objects, which fill the frame.
        portraits: Photographs in which an object fills the frame, each with its label.
    """

    cutouts: Sequence[Cutout]
    backgrounds: Sequence[Pixels]
    whole: Sequence[Pixels] = ()
    portraits: Sequence[tuple[int, Pixels]] = ()


def _choose(rng: np.random.Generator, cutouts: Sequence[Cutout]) -> Cutout:
    weight = np.array([PHOTOGRAPHIC if c.photographic else WEIGHTS.get(c.style, 1.0) for c in cutouts])
    return cutouts[int(rng.choice(len(cutouts), p=weight / weight.sum()))]


@dataclass(frozen=True)
class Scenes:
    """S rendered scenes of `TAKES` frames each; label, place and strange as in `Features`.

    Attributes:
        frames: uint8 [S, TAKES, 224, 224, 3], RGB.
        cover: float16 [S, TAKES, 49].
    """

    frames: Tensor
    label: Tensor
    place: Tensor
    cover: Tensor
    strange: Tensor


def render_scenes(rng: np.random.Generator, material: Material, scenes: int) -> Scenes:
    """Render scenes. All objects are equally frequent, regardless of their number of pictures."""
    of: dict[int, list[Cutout]] = {}
    for cutout in material.cutouts:
        of.setdefault(cutout.label, []).append(cutout)
    known = [label for label in of if label != NOTHING]
    labels, places, strange = [], [], []
    frames = np.empty((scenes, TAKES, 224, 224, 3), np.uint8)
    masks = np.empty((scenes, TAKES, 224, 224), np.uint8)
    for index in range(scenes):
        chance = rng.random()
        whole = chance < WHOLE and len(material.whole) > 0
        odd = WHOLE <= chance < WHOLE + STRANGE and NOTHING in of
        portrait = chance > 1 - PORTRAIT and len(material.portraits) > 0
        label = NOTHING if chance < WHOLE + EMPTY + STRANGE else known[int(rng.integers(len(known)))]
        place, look = int(rng.integers(len(PLACES))), None
        if portrait:
            label, picture = material.portraits[int(rng.integers(len(material.portraits)))]
            place, setting = PLACES.index("centre"), make_setting(rng, [picture], drawn=0.0, zoom=1.25)
        else:
            setting = make_setting(rng, material.whole if whole else material.backgrounds, drawn=0.0 if whole else None)
            if label != NOTHING or odd:
                look = make_look(rng, _choose(rng, of[label]).pixels, PLACES[place], setting.aspect)
        for take in range(TAKES):
            frames[index, take], masks[index, take] = draw(rng, setting, look)
        if odd:
            masks[index] = 0
        elif portrait:  # there is no outline: assume that the object covers the middle
            masks[index] = cv2.ellipse(np.zeros((224, 224), np.uint8), (112, 112), (85, 85), 0, 0, 360, 255, -1)
        labels.append(label)
        places.append(place)
        strange.append(odd or whole)
    cover = torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(masks.reshape(-1, 1, 224, 224)).float() / 255, 7)
    return Scenes(
        torch.from_numpy(frames), torch.tensor(labels), torch.tensor(places),
        cover.flatten(1).half().unflatten(0, (scenes, TAKES)), torch.tensor(strange),
    )  # fmt: skip


@torch.inference_mode()
def encode_scenes(network: EfficientNetLite, scenes: Scenes, batch: int = 10) -> Features:
    """Encode scenes in batches, on the device of the network; the features are on the CPU."""
    device, pixels = network.head.weight.device, scenes.frames.flatten(0, 1)
    with torch.autocast(device.type, enabled=device.type != "cpu"):
        found = [network(to_pixel_values(part.to(device))).half().cpu() for part in pixels.split(batch)]
    features = torch.cat(found).unflatten(0, scenes.frames.shape[:2])
    return Features(features, scenes.label, scenes.place, scenes.cover, scenes.strange)


def extend_bank(
    folder: Path,
    network: EfficientNetLite,
    material: Material,
    shards: int,
    seed: int,
    progress: Callable[[str], None],
) -> None:
    """Compute the missing shards of a bank. A shard depends only on its number and the seed."""
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(shards):
        path = folder / f"{number:04d}.pt"
        if path.exists():
            continue
        shard = encode_scenes(network, render_scenes(np.random.default_rng([seed, 11, number]), material, SHARD))
        torch.save(vars(shard), path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)
        progress(f"{folder.name}: {number + 1} of {shards} shards")


def open_bank(folder: Path) -> Features:
    """Read all shards of a bank."""
    shards = [torch.load(path, weights_only=True) for path in sorted(folder.glob("*.pt"))]
    return Features(**{key: torch.cat([shard[key] for shard in shards]) for key in shards[0]})
