"""Stage two: training of the decoder, on synthetic codes while the tower is trained, then on its features."""

from __future__ import annotations

import itertools
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from transformers import LlavaOnevisionForConditionalGeneration, PreTrainedTokenizerFast

from hermes.backbones.half import half_is_faster
from hermes.cards.timeline import TEMPOS
from hermes.pocket.clock import Clock, Log, load_state, save_state
from hermes.pocket.decoder import FIRST_LAYERS, PackedDecoder, answer_loss, draw_lives, init_decoder, silence
from hermes.pocket.model import LAYERS, build
from hermes.pocket.packing import Batch, FeatureSource, Packer, Plan

log = logging.getLogger(__name__)

DENSE, CALM = TEMPOS["dense"], TEMPOS["calm"]


@dataclass(frozen=True)
class Stage:
    """One stage of the decoder's training.

    Attributes:
        name: Base name of its files in the run's folder.
        layers: Indices of the active layers.
        course: Curriculum: fraction of the stage at which each set of batch plans starts.
        rate: Peak learning rate.
        floor: Final learning rate, as a fraction of the peak.
        evict: Maximum fraction of tokens that long-term layers lose early.
        previous: Weight of the auxiliary loss for predicting the previous card from frame tokens.
        looking: Weight of the auxiliary loss for attention to the evidence.
        lists: Fraction of batches that ask for lists of everything shown.
        calm: Fraction of batches with the calm tempo.
    """

    name: str
    layers: Sequence[int]
    course: Sequence[tuple[float, Sequence[Plan]]]
    rate: float
    floor: float
    evict: float
    previous: float = 0.15
    looking: float = 0.15
    lists: float = 0.12
    calm: float = 0.15


SYNTHETIC: Final = Stage(
    name="decoder", layers=FIRST_LAYERS, rate=2e-3, floor=0.05, evict=0.5,
    course=(
        (0.0, (Plan(16, 8, 3, 12, DENSE),)),
        (0.05, (Plan(14, 16, 2, 14, DENSE), Plan(14, 12, 4, 14, DENSE))),
        (0.2, (Plan(14, 10, 4, 14, DENSE), Plan(12, 24, 2, 14, DENSE), Plan(12, 16, 4, 14, DENSE),
               Plan(10, 32, 2, 14, DENSE, 8))),
        (0.5, (Plan(10, 48, 2, 14, DENSE, 10), Plan(12, 24, 4, 14, DENSE), Plan(10, 64, 1, 14, CALM, 8),
               Plan(10, 12, 16, 14, DENSE), Plan(12, 32, 3, 14, CALM))),
    ),
)  # fmt: skip
REAL: Final = Stage(
    name="real", layers=FIRST_LAYERS, rate=1.5e-3, floor=0.3, evict=0.5, looking=0.25, calm=0.2,
    course=(
        (0.0, (Plan(14, 10, 4, 14, DENSE), Plan(14, 16, 3, 14, DENSE))),
        (0.25, (Plan(14, 12, 4, 14, DENSE), Plan(12, 24, 3, 14, DENSE), Plan(10, 32, 2, 14, DENSE, 10),
                Plan(8, 16, 16, 14, DENSE), Plan(4, 40, 16, 20, CALM), Plan(10, 48, 2, 14, CALM, 16))),
    ),
)  # fmt: skip
GROWN: Final = Stage(
    name="grown", layers=range(LAYERS), rate=8e-4, floor=0.01, evict=0.8, previous=0.15, looking=0.2, calm=0.35,
    course=(
        (0.0, (Plan(10, 24, 3, 14, DENSE), Plan(10, 12, 6, 14, DENSE), Plan(8, 48, 2, 14, DENSE, 12),
               Plan(5, 14, 16, 14, DENSE), Plan(3, 32, 16, 20, CALM))),
        (0.4, (Plan(8, 24, 3, 14, DENSE), Plan(5, 14, 16, 14, DENSE), Plan(6, 96, 2, 14, DENSE, 8),
               Plan(6, 64, 3, 14, CALM, 30), Plan(3, 32, 16, 20, CALM), Plan(2, 64, 16, 24, CALM))),
        (0.7, (Plan(3, 24, 16, 20, DENSE), Plan(3, 48, 16, 20, CALM), Plan(2, 72, 16, 24, CALM),
               Plan(1, 128, 16, 32, CALM), Plan(2, 256, 3, 24, CALM), Plan(4, 64, 4, 16, CALM, 30))),
    ),
)  # fmt: skip

