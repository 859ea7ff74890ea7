"""Fine-tuning of the whole tower on rendered frames, with a GPU; ImageNet's classifier stays frozen.

Fine-tuning adapts the convolutions to small objects in front of backgrounds and to drawings. It forgets what ImageNet's
weights know about objects that the training pictures do not show, so the result is the mean of the weights before and after
(Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022), and frames without any of the objects keep ImageNet's
scores.
"""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from hermes.backbones.object_tower import ObjectTower
from hermes.backbones.object_tower.modeling import Sighting
from hermes.pocket.clock import Log
from hermes.things.bank import Scenes, to_pixel_values
from hermes.things.pictures import NOTHING
from hermes.things.train_tower import cover_target, sighting_loss
from hermes.worlds.timeline import PLACES

log = logging.getLogger(__name__)

BATCH: Final = 256
RATE: Final = 3e-4  # of the readout
FEATURE_RATE: Final = 0.5  # learning rate of the convolutions, relative to the readout's
DECAY: Final = 0.05
AVERAGED: Final = 0.998  # of the moving average of the weights
DROPPED: Final = 0.2  # dropout of the features
KEPT_SCORES: Final = 1.0  # weight of keeping ImageNet's scores of frames without any of the objects
REPORTED: Final = 100  # steps between lines of the log


def augment(pixels: Tensor) -> Tensor:
    """Vary colours, sharpness and noise of frames, and hide a rectangle in some.

    Args:
        pixels: float [B, 3, H, W], -1 to 1.
    """
    size, device = len(pixels), pixels.device

    def uniform(low: float, high: float, channels: int = 1) -> Tensor:
        return torch.empty(size, channels, 1, 1, device=device).uniform_(low, high)

    def some(share: float) -> Tensor:
        return torch.rand(size, 1, 1, 1, device=device) < share

    x = pixels / 2 + 0.5
    x = x * uniform(0.75, 1.2) * uniform(0.85, 1.15, 3)
    grey = x.mean(1, keepdim=True)
    x = torch.lerp(grey, x, torch.where(some(0.1), torch.zeros_like(uniform(0, 1)), uniform(0.4, 1.5)))
    mean = x.mean((1, 2, 3), keepdim=True)
    x = torch.lerp(mean, x, uniform(0.7, 1.25)).clamp(0, 1) ** uniform(0.75, 1.35)
    coarse = F.interpolate(F.avg_pool2d(x, 2), scale_factor=2, mode="bilinear")
    coarser = F.interpolate(F.avg_pool2d(x, 3, ceil_mode=True), size=x.shape[-2:], mode="bilinear")
    x = torch.where(some(0.2), coarse, torch.where(some(0.08), coarser, x))
    x = x + torch.randn_like(x) * uniform(0, 0.05)
    rows, columns = (torch.arange(side, device=device) for side in x.shape[-2:])
    top, left = uniform(-0.1, 0.9) * len(rows), uniform(-0.1, 0.9) * len(columns)
    high, wide = uniform(0.08, 0.3) * len(rows), uniform(0.08, 0.3) * len(columns)
    inside = (rows[:, None] >= top) & (rows[:, None] < top + high) & (columns >= left) & (columns < left + wide)
    x = torch.where(inside & some(0.25), uniform(0, 1, 3).expand_as(x), x)
    return (x.clamp(0, 1) - 0.5) * 2


