"""The bench of real configurations: on shrunken ones, so that a CPU can run it. Nothing here asserts a time."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch

from hermes.backbones import catalogue
from hermes.bench import random_weights
from hermes.bench.random_weights import bandwidth, measure, random_model
from hermes.cli import main

SMALL_TOWER = {"hidden_size": 32, "intermediate_size": 48}
SIZES = {
    "llava_onevision": SMALL_TOWER | {"num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 56},
    "qwen2_5_vl": SMALL_TOWER | {"depth": 2, "num_heads": 2, "out_hidden_size": 64, "fullatt_block_indexes": [1]},
    "qwen3_vl": SMALL_TOWER | {"depth": 3, "num_heads": 2, "out_hidden_size": 64, "deepstack_visual_indexes": [0, 1]},
    "qwen3_vl_moe": SMALL_TOWER
    | {"depth": 3, "num_heads": 2, "out_hidden_size": 64, "deepstack_visual_indexes": [0, 1]},
    "smolvlm": SMALL_TOWER | {"num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 128},
    "internvl": SMALL_TOWER | {"num_hidden_layers": 2, "num_attention_heads": 2, "image_size": [56, 56]},
    "video_llama_3": SMALL_TOWER | {"num_hidden_layers": 2, "num_attention_heads": 2},
    "qwen3_5": SMALL_TOWER | {"depth": 2, "num_heads": 2, "out_hidden_size": 64},
    "glm4v": SMALL_TOWER | {"depth": 2, "num_heads": 2, "out_hidden_size": 64},
}


def shrunken(family):
    """A model of the catalogue with its own kind of configuration, made small."""
    model = next(model for model in catalogue.CATALOGUE if model.family == family)
    text = model.text | {"num_hidden_layers": 4, "num_attention_heads": 2, "num_key_value_heads": 1, "hidden_size": 64}
    text |= {"intermediate_size": 96, "vocab_size": 400}
    if "linear_num_key_heads" in text:
        text |= {"linear_num_key_heads": 2, "linear_num_value_heads": 2, "num_hidden_layers": 12}
    if "mrope_section" in text.get("rope_parameters", {}):
        half = {"qwen2_5_vl": [6, 5, 5], "glm4v": [2, 3, 3], "qwen3_5": [11, 11, 10]}.get(family, [24, 20, 20])
        text["rope_parameters"] = text["rope_parameters"] | {"mrope_section": half}
    return replace(model, text=text, vision=model.vision | SIZES[family])


@pytest.mark.parametrize("family", list(tiny.FAMILIES))
def test_every_family_is_measured_with_its_bounds(family, monkeypatch):
    monkeypatch.setattr(random_weights, "BANDWIDTH_BYTES", 2**22)
    monkeypatch.setattr(random_weights, "REPEATS", 2)
    model = random_model(shrunken(family), torch.device("cpu"), torch.float32)
    frames = np.random.default_rng(0).integers(0, 256, (4, 28, 42, 3), np.uint8)
    budget = 2 * max(model.tokens_per_frame, model.layout(28, 42).grid[0] * model.layout(28, 42).grid[1])
    speed, rows = measure(model, frames, [4, 24], [budget], 4, lambda _: None)
    assert speed > 1e6
    assert [row.frames for row in rows] == [4, 24]
    for row in rows:
        assert row.budget == budget
        assert 0 < row.kept <= budget
        assert min(row.first_token_ms, row.first_token_bound_ms, row.ingest_fps, row.prefill_fps) > 0
        assert row.as_dict()["ingest_share"] == row.ingest_fps / row.prefill_fps


def test_bandwidth_is_bytes_a_second():
    assert 1e8 < bandwidth(torch.device("cpu")) < 1e13


def test_unlisted_models_and_models_that_do_not_fit_are_rejected(capsys):
    assert main(["bench", "--random", "gpt"]) == 2
    assert "The catalogue has no model" in capsys.readouterr().err
    if not torch.cuda.is_available():
        assert main(["bench", "--random", "llava-onevision-72b"]) == 2
        assert "GiB are free" in capsys.readouterr().err


@pytest.mark.parametrize("family", list(tiny.FAMILIES))
def test_the_bench_of_policies_works_for_every_family(family, family_model, capsys):
    _, folder = family_model(family, layers=4)
    options = f"--model {folder} --side 64 --frames 4,8 --budget 60 --chunk 4 --rounds 1 --json --policies hermes"
    assert main(["bench", *options.split()]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [policy["policy"] for policy in report["policies"]] == ["hermes"]
    for policy in report["policies"]:
        assert [mark["frames"] for mark in policy["marks"]] == [4, 8]
        assert policy["marks"][-1]["kept"] <= 60
