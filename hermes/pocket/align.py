"""Assignment of separate query and key directions to each kind of lookup in the long-term layers.

A lookup ("the circle" finds circles) needs the same direction in queries and keys. Only the slow rotary pairs preserve a
direction over thousands of tokens; here these are 16 dimensions per head. Without intervention, training uses all of them
for colours and never learns shapes and places: where query and key are both zero, neither receives a gradient. Therefore
the slow pairs are divided explicitly after the first stage, with linear probes of the hidden states. Training refines them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from hermes.cards.timeline import COLOURS, PLACES, SHAPES, TEMPOS
from hermes.pocket.decoder import PackedDecoder, draw_lives
from hermes.pocket.packing import IGNORED, Batch, Packer, Plan

GAIN: Final = 4.0  # added to the logit of a match
SAMPLES: Final = 20  # number of batches used to fit the probes


@dataclass(frozen=True)
class Slot:
    """One kind of lookup: the words that name its classes, and the property of frame tokens that must match."""

    name: str
    words: Sequence[str]
    previous: bool = False  # whether the property is that of the previous card


COLOUR, SHAPE, PLACE = Slot("colour", COLOURS), Slot("shape", SHAPES), Slot("place", PLACES)
COLOUR_BEFORE = Slot("colour before", COLOURS, previous=True)
SHAPE_BEFORE = Slot("shape before", SHAPES, previous=True)
# Lookups of each group of heads (one key head each), by layer. "The red circle" needs both words in one head.
LOOK_UPS: Final = {
    7: ((COLOUR, SHAPE), (COLOUR_BEFORE, SHAPE_BEFORE)),
    8: ((COLOUR, SHAPE), (PLACE, SHAPE)),
    9: ((COLOUR_BEFORE, SHAPE_BEFORE), (COLOUR, SHAPE)),
}


def _frame_classes(batch: Batch, slot: Slot) -> Tensor:
    """Return the class of each frame token in a slot, -1 for none: int64 [B, N]."""
    if slot.previous:
        return batch.previous[..., 0 if slot.words is COLOURS else 1] - 1
    column = {"colour": 0, "shape": 1, "place": 2}[slot.name]
    return torch.where(batch.cover > 0.5, batch.label[..., column], -1)


def _word_classes(batch: Batch, slot: Slot) -> Tensor:
    """Return the class that each question names in a slot, -1 for none: int64 [B, Q]."""
    found = []
    for row in batch.questions:
        for question in row:
            text = " ".join(question.subject)
            named = [i for i, word in enumerate(slot.words) if f" {word.replace('-', ' ')} " in f" {text} "]
            # Use the longest name: "top left" also contains "top" and "left".
            best = max(named, key=lambda i: len(slot.words[i]), default=-1)
            fits = (question.kind == "after") == slot.previous
            found.append(best if fits else -1)
    return torch.tensor(found).view(len(batch.questions), -1)


def _read(batch: Batch) -> Tensor:
    """Mark the words from the end of the question to the end of the answer: bool [B, Q, L]."""
    answer = batch.target != IGNORED
    found = answer.clone()
    for back in (1, 2, 3):
        found[..., :-back] |= answer[..., back:]
    return found


def _fit(inputs: Tensor, classes: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Fit a ridge regression from hidden states to one-hot classes (zero for class -1): weight [count, D], bias [count].

    The result is scaled so that states of a class score on average 1 higher than states of other classes.
    """
    wanted = torch.zeros(len(inputs), count)
    has = classes >= 0
    wanted[has] = torch.nn.functional.one_hot(classes[has], count).float()
    mean_in, mean_out = inputs.mean(0), wanted.mean(0)
    centred = inputs - mean_in
    gram = centred.T @ centred + 1e-2 * len(inputs) * torch.eye(inputs.shape[1])
    weight = torch.linalg.solve(gram, centred.T @ (wanted - mean_out)).T
    bias = mean_out - weight @ mean_in
    scores = torch.stack([inputs[classes == c].mean(0) for c in range(count)]) @ weight.T
    apart = (scores.diagonal().mean() - scores.mean()) * count / (count - 1)
    return weight / apart, bias / apart


@torch.no_grad()
def align(decoder: PackedDecoder, packer: Packer, active: Sequence[int], seed: int) -> None:
    """Divide the slow rotary pairs of the long-term layers among the lookups.

    Args:
        decoder: Decoder, modified in place.
        packer: Source of the batches to which the probes are fitted.
        active: Active layers; for inactive layers, the probes use the input of the last active one.
        seed: Random seed of the batches.
    """
    rng = np.random.default_rng([seed, 4])
    plan = Plan(14, 16, 3, 14, TEMPOS["dense"], few=0.3)
    batches = [packer.make(rng, plan) for _ in range(SAMPLES)]
    spoken = torch.cat([_read(batch).flatten() for batch in batches])
    for index, groups in LOOK_UPS.items():
        source = index if index in active else max(active)
        norm, attention = decoder.text.layers[index].input_layernorm, decoder.text.layers[index].self_attn
        states = [decoder.hidden_before(batch, draw_lives(rng, batch, 0.0), active, source) for batch in batches]
        frames = torch.cat([norm(frame).flatten(0, 1) for frame, _ in states])
        words = torch.cat([norm(word).flatten(0, 2) for _, word in states])[spoken]
        size = attention.head_dim
        slow = [dim for dim in range(size) if dim % (size // 2) >= size // 4]
        repeats = attention.num_key_value_groups
        for group, slots in enumerate(groups):
            at = 0
            for slot in slots:
                rows = torch.tensor(slow[at : at + len(slot.words)])
                at += len(slot.words)
                of_frame = torch.cat([_frame_classes(batch, slot).flatten() for batch in batches])
                of_word = torch.cat(
                    [_word_classes(batch, slot)[..., None].expand(batch.look.shape).flatten() for batch in batches]
                )[spoken]
                _write(
                    attention.k_proj, group * size + rows, _fit(frames, of_frame, len(slot.words)), attention.scaling
                )
                read = _fit(words, of_word, len(slot.words))
                for head in range(group * repeats, (group + 1) * repeats):
                    _write(attention.q_proj, head * size + rows, read, attention.scaling)


def _write(linear: Any, rows: Tensor, read: tuple[Tensor, Tensor], scaling: float) -> None:
    gain = (GAIN / scaling) ** 0.5
    linear.weight[rows], linear.bias[rows] = gain * read[0], gain * read[1]