# Long and crowded streams, and counting; first with a learning rate at which layers can still change.
_LONG_PLANS: Final = (
    Plan(6, 96, 3, 20, DENSE), Plan(4, 128, 3, 24, DENSE, 6), Plan(2, 256, 3, 28, CALM), Plan(2, 72, 16, 24, CALM),
    Plan(1, 128, 16, 32, CALM), Plan(2, 48, 16, 24, DENSE), Plan(8, 24, 3, 14, DENSE), Plan(4, 64, 4, 20, CALM, 30),
    Plan(5, 16, 16, 16, DENSE, whole=True), Plan(3, 40, 16, 20, CALM, whole=True), Plan(2, 64, 16, 28, CALM, whole=True),
    Plan(2, 64, 16, 28, CALM, whole=True), Plan(1, 160, 12, 32, CALM, whole=True), Plan(1, 128, 16, 32, CALM, whole=True),
)  # fmt: skip
_COUNTING_PLANS: Final = (
    Plan(6, 16, 16, 16, DENSE, whole=True), Plan(3, 40, 16, 20, CALM, whole=True), Plan(2, 64, 16, 28, CALM, whole=True),
    Plan(4, 32, 16, 20, DENSE, whole=True), Plan(2, 64, 16, 28, CALM, few=0.0, whole=True),
    Plan(3, 40, 16, 24, DENSE, few=0.0, whole=True),
)  # fmt: skip
LONG: Final = Stage(
    name="long", layers=range(LAYERS), rate=6e-4, floor=0.2, evict=0.8, looking=0.2, lists=0.06, calm=0.2,
    course=((0.0, _LONG_PLANS + _COUNTING_PLANS),),
)  # fmt: skip
SETTLED: Final = replace(LONG, name="settled", rate=5e-4, floor=0.01)


_LOSSES: Final = ("loss", "previous", "looking")


class LossTally:
    """Accuracy and guess level by kind of question, over the last steps."""

    def __init__(self) -> None:
        self.right: dict[str, list[float]] = defaultdict(list)
        self.guess: dict[str, list[float]] = defaultdict(list)

    def add(self, batch: Batch, right: torch.Tensor) -> None:
        """Add the results of one batch."""
        for asked, hits, guesses in zip(batch.questions, right.tolist(), batch.guess.tolist(), strict=True):
            for question, hit, guess in zip(asked, hits, guesses, strict=True):
                if question.answer:
                    self.right[question.kind].append(float(hit))
                    self.guess[question.kind].append(guess)

    def line(self) -> dict[str, str]:
        """Return accuracy and guess level of each kind as "accuracy/guess"."""
        return {k: f"{np.mean(v):.2f}/{np.mean(self.guess[k]):.2f}" for k, v in sorted(self.right.items())}


def start_decoder(seed: int) -> tuple[LlavaOnevisionForConditionalGeneration, PreTrainedTokenizerFast]:
    """Return a model whose decoder is initialised for this training, with only `FIRST_LAYERS` active."""
    model, tokenizer = build(seed)
    init_decoder(model, tokenizer, seed)
    silence(model, [index for index in range(LAYERS) if index not in FIRST_LAYERS])
    return model, tokenizer


@dataclass(frozen=True)
class World:
    """The world for which the decoder is trained.

    Attributes:
        start: Creates the model and its tokenizer from a seed.
        decoder: Wraps the model for packed batches.
        packer: Makes the batches.
        timer: Clock that counts the seconds of training.
    """

    start: Callable[[int], tuple[LlavaOnevisionForConditionalGeneration, PreTrainedTokenizerFast]]
    decoder: Callable[[LlavaOnevisionForConditionalGeneration], PackedDecoder]
    packer: Callable[[PreTrainedTokenizerFast, FeatureSource], Packer]
    timer: Callable[[], float] = time.monotonic


CARDS: Final = World(start_decoder, PackedDecoder, Packer)