def mirror(pixels: Tensor, place: Tensor, cover: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mirror half of the frames, with their places and covers.

    Args:
        pixels: float [B, 3, H, W].
        place: int64 [B].
        cover: float [B, 49].
    """
    flip = torch.rand(len(pixels), device=pixels.device) < 0.5
    columns = math.isqrt(len(PLACES))
    other = place // columns * columns + (columns - 1 - place % columns)
    side = math.isqrt(cover.shape[-1])
    grid = cover.unflatten(1, (side, side)).flip(-1).flatten(1)
    return (
        torch.where(flip[:, None, None, None], pixels.flip(-1), pixels),
        torch.where(flip, other, place),
        torch.where(flip[:, None], grid, cover),
    )


def interpolate(before: dict[str, Tensor], after: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """Return weights between two states: `before` for share 0, `after` for 1."""
    return {name: torch.lerp(value.float(), after[name].float(), share) for name, value in before.items()}


@dataclass(frozen=True)
class _TuningFrames:
    """Single frames on the device of the tower; see `Scenes`."""

    pixels: Tensor
    label: Tensor
    place: Tensor
    cover: Tensor

    def draw(self, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the pixel values, labels, places and covers of random frames; half of them are mirrored."""
        index = torch.randint(len(self.pixels), (count,), device=self.pixels.device)
        pixels, place, cover = mirror(to_pixel_values(self.pixels[index]), self.place[index], self.cover[index])
        return pixels, self.label[index], place, cover


def _on(device: torch.device, scenes: Scenes) -> _TuningFrames:
    takes = scenes.frames.shape[1]
    label, place = (value.repeat_interleave(takes).to(device) for value in (scenes.label, scenes.place))
    return _TuningFrames(
        scenes.frames.flatten(0, 1).to(device), label, place, cover_target(scenes.cover.flatten(0, 1)).to(device)
    )


def _frame_scores(tower: ObjectTower, features: Tensor) -> Tensor:
    """Return ImageNet's scores of whole frames [B, classes]."""
    return tower.readout.classify(features).mean(1) + tower.readout.classifier.bias


def tuning_loss(
    tower: ObjectTower, frozen: ObjectTower, frames: tuple[Tensor, ...]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the loss of a batch and its parts.

    Args:
        tower: The tower that is tuned.
        frozen: The tower before tuning.
        frames: Pixel values, labels, places and covers of a batch.
    """
    clean, name, place, cover = frames
    pixels = augment(clean).contiguous(memory_format=torch.channels_last)
    # Part of the corrections to ImageNet's scores is hidden, so that the convolutions learn what these need.
    share = max(float(torch.rand(())) * 2 - 1, 0.0) if torch.rand(()) < 0.5 else 1.0
    readout = tower.readout
    hidden = {"correct.weight": readout.correct.weight * share, "correct.bias": readout.correct.bias * share}
    with torch.autocast(clean.device.type, torch.bfloat16):
        found = tower.features(pixels)
        seen: Sighting = functional_call(readout, hidden, (F.dropout(found, DROPPED),))
        scores = _frame_scores(tower, found)
        with torch.no_grad():
            before = _frame_scores(frozen, frozen.features(pixels))
    loss, parts = sighting_loss(seen.in_float32(), name, place, cover)
    moved = F.kl_div(scores.float().log_softmax(-1), before.float().log_softmax(-1), log_target=True, reduction="none")
    none = (name == NOTHING).float()
    kept = (moved.sum(-1) * none).sum() / none.sum().clamp(min=1)
    return loss + KEPT_SCORES * kept, {**parts, "kept": kept.detach()}


def tune(
    folder: Path,
    tower: ObjectTower,
    scenes: Scenes,
    seconds: float,
    seed: int,
    progress: Callable[[str], None],
    batch: int = BATCH,
    timer: Callable[[], float] = time.monotonic,
) -> dict[str, Tensor]:
    """Train all weights of a tower but ImageNet's classifier, in place, on its device.

    Args:
        folder: Folder of the run; the log is written to `tuning.jsonl`.
        tower: Tower with a trained readout, on a GPU.
        scenes: Rendered frames.
        seconds: Time for training.
        seed: Random seed of the batches.
        progress: Called from time to time with a one-line message.
        batch: Frames in a batch.
        timer: Clock that counts the seconds of training.

    Returns:
        The moving average of the weights, to be combined with those before by `interpolate`.
    """
    torch.manual_seed(seed)
    frames = _on(tower.readout.scale.device, scenes)
    frozen = copy.deepcopy(tower).eval().requires_grad_(False)
    for network in (tower.eval().requires_grad_(True), frozen):
        network.to(memory_format=torch.channels_last)
    tower.readout.classifier.requires_grad_(False)
    features = list(tower.features.parameters())
    rest = [p for p in tower.readout.parameters() if p.requires_grad]
    groups = [
        {"params": features, "weight_decay": 0.0, "share": FEATURE_RATE},
        {"params": rest, "weight_decay": DECAY, "share": 1.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=RATE)
    trained = [*features, *rest]
    mean = [p.detach().clone() for p in trained]
    out, start, step = Log(folder / "tuning.jsonl"), timer(), 0
    sums: dict[str, Tensor] = {}
    while (share := min((timer() - start) / seconds, 1.0)) < 1 or step == 0:
        loss, parts = tuning_loss(tower, frozen, frames.draw(batch))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        for group in optimiser.param_groups:
            group["lr"] = RATE * group["share"] * min(1.0, 20 * share) * (0.5 + 0.5 * math.cos(math.pi * share))
        optimiser.step()
        step += 1
        torch._foreach_lerp_(mean, [p.detach() for p in trained], 1 - min(AVERAGED, step / (step + 10)))
        sums = {part: sums.get(part, torch.zeros_like(value)) + value for part, value in parts.items()}
        if step % REPORTED == 0:
            line = {part: round(float(value) / REPORTED, 3) for part, value in sums.items()}
            out.write(step=step, used=round(timer() - start), **line)
            progress(f"tuning: step {step}, {line}")
            sums = {}
    with torch.no_grad():
        for parameter, value in zip(trained, mean, strict=True):
            parameter.copy_(value)
    tower.requires_grad_(False)
    log.info("tuned for %d steps", step)
    return {name: value.detach().cpu() for name, value in tower.state_dict().items()}
