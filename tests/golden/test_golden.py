"""The published behaviour, vector by vector: steps 3 to 7 of the method through the library's public functions."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from hermes.memory.eviction import evict
from hermes.memory.importance import recency, retain
from hermes.memory.layer import LayerMemory
from hermes.memory.positions import Rotary, must_compact
from hermes.memory.tiers import FAMILIES, LONG_TERM, layer_constants, tier_of_layers
from hermes.policies.hermes import score_layers

FOLDER = Path(os.environ.get("HERMES_GOLDEN") or Path(__file__).parent)
SELECTION = sorted(FOLDER.glob("selection_*.npz"))
REINDEX = sorted(FOLDER.glob("reindex_*.npz"))


def test_there_are_vectors():
    assert SELECTION or REINDEX, f"no golden vectors in {FOLDER}"


@pytest.mark.parametrize("path", SELECTION, ids=lambda p: p.stem)
def test_selection(path):
    vector = np.load(path)
    layers, prompt_len, budget = (int(vector[name]) for name in ("num_layers", "prompt_len", "budget"))
    constants = layer_constants(FAMILIES[str(vector["family"])], layers)
    attention = [torch.from_numpy(vector[f"attention_{i}"]) for i in range(layers)]
    recencies = [recency(len(a), c.k) for a, c in zip(attention, constants, strict=True)]
    scores = score_layers(attention, recencies, constants)
    for i, (score, c) in enumerate(zip(scores, constants, strict=True)):
        kept = retain(score, budget - (c.tier == LONG_TERM)) + prompt_len
        expected = vector[f"kept_{i}"]
        np.testing.assert_array_equal(np.concatenate([np.arange(prompt_len), kept.numpy()]), expected, f"layer {i}")


@pytest.mark.parametrize("path", REINDEX, ids=lambda p: p.stem)
def test_reindexing(path):
    vector = np.load(path)
    layers, prompt_len = int(vector["num_layers"]), int(vector["prompt_len"])
    tiers = tier_of_layers(layers)
    for i in range(layers):
        keys, values = (torch.from_numpy(vector[f"{name}_{i}"]) for name in ("keys", "values"))
        positions = torch.from_numpy(np.atleast_2d(vector[f"positions_{i}"]))
        tokens, dim = keys.shape[1:]
        frequencies = 1.0 / float(vector["theta"]) ** (torch.arange(0, dim, 2, dtype=torch.float32) / dim)
        sections = tuple(int(s) for s in vector["mrope_section"]) if "mrope_section" in vector else None
        rotary = Rotary.from_sections(frequencies, sections)
        labels, figures = torch.full((4, tokens), -1, dtype=torch.int32), torch.ones(5, tokens)
        layer = LayerMemory(keys, values, positions, labels, figures, length=tokens)
        kept = torch.from_numpy(vector[f"kept_{i}"])
        compacted = must_compact(positions[:, kept], str(vector["mode"]), int(vector["max_position"]))
        evict(layer, kept, prompt_len, rotary, summary=tiers[i] == LONG_TERM, compacted=compacted)
        held = layer.held()
        for name, actual in (("keys", held.keys), ("values", held.values), ("positions", held.positions)):
            expected = vector[f"{name}_out_{i}"]
            np.testing.assert_allclose(
                actual.numpy().reshape(expected.shape), expected, atol=1e-5, err_msg=f"layer {i}"
            )
