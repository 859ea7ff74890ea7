"""Training of the tower's readout: which locations show an object, which object, and where. The rest is frozen."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hermes.backbones.half import half_is_faster
from hermes.backbones.object_tower import ObjectTower, Sighting
from hermes.pocket.clock import Log, load_state, save_state
from hermes.things.bank import Features
from hermes.things.pictures import NOTHING

log = logging.getLogger(__name__)

BATCH: Final = 48
RATE: Final = 1.5e-3
FULL: Final = 0.33  # a location covered to this extent counts as covered
SMOOTHING: Final = 0.05  # label smoothing
CORRECTION_DECAY: Final = 0.3  # weight decay of the corrections to ImageNet's classifier
AVERAGED: Final = 0.98  # of the moving average of the weights
REPORTED: Final = 50  # steps between lines of the log
# After the training, for pictures of other objects than those trained on (chosen on half of the held-out pictures):
CORRECTED: Final = 0.9  # share of the corrections that is kept
EVIDENCE: Final = 0.4  # weight of ImageNet's scores


@dataclass(frozen=True)
class Phase:
    """One phase of the readout's training.

    Attributes:
        name: Its name in the log.
        steps: Number of steps.
        dropped: Dropout of the features.
        masked: Share of the channels that are hidden in a whole frame.
        decay: Weight decay of everything but the corrections.
        corrections: Learning rate of the corrections to ImageNet's classifier, relative to the rest.
    """

    name: str
    steps: int
    dropped: float
    masked: float
    decay: float
    corrections: float


# The corrections need many steps, and name unseen pictures better the longer they are trained. What decides whether and
# where an object is shown soon memorises its frames instead, so it is retrained briefly and with strong regularisation.
PHASES: Final = (
    Phase("corrections", 3700, dropped=0.2, masked=0.0, decay=0.02, corrections=0.3),
    Phase("presence", 300, dropped=0.4, masked=0.2, decay=0.1, corrections=0.05),
)


def cover_target(cover: Tensor) -> Tensor:
    """Return the target cover of each location, 0 to 1, float [..., 49].

    A location covered by at least a third counts as fully covered, and so does the most covered location.
    """
    cover = cover.float()
    best = cover.amax(-1, keepdim=True)
    return torch.clamp(torch.maximum(cover / FULL, (cover == best) * (best > 0.02)), 0, 1)


def sighting_loss(seen: Sighting, label: Tensor, place: Tensor, cover: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the loss of a batch and its parts.

    Args:
        seen: Output of the tower for B frames.
        label: int64 [B], `NOTHING` for none.
        place: int64 [B].
        cover: float [B, 49], see `cover_target`.
    """
    shown = (label != NOTHING).float()
    weight = cover * shown[:, None] + 1e-6
    weight = weight / weight.sum(1, keepdim=True) * shown[:, None]
    safe = label.clamp(min=0)

    def mean(log_probability: Tensor, wanted: Tensor) -> Tensor:
        chosen = log_probability.gather(-1, wanted[:, None, None].expand(-1, log_probability.shape[1], 1))[..., 0]
        chosen = (1 - SMOOTHING) * chosen + SMOOTHING * log_probability.mean(-1)
        return -(chosen * weight).sum() / shown.sum().clamp(min=1)

    named, placed = mean(seen.objects, safe), mean(seen.places, place)
    covered = F.binary_cross_entropy_with_logits(seen.cover, cover * shown[:, None], reduction="none")
    # Give covered and other locations the same total weight.
    balance = torch.where(cover * shown[:, None] > 0.5, 2.0, 1.0)
    found = (covered * balance).mean()
    parts = {"object": named.detach(), "place": placed.detach(), "cover": found.detach()}
    return named + placed + 2 * found, parts


