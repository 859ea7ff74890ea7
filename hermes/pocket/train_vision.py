"""Stage one: training of the vision tower and the projector to produce the codes of the code book."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import LlavaOnevisionForConditionalGeneration

from hermes.assets import TRAINING_PHOTOGRAPHS
from hermes.backbones.half import half_is_faster
from hermes.cards.backgrounds import TRAINED, Image, make_background
from hermes.cards.photographs import photograph_background, read_photographs
from hermes.cards.render import draw, make_look, make_setting
from hermes.cards.timeline import COLOURS, PLACES, SHAPES
from hermes.pocket.clock import Clock, Log, load_state, save_state
from hermes.pocket.codes import CLASS_NORM, CodeBook, cell_cover, code_book
from hermes.pocket.model import MEAN, PATCH, STD, WIDTH, build

log = logging.getLogger(__name__)

BATCH: Final = 48
PEAK_RATE: Final = 1.5e-3
REFINING_RATE: Final = 6e-4
BACKGROUNDS: Final = 1800
NOTHING: Final = 0.18  # fraction of frames without a card
FROM_PHOTOGRAPHS: Final = 0.4  # fraction of backgrounds made from photographs


@dataclass(frozen=True)
class RenderedPictures:
    """Single frames with their ground truth.

    Attributes:
        pixels: uint8 [N, H, W, 3].
        mask: uint8 [N, H, W], 0 or 255.
        labels: int64 [N, 3], colour, shape, place; -1 for frames without a card.
    """

    pixels: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    labels: NDArray[np.int64]


def make_backgrounds(seed: int, count: int = BACKGROUNDS) -> list[Image]:
    """Return a bank of backgrounds to crop from, some procedural and some made from the bundled training photographs."""
    rng = np.random.default_rng([seed, 17])
    photographs = read_photographs(TRAINING_PHOTOGRAPHS)
    return [
        photograph_background(rng, photographs) if rng.random() < FROM_PHOTOGRAPHS else make_background(rng, TRAINED)
        for _ in range(count)
    ]


def make_pictures(rng: np.random.Generator, bank: list[Image], count: int, big: float = 0.0) -> RenderedPictures:
    """Draw frames of random classes; some show no card."""
    pixels = np.empty((count, 128, 128, 3), np.uint8)
    mask = np.empty((count, 128, 128), np.uint8)
    labels = np.full((count, 3), -1, np.int64)
    for index in range(count):
        setting = make_setting(rng, bank[int(rng.integers(len(bank)))])
        look = None
        if rng.random() > NOTHING:
            labels[index] = rng.integers((len(COLOURS), len(SHAPES), len(PLACES)))
            colour, shape, place = labels[index].tolist()
            look = make_look(rng, COLOURS[colour], SHAPES[shape], PLACES[place], setting.aspect, big)
        pixels[index], mask[index] = draw(rng, setting, look)
    return RenderedPictures(pixels, mask, labels)


def to_pixel_values(pixels: NDArray[np.uint8]) -> Tensor:
    """Normalise frames like the processor: uint8 [N, H, W, 3] to float32 [N, 3, H, W]."""
    values = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(255)
    return (values - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


def init_vision(model: LlavaOnevisionForConditionalGeneration, seed: int) -> None:
    """Initialise smooth patch filters, and position embeddings of a magnitude comparable to the content."""
    generator = torch.Generator().manual_seed(seed)
    tower = model.model.vision_tower
    with torch.no_grad():
        grid = torch.arange(PATCH).float() + 0.5
        waves = torch.stack([torch.cos(torch.pi * k * grid / PATCH) for k in range(8)])
        flat = torch.einsum("ay,bx->abyx", waves, waves).flatten(0, 1)
        order = torch.argsort((torch.arange(8)[:, None] + torch.arange(8)[None]).flatten(), stable=True)
        flat = F.normalize(flat[order][:40].flatten(1), dim=1)
        mix = torch.randn(WIDTH, 3, 40, generator=generator) / (1 + torch.arange(40) / 6)
        filters = torch.einsum("ocf,fp->ocp", mix, flat).view(WIDTH, 3, PATCH, PATCH)
        tower.embeddings.patch_embedding.weight.copy_(filters / filters.flatten(1).norm(dim=1).view(-1, 1, 1, 1) / 2)
        side = 8
        row, column = torch.randn(2, side, WIDTH, generator=generator).unbind()
        position = 0.7 * (row[:, None] + column[None])
        tower.embeddings.position_embedding.weight.copy_(position.flatten(0, 1))
        for linear in (model.model.multi_modal_projector.linear_1, model.model.multi_modal_projector.linear_2):
            nn.init.normal_(linear.weight, std=WIDTH**-0.5, generator=generator)


class VisionLoss(nn.Module):
    """Sum of the distance to the codes, the classification loss, and the loss of object masks from the early layers."""

    def __init__(self, book: CodeBook) -> None:
        super().__init__()
        self.book = book
        self.masks = nn.ModuleList(nn.Linear(WIDTH, 1) for _ in range(2))

    def forward(
        self, features: Tensor, hidden: list[Tensor], labels: Tensor, mask: Tensor
    ) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of one batch and its metrics.

        Args:
            features: float [N, TOKENS, WIDTH], pooled.
            hidden: Hidden states of the early layers, each float [N, patches, WIDTH].
            labels: int64 [N, 3], -1 for frames without a card.
            mask: float [N, H, W], 0 or 1.
        """
        shown = labels[:, 0] >= 0
        cover = cell_cover(mask)
        safe = labels.clamp(min=0)
        target = self.book.tokens(safe[:, 0], safe[:, 1], safe[:, 2], cover)
        distance = F.mse_loss(features, target)
        on_card = cover * shown[:, None]
        mean = (features * on_card[..., None]).sum(1) / on_card.sum(1, keepdim=True).clamp(min=1e-6)
        scores, hits = torch.zeros(()), {}
        # Shapes are by far the hardest to learn, so they get the largest weight.
        for index, (name, codes, weight) in enumerate(
            (("colour", self.book.colour, 0.3), ("shape", self.book.shape, 1.0), ("place", self.book.place, 0.3))
        ):
            logits = (mean[shown] @ codes.T) * (8 / CLASS_NORM**2)
            scores = scores + weight * F.cross_entropy(logits, labels[shown, index])
            hits[name] = (logits.argmax(1) == labels[shown, index]).float().mean().item()
        patches = F.adaptive_avg_pool2d(mask[:, None], 8).flatten(1)
        seen = sum(
            F.binary_cross_entropy_with_logits(head(state)[..., 0], patches)
            for head, state in zip(self.masks, hidden, strict=True)
        )
        card = torch.einsum("ntd,d->nt", features, self.book.empty) / self.book.empty.square().sum()
        hits["nothing"] = ((card.amin(1) > 0.5) != shown).float().mean().item()
        return distance + scores + 0.3 * seen, {"mse": distance.item(), **hits}


