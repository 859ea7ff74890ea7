"""Decoder training on streams of objects: packed forward pass, initial weights and stages."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from torch import nn
from transformers import LlavaOnevisionForConditionalGeneration, PreTrainedTokenizerFast

from hermes.cards.timeline import TEMPOS
from hermes.pocket.decoder import PackedDecoder
from hermes.pocket.model import LAYERS
from hermes.pocket.packing import Plan
from hermes.pocket.train_decoder import Stage, World
from hermes.things.model import build
from hermes.things.objects import CATEGORIES, NAMES
from hermes.things.packing import SHARES, ObjectPacker

# Without counting, which takes hours to learn on a CPU.
TRAINED: Final = tuple(kind for kind, share in SHARES.items() if share > 0)
DENSE, CALM = TEMPOS["dense"], TEMPOS["calm"]


class ObjectDecoder(PackedDecoder):
    """Runs packed batches. In an auxiliary task, frame tokens predict the previous object and its category."""

    def __init__(self, model: LlavaOnevisionForConditionalGeneration) -> None:
        super().__init__(model)
        width = self.text.config.hidden_size
        self.previous_colour = nn.Linear(width, len(NAMES) + 1)
        self.previous_shape = nn.Linear(width, len(CATEGORIES) + 1)


def object_world(cards: Path | None = None) -> World:
    """Return the world of objects for `train_decoder`."""
    start: Callable[[int], tuple[LlavaOnevisionForConditionalGeneration, PreTrainedTokenizerFast]]
    start = build if cards is None else lambda seed: build(seed, cards)
    return World(start, ObjectDecoder, ObjectPacker, time.process_time)


CODES: Final = Stage(
    name="codes", layers=range(LAYERS), rate=1.5e-3, floor=0.05, evict=0.4, looking=0.25, lists=0.0, calm=0.1,
    course=(
        (0.0, (Plan(10, 8, 3, 10, DENSE), Plan(10, 10, 2, 10, DENSE))),
        (0.3, (Plan(10, 10, 3, 10, DENSE), Plan(9, 14, 2, 11, DENSE), Plan(8, 20, 2, 11, DENSE))),
        (0.6, (Plan(8, 16, 3, 11, DENSE), Plan(8, 24, 2, 11, DENSE), Plan(7, 48, 1, 11, CALM, 8),
               Plan(4, 12, 16, 11, DENSE), Plan(8, 24, 2, 11, CALM))),
    ),
)  # fmt: skip
OBJECTS_SEEN: Final = replace(
    CODES,
    name="seen",
    rate=8e-4,
    floor=0.02,
    evict=0.6,
    lists=0.05,
    calm=0.25,
    course=(
        (0.0, (Plan(8, 16, 3, 11, DENSE), Plan(8, 24, 2, 11, CALM), Plan(4, 14, 16, 12, DENSE),
               Plan(2, 40, 16, 14, CALM), Plan(3, 24, 16, 14, CALM, kinds=TRAINED, whole=True))),
        (0.4, (Plan(2, 64, 16, 16, CALM), Plan(8, 24, 2, 11, DENSE), Plan(4, 16, 16, 12, DENSE),
               Plan(2, 64, 16, 16, CALM, kinds=TRAINED, whole=True), Plan(6, 64, 2, 12, CALM, 16))),
    ),
)  # fmt: skip
# Longer, with a GPU; with streams seen in full, of which many questions ask for counts.
OBJECTS_LONG: Final = replace(
    OBJECTS_SEEN,
    name="long",
    floor=0.01,
    lists=0.06,
    course=(
        (0.0, (*OBJECTS_SEEN.course[1][1], Plan(3, 24, 16, 14, CALM, whole=True), Plan(3, 40, 16, 16, CALM, whole=True),
               Plan(2, 64, 16, 20, CALM, whole=True), Plan(2, 64, 16, 16, CALM, kinds=TRAINED, whole=True))),
    ),
)  # fmt: skip