@torch.inference_mode()
def frame_answers(seen: Sighting, doubt: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return the tower's predictions for whole frames.

    Args:
        seen: Output for single locations.
        doubt: `doubt` of the tower's configuration.

    Returns:
        Probability that an object is shown [B], of each object in that case [B, K], and of each place [B, 9].
    """
    cover = seen.shown(doubt)
    weight = cover / cover.sum(1, keepdim=True).clamp(min=1e-6)
    objects = (seen.objects.exp() * weight[..., None]).sum(1)
    places = (seen.places.exp() * weight[..., None]).sum(1)
    return cover.topk(2, -1).values.mean(-1), objects, places


class ReadoutData:
    """The single frames of a bank, with precomputed ImageNet scores of every location, on the device of the tower."""

    def __init__(self, bank: Features, tower: ObjectTower) -> None:
        takes, device = bank.features.shape[1], tower.readout.scale.device
        self.features = bank.features.flatten(0, 1).to(device)
        self.label = bank.label.repeat_interleave(takes).to(device)
        self.place = bank.place.repeat_interleave(takes).to(device)
        self.strange = bank.strange.repeat_interleave(takes).to(device)
        self.cover = cover_target(bank.cover.flatten(0, 1)).to(device)
        with torch.inference_mode():
            parts = [tower.readout.classify(part.float()).half() for part in self.features.split(200)]
        self.scores = torch.cat(parts)

    def __len__(self) -> int:
        return len(self.label)

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return features, scores, label, place and cover of the selected frames."""
        index = index.to(self.features.device)
        return (
            self.features[index].float(), self.scores[index].float(), self.label[index], self.place[index],
            self.cover[index],
        )  # fmt: skip


def _groups(tower: ObjectTower, phase: Phase) -> Iterator[dict[str, Any]]:
    readout = tower.readout
    for module in (readout.classifier, tower.features):
        module.requires_grad_(False)
    corrections = [readout.correct.weight, readout.correct.bias]
    yield {"params": corrections, "weight_decay": CORRECTION_DECAY, "share": phase.corrections}
    rest = [p for n, p in readout.named_parameters() if p.requires_grad and not n.startswith("correct.")]
    yield {"params": rest, "weight_decay": phase.decay, "share": 1.0}


def train_readout(
    folder: Path,
    tower: ObjectTower,
    data: ReadoutData,
    seed: int,
    progress: Callable[[str], None],
    phases: Sequence[Phase] = PHASES,
) -> Path:
    """Train the readout of a tower, in place; read the phases that `folder` contains.

    Args:
        folder: Folder of the run; the readout is written to `tower.pt`, that of each phase to `tower-NAME.pt`, the log to
            `tower.jsonl`.
        tower: See `hermes.things.convert.imagenet_tower`.
        data: Training data.
        seed: Random seed of the batches.
        progress: Called from time to time with a one-line message.
        phases: Each starts from new weights, with the corrections of the one before.
    """
    torch.set_num_threads(1)
    path, readout = folder / "tower.pt", tower.readout
    if state := load_state(path):
        readout.load_state_dict(state["readout"])
        return path
    fresh = {name: value.clone() for name, value in readout.state_dict().items()}
    for phase in phases:
        kept = {name: value for name, value in readout.state_dict().items() if name.startswith(("correct.", "scale"))}
        readout.load_state_dict(fresh | kept)
        done = folder / f"tower-{phase.name}.pt"
        if state := load_state(done):
            readout.load_state_dict(state["readout"])
        else:
            _train_phase(phase, tower, data, seed, Log(folder / "tower.jsonl"), progress)
            save_state(done, readout=readout.state_dict())
    with torch.no_grad():
        readout.correct.weight.mul_(CORRECTED)
        readout.scale[1] = EVIDENCE
    save_state(path, readout=readout.state_dict())
    return path


def _train_phase(
    phase: Phase, tower: ObjectTower, data: ReadoutData, seed: int, out: Log, progress: Callable[[str], None]
) -> None:
    """Train for one phase; the result is a moving average of the weights."""
    torch.manual_seed(seed)
    readout, start = tower.readout, time.process_time()
    device = readout.scale.device
    half = device.type != "cpu" or half_is_faster()
    optimiser = torch.optim.AdamW(list(_groups(tower, phase)), lr=RATE)
    trained = [p for group in optimiser.param_groups for p in group["params"]]
    mean = [p.detach().clone() for p in trained]
    sums: dict[str, list[Tensor]] = {}
    for step in range(1, phase.steps + 1):
        rng = np.random.default_rng([seed, 12, step])
        features, scores, label, place, cover = data.batch(torch.from_numpy(rng.integers(0, len(data), BATCH)))
        left = torch.rand(len(features), 1, features.shape[-1], device=device) >= phase.masked
        features = F.dropout(features, phase.dropped) * left / (1 - phase.masked)
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            seen = readout(features, scores)
        loss, parts = sighting_loss(seen.in_float32(), label, place, cover)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        share = step / phase.steps
        for group in optimiser.param_groups:
            group["lr"] = RATE * group["share"] * min(1.0, 8 * share) * (1 - 0.95 * share)
        optimiser.step()
        torch._foreach_lerp_(mean, [p.detach() for p in trained], 1 - min(AVERAGED, step / (step + 10)))
        for name, value in parts.items():
            sums.setdefault(name, []).append(value)
        if step % REPORTED == 0 or step == phase.steps:
            line = {name: round(float(torch.stack(values).mean()), 3) for name, values in sums.items()}
            out.write(phase=phase.name, step=step, used=round(time.process_time() - start), **line)
            progress(f"{phase.name}: step {step}, {line}")
            sums = {}
    with torch.no_grad():
        for parameter, value in zip(trained, mean, strict=True):
            parameter.copy_(value)


@torch.inference_mode()
def measure_readout(tower: ObjectTower, data: ReadoutData, threshold: float = 0.5) -> dict[str, float]:
    """Return the shares of frames whose object, place or absence of an object is predicted correctly."""
    right: dict[str, list[Tensor]] = {}
    for index in torch.arange(len(data)).split(100):
        features, scores, label, place, _ = data.batch(index)
        shown, objects, places = frame_answers(tower.readout(features, scores), tower.config.doubt)
        has = label != NOTHING
        name = objects.argmax(-1)
        strange = data.strange[index]
        found = has & (shown > threshold)
        rows = {
            "named": (has, (name == label) & (shown > threshold)),
            "named if found": (found, name == label),
            "found": (has, shown > threshold),
            "placed": (found, places.argmax(-1) == place),
            "empty": (~has & ~strange, shown <= threshold),
            "strange left": (strange, shown <= threshold),
        }
        for key, (chosen, value) in rows.items():
            right.setdefault(key, []).append(value[chosen].float())
    return {key: round(float(torch.cat(values).mean()), 4) for key, values in right.items()}
