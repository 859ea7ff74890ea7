"""Stage two: the decoder learns to answer, on synthetic codes while the tower still trains, then on real features."""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import nn

from hermes.pocket.clock import Clock, Log, load_state, save_state
from hermes.pocket.decoder import FIRST_LAYERS, PackedDecoder, answer_loss, draw_lives, init_decoder, silence
from hermes.pocket.half import half_is_faster
from hermes.pocket.model import LAYERS, build
from hermes.pocket.packing import Batch, Packer, Plan
from hermes.pocket.sources import SyntheticSource
from hermes.pocket.timeline import TEMPOS

log = logging.getLogger(__name__)

DENSE, CALM = TEMPOS["dense"], TEMPOS["calm"]
# From which share of the stage on which batches are drawn: short dense streams first, then longer ones.
COURSE: Final[tuple[tuple[float, tuple[Plan, ...]], ...]] = (
    (0.0, (Plan(16, 8, 3, 12, DENSE),)),
    (0.05, (Plan(14, 16, 2, 14, DENSE), Plan(14, 12, 4, 14, DENSE))),
    (0.2, (Plan(12, 24, 2, 14, DENSE), Plan(12, 16, 4, 14, DENSE), Plan(10, 32, 2, 14, DENSE, 8))),
    (0.5, (Plan(10, 48, 2, 14, DENSE, 10), Plan(12, 24, 4, 14, DENSE), Plan(10, 64, 1, 14, CALM, 8),
           Plan(10, 12, 16, 14, DENSE), Plan(12, 32, 3, 14, CALM))),
)  # fmt: skip


class Tally:
    """Accuracy by kind beside its guess level, over the last steps."""

    def __init__(self) -> None:
        self.right: dict[str, list[float]] = defaultdict(list)
        self.guess: dict[str, list[float]] = defaultdict(list)

    def add(self, batch: Batch, right: torch.Tensor) -> None:
        """Count one batch."""
        for asked, hits, guesses in zip(batch.questions, right.tolist(), batch.guess.tolist(), strict=True):
            for question, hit, guess in zip(asked, hits, guesses, strict=True):
                self.right[question.kind].append(float(hit))
                self.guess[question.kind].append(guess)

    def line(self) -> dict[str, str]:
        """Accuracy and guess level of each kind, as "accuracy/guess"."""
        return {k: f"{np.mean(v):.2f}/{np.mean(self.guess[k]):.2f}" for k, v in sorted(self.right.items())}


def train_decoder(folder: Path, minutes: float, seed: int, rate: float = 2e-3) -> Path:
    """Train the first layers of the decoder on synthetic codes.

    Args:
        folder: of the run; the state is kept in `decoder.pt`, the log in `decoder.jsonl`.
        minutes: of training, restarts included.
        seed: of weights and data.
        rate: peak learning rate.

    Returns:
        Path of the trained state.
    """
    torch.set_num_threads(1)
    path = folder / "decoder.pt"
    model, tokenizer = build(seed)
    init_decoder(model, tokenizer, seed)
    silence(model, [index for index in range(LAYERS) if index not in FIRST_LAYERS])
    decoder = PackedDecoder(model)
    trained = [p for n, p in decoder.named_parameters() if not _idle(n)]
    optimiser = torch.optim.AdamW(
        [
            {"params": [p for p in trained if p.dim() > 1], "weight_decay": 0.02},
            {"params": [p for p in trained if p.dim() < 2], "weight_decay": 0.0},
        ],
        lr=rate, betas=(0.9, 0.98),
    )  # fmt: skip
    step, used = 0, 0.0
    if state := load_state(path):
        decoder.load_state_dict(state["decoder"])
        optimiser.load_state_dict(state["optimiser"])
        step, used = state["step"], state["used"]
    packer = Packer(tokenizer, SyntheticSource())
    clock, out, half = Clock(minutes * 60, used), Log(folder / "decoder.jsonl"), half_is_faster()
    tally, total = Tally(), np.zeros(2)
    while clock.share < 1:
        rng = np.random.default_rng([seed, 2, step])
        plans = next(plans for start, plans in reversed(COURSE) if clock.share >= start)
        plan = plans[int(rng.integers(len(plans)))]
        if rng.random() < 0.15:
            plan = replace(plan, tempo=CALM)
        if rng.random() < 0.12:
            plan = replace(plan, kinds=("list",), asked=5)
        batch = packer.make(rng, plan)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            logits, extra, _ = decoder(batch, draw_lives(rng, batch, 0.5), FIRST_LAYERS)
        loss, right = answer_loss(logits, batch)
        optimiser.zero_grad(set_to_none=True)
        (loss + 0.15 * extra).backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        for group in optimiser.param_groups:
            group["lr"] = clock.rate(rate, floor=0.05)
        optimiser.step()
        step += 1
        tally.add(batch, right)
        total += (loss.item(), extra.item())
        if step % 50 == 0:
            mean = total / 50
            out.write(
                step=step, used=round(clock.used), loss=round(mean[0], 3), extra=round(mean[1], 3), **tally.line()
            )
            tally, total = Tally(), np.zeros(2)
        if step % 500 == 0:
            save_state(path, decoder=decoder.state_dict(), optimiser=optimiser.state_dict(), step=step, used=clock.used)
    save_state(path, decoder=decoder.state_dict(), optimiser=optimiser.state_dict(), step=step, used=clock.used)
    log.info("decoder: %d steps in %.0f s", step, clock.used)
    return path


def _idle(name: str) -> bool:
    """Whether a parameter belongs to a layer that has not joined yet."""
    parts = name.split(".")
    return "layers" in parts and int(parts[parts.index("layers") + 1]) not in FIRST_LAYERS
