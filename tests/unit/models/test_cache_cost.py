"""The computed cost of a cache equals the size of a real cache of that model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from transformers import Mamba2Config, Mamba2Model

import hermes
from hermes.analysis.cache_cost import CacheShape, ShapeError, StateShape, cache_bytes

ROOT = Path(__file__).parents[3]
FAMILIES = ("llava_onevision", "qwen2_5_vl", "qwen3_vl", "smolvlm", "internvl", "video_llama_3", "glm4v", "qwen3_5")
PUBLISHED = {
    "llava-onevision-0.5b": 12_288,
    "llava-onevision-7b": 57_344,
    "qwen2.5-vl-3b": 36_864,
    "qwen2.5-vl-7b": 57_344,
}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_cost_equals_the_tensors_of_a_real_cache(family, tmp_path):
    folder = getattr(tiny, family)(tmp_path)
    shape = CacheShape.of_config(json.loads((folder / "config.json").read_text("utf-8")))
    model = hermes.load(folder, device="cpu")
    session = hermes.StreamSession(model, "full")
    frames = np.zeros((4, 24, 32, 3), np.uint8)
    session.push(frames, np.arange(4) / 2)
    shot = session.snapshot()
    layer = session.state.cache.layers[0]
    held = layer.keys[..., : layer.length, :]
    assert held.numel() * 2 * shape.layers == cache_bytes(shape, layer.length, "float32") / held.element_size()
    assert shot.cache_bytes == cache_bytes(shape, layer.length, "float32")


def test_the_model_that_ships():
    shape = CacheShape.of_config(json.loads((ROOT / "assets" / "pocket" / "config.json").read_text("utf-8")))
    assert shape.bytes_per_token("float32") == hermes.load("pocket", device="cpu").bytes_per_token


def test_published_models_have_the_sizes_in_their_papers():
    listed = json.loads((ROOT / "assets" / "published_models.json").read_text("utf-8"))["models"]
    found = {m["id"]: CacheShape(m["layers"], m["kv_heads"], m["head_dim"]).bytes_per_token(m["dtype"]) for m in listed}
    assert PUBLISHED.items() <= found.items()


def test_the_state_size_equals_the_tensors_of_a_recurrent_model():
    shape = StateShape(layers=3, heads=4, head_dim=16, state=24, groups=2, kernel=4)
    config = Mamba2Config(
        hidden_size=32, expand=2, num_hidden_layers=3, num_heads=4, head_dim=16, state_size=24, n_groups=2, conv_kernel=4,
        vocab_size=20, chunk_size=8,
    )  # fmt: skip
    model = Mamba2Model(config).eval()
    sizes = []
    with torch.inference_mode():
        for tokens in (5, 40):
            layers = model(torch.zeros(1, tokens, dtype=torch.long), use_cache=True).cache_params.layers
            states = [
                state
                for layer in layers
                for kind in (layer.conv_states, layer.recurrent_states)
                for state in kind.values()
            ]
            sizes.append(sum(state.nbytes for state in states))
    assert sizes == [shape.state_bytes("float32")] * 2


def test_the_state_of_published_recurrent_models():
    listed = json.loads((ROOT / "assets" / "published_models.json").read_text("utf-8"))["recurrent"]
    found = {m["id"]: StateShape(m["layers"], m["heads"], m["head_dim"], m["state"]).state_bytes() for m in listed}
    inner = {"video-ma2mba-370m": 2048, "video-ma2mba-1.3b": 4096, "video-ma2mba-2.7b": 5120}  # twice the model's width
    layers = {"video-ma2mba-370m": 48, "video-ma2mba-1.3b": 48, "video-ma2mba-2.7b": 64}
    assert found == {name: 2 * layers[name] * (w * 128 + 4 * (w + 256)) for name, w in inner.items()}


def test_a_head_count_that_is_missing_is_named():
    with pytest.raises(ShapeError, match="num_hidden_layers"):
        CacheShape.of_config({"num_attention_heads": 4, "hidden_size": 32})
    shared = {"num_attention_heads": 4, "hidden_size": 32, "num_hidden_layers": 3}
    assert CacheShape.of_config(shared) == CacheShape(3, 4, 8)


def test_invalid_requests_are_rejected():
    with pytest.raises(ShapeError, match="at least one layer"):
        CacheShape(0, 2, 64)
    with pytest.raises(ShapeError, match="at least one layer, head"):
        StateShape(1, 1, 1, 0)
    with pytest.raises(ShapeError, match="int3"):
        CacheShape(1, 1, 1).bytes_per_token("int3")
    with pytest.raises(ShapeError, match="-1"):
        cache_bytes(CacheShape(1, 1, 1), -1)