@dataclass(frozen=True)
class TrainingDevice:
    """Where the decoder is trained.

    Attributes:
        device: Device of the weights.
        workers: Number of processes that make batches; 0: the process itself.
        streams: Multiple of the number of streams in each batch.
        timer: Clock that counts the seconds of training.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    workers: int = 0
    streams: int = 1
    timer: Callable[[], float] = time.monotonic


def train_decoder(
    folder: Path,
    stage: Stage,
    minutes: float,
    seed: int,
    source: FeatureSource,
    begin: Path | None = None,
    world: World = CARDS,
    where: TrainingDevice | None = None,
) -> Path:
    """Train the decoder through one stage.

    Args:
        folder: Folder of the run; the state is written to `NAME.pt`, the log to `NAME.jsonl`.
        stage: The stage.
        minutes: Training time, including that before restarts.
        seed: Random seed of weights and data.
        source: Source of frame tokens.
        begin: State of the previous stage, a model folder, or None to start from scratch.
        world: The world for which the decoder is trained.
        where: Where to train; None: on one core.

    Returns:
        Path of the trained state.
    """
    torch.set_num_threads(1)
    where = where or TrainingDevice(timer=world.timer)
    path = folder / f"{stage.name}.pt"
    decoder, tokenizer = _begin(world, begin, seed)
    decoder.to(where.device)
    trained = [p for n, p in decoder.named_parameters() if _joins(n, stage.layers)]
    groups = [
        {"params": [p for p in trained if p.dim() > 1], "weight_decay": 0.02},
        {"params": [p for p in trained if p.dim() < 2], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=stage.rate, betas=(0.9, 0.98))
    step, used = 0, 0.0
    if state := load_state(path):
        decoder.load_state_dict(state["decoder"])
        optimiser.load_state_dict(state["optimiser"])
        step, used = state["step"], state["used"]
    clock, out = Clock(minutes * 60, used, where.timer), Log(folder / f"{stage.name}.jsonl")
    half = where.device.type != "cpu" or half_is_faster()
    steps = _Steps(stage, seed, world.packer(tokenizer, source), step, where.streams)
    batches = iter(DataLoader(steps, batch_size=None, sampler=itertools.count(step), num_workers=where.workers))
    tally, total = LossTally(), np.zeros(3)
    done = used >= clock.budget
    while not done:
        steps.share.fill_(clock.share)
        batch, lives = next(batches)
        with torch.device(where.device), torch.autocast(where.device.type, torch.bfloat16, enabled=half):
            moved = batch.to(where.device)
            logits, extra, looking = decoder(moved, [life.to(where.device) for life in lives], stage.layers)
        loss, right = answer_loss(logits, moved)
        optimiser.zero_grad(set_to_none=True)
        (loss + stage.previous * extra + stage.looking * looking).backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        for group in optimiser.param_groups:
            group["lr"] = clock.rate(stage.rate, floor=stage.floor)
        optimiser.step()
        step += 1
        tally.add(batch, right)
        total += (loss.item(), extra.item(), looking.item())
        done = clock.share >= 1
        if step % 50 == 0 or done:
            mean = total / (step % 50 or 50)
            rounded = {name: round(value, 3) for name, value in zip(_LOSSES, mean, strict=True)}
            out.write(step=step, used=round(clock.used), **rounded, **tally.line())
            tally, total = LossTally(), np.zeros(3)
        if step % 250 == 0 or done:
            save_state(path, decoder=decoder.state_dict(), optimiser=optimiser.state_dict(), step=step, used=clock.used)
    log.info("%s: %d steps in %.0f s", stage.name, step, clock.used)
    return path


def _begin(world: World, begin: Path | None, seed: int) -> tuple[PackedDecoder, PreTrainedTokenizerFast]:
    model, tokenizer = world.start(seed)
    decoder = world.decoder(model)
    if begin is not None and begin.is_dir():
        trained_before = LlavaOnevisionForConditionalGeneration.from_pretrained(begin, dtype=torch.float32)
        model.model.language_model.load_state_dict(trained_before.model.language_model.state_dict())
    elif begin is not None:
        decoder.load_state_dict(torch.load(begin, weights_only=False)["decoder"])
    return decoder, tokenizer


class _Steps(Dataset[tuple[Batch, list[torch.Tensor]]]):
    """Batches by step, which worker processes can make.

    Attributes:
        share: Fraction of the time used, in shared memory.
    """

    def __init__(self, stage: Stage, seed: int, packer: Packer, first: int, streams: int) -> None:
        self.share = torch.zeros(()).share_memory_()
        self._stage, self._seed, self._packer, self._first, self._streams = stage, seed, packer, first, streams

    def __getitem__(self, step: int) -> tuple[Batch, list[torch.Tensor]]:
        torch.set_num_threads(1)
        rng = np.random.default_rng([self._seed, 2, len(self._stage.layers), step])
        plan = _draw_plan(rng, self._stage, float(self.share))
        batch = self._packer.make(rng, replace(plan, streams=plan.streams * self._streams))
        return batch, draw_lives(rng, batch, self._stage.evict)


def _draw_plan(rng: np.random.Generator, stage: Stage, share: float) -> Plan:
    plans = next(plans for start, plans in reversed(stage.course) if share >= start)
    plan = plans[int(rng.integers(len(plans)))]
    if rng.random() < stage.calm:
        plan = replace(plan, tempo=CALM)
    if rng.random() < stage.lists:
        plan = replace(plan, kinds=("list",), asked=5)
    return plan


def _joins(name: str, layers: Sequence[int]) -> bool:
    """Return whether a parameter is trained in a stage, i.e. is not in an inactive layer."""
    parts = name.split(".")
    return "layers" not in parts or int(parts[parts.index("layers") + 1]) in layers