def encode(model: LlavaOnevisionForConditionalGeneration, values: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Return pooled frame tokens [N, TOKENS, WIDTH] and the hidden states after the first two layers."""
    states = model.model.vision_tower(values, output_hidden_states=True).hidden_states
    tokens = model.model.apply_pooling(model.model.multi_modal_projector(states[-1]))
    return tokens, list(states[1:3])


def train_vision(folder: Path, minutes: float, seed: int, grow: float = 0.3, begin: Path | None = None) -> Path:
    """Train tower and projector.

    Args:
        folder: Folder of the run; the state is written to `vision.pt`, the log to `vision.jsonl`.
        minutes: Training time, including that before restarts.
        seed: Random seed of weights and data.
        grow: Fraction of the time during which the minimum size of cards decreases; 0 for cards of any size throughout.
        begin: Model folder whose tower is trained further, with a lower learning rate; None to start from scratch.

    Returns:
        Path of the trained state.
    """
    torch.set_num_threads(1)
    path = folder / "vision.pt"
    model, _ = build(seed, layers=1)
    init_vision(model, seed)
    peak = PEAK_RATE
    if begin is not None:
        peak = REFINING_RATE
        trained = LlavaOnevisionForConditionalGeneration.from_pretrained(begin, dtype=torch.float32)
        model.model.vision_tower.load_state_dict(trained.model.vision_tower.state_dict())
        model.model.multi_modal_projector.load_state_dict(trained.model.multi_modal_projector.state_dict())
    loss_of = VisionLoss(code_book())
    parts = nn.ModuleList([model.model.vision_tower, model.model.multi_modal_projector, loss_of])
    optimiser = torch.optim.AdamW(parts.parameters(), lr=peak, betas=(0.9, 0.98), weight_decay=0.02)
    step, used = 0, 0.0
    if state := load_state(path):
        parts.load_state_dict(state["parts"])
        optimiser.load_state_dict(state["optimiser"])
        step, used = state["step"], state["used"]
    model.model.vision_tower.set_attn_implementation("eager")  # the fused kernel's backward pass is slower here
    half = half_is_faster()
    clock, out = Clock(minutes * 60, used), Log(folder / "vision.jsonl")
    bank = make_backgrounds(seed, int(min(BACKGROUNDS, 30 + 180 * minutes)))
    parts.train()
    total: dict[str, float] = {}
    done = used >= clock.budget
    while not done:
        rng = np.random.default_rng([seed, 1, step])
        pictures = make_pictures(rng, bank, BATCH, big=max(0.0, 1 - clock.share / grow) if grow else 0.0)
        mask = torch.from_numpy(pictures.mask).float() / 255
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            features, hidden = encode(model, to_pixel_values(pictures.pixels))
        loss, hits = loss_of(
            features.float(), [state.float() for state in hidden], torch.from_numpy(pictures.labels), mask
        )
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parts.parameters(), 1.0)
        for group in optimiser.param_groups:
            group["lr"] = clock.rate(peak, floor=0.005)
        optimiser.step()
        step += 1
        for name, value in {"loss": loss.item(), **hits}.items():
            total[name] = total.get(name, 0.0) + value
        done = clock.share >= 1
        if step % 50 == 0 or done:
            count = step % 50 or 50
            out.write(step=step, used=round(clock.used, 1), **{k: round(v / count, 4) for k, v in total.items()})
            total = {}
        if step % 500 == 0 or done:
            save_state(path, parts=parts.state_dict(), optimiser=optimiser.state_dict(), step=step, used=clock.used)
    log.info("vision: %d steps in %.0f s", step, clock.used)
    return path
