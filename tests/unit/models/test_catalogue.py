"""The entries of the catalogue agree with the configurations of the models."""

from __future__ import annotations

import json

import pytest

from hermes.backbones.catalogue import CATALOGUE, count, listed
from hermes.backbones.load import FAMILIES
from hermes.cli import main
from hermes.errors import HermesError


@pytest.mark.parametrize("model", CATALOGUE, ids=lambda model: model.title)
def test_weights_are_those_of_the_configuration(model):
    assert count(model) == model.weights
    config = model.config()
    text = config.get_text_config()
    size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    kinds = getattr(text, "layer_types", None) or ["full_attention"] * text.num_hidden_layers
    layers = sum(kind == "full_attention" for kind in kinds)
    assert model.cache_bytes_per_token == 4 * layers * text.num_key_value_heads * size
    assert model.family in FAMILIES


def test_every_family_is_listed_and_those_published_are_marked():
    assert {model.family for model in CATALOGUE} == set(FAMILIES) - {"glm46v"}  # a second name for glm4v
    assert {model.family for model in CATALOGUE if model.published} == {"llava_onevision", "qwen2_5_vl"}


def test_models_are_found_by_id_and_title():
    assert listed("Qwen/Qwen2.5-VL-7B-Instruct") is listed("qwen2.5-vl-7b")
    with pytest.raises(HermesError, match=r"no model “gpt”\. Available: llava-onevision-0"):
        listed("gpt")


def test_the_command_lists_memory(capsys):
    assert main(["models", "--json", "--budget", "6000"]) == 0
    report = json.loads(capsys.readouterr().out)
    seven = next(row for row in report["models"] if row["title"] == "Qwen2.5-VL 7B")
    assert seven["stream_bytes"] == 6000 * 57344
    assert seven["bfloat16_bytes"] == int(8_292_166_656 * 2 * 1.15)
    assert main(["models"]) == 0
    assert "Qwen/Qwen2.5-VL-7B-Instruct" in capsys.readouterr().out
