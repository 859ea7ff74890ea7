"""Loading: placement of models, memory checks, and messages about incomplete folders."""

from __future__ import annotations

import json
import shutil
import threading

import pytest
import tiny
import torch
from invariants import check_answer
from transformers import PreTrainedModel

import hermes
from hermes.backbones import placement, sources
from hermes.backbones.load import FAMILIES
from hermes.errors import HermesError


@pytest.fixture
def folder(tiny_folder, tmp_path):
    """A copy that may be damaged."""
    return shutil.copytree(tiny_folder, tmp_path / "model")


def test_weights_are_counted_from_headers(tiny_folder, tiny_model):
    parameters = {p.data_ptr(): p.numel() for p in tiny_model.model.parameters()}
    assert sources.count_weights(tiny_folder) >= sum(parameters.values())


def test_models_that_are_loaded_at_the_same_time_are_whole(tiny_folder):
    """transformers patches methods of its classes while it loads; two concurrent loads used to leave a patch behind."""
    ties, models = PreTrainedModel.tie_weights, []

    def load():
        models.extend(hermes.load(tiny_folder, device="cpu").model for _ in range(3))

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert PreTrainedModel.tie_weights is ties
    assert len(models) == 12
    assert all(p.device.type == "cpu" for model in models for p in model.parameters())


@pytest.mark.parametrize("family", list(FAMILIES))
def test_every_family_has_a_tiny_model(family):
    assert family in tiny.FAMILIES | tiny.VARIANTS


def test_a_model_that_does_not_fit():
    place = placement.choose("cpu", torch.bfloat16, None, torch.float32)
    placement.check_memory("small", 10**9, place, 3 * 2**30)
    with pytest.raises(HermesError, match=r"needs about 16\.1 GiB in bfloat16, and 15\.0 GiB are free on cpu"):
        placement.check_memory("large", 7_500_000_000, place, 15 * 2**30)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"device": "toaster"}, "is not a device"),
        ({"quantization": "1bit"}, "supported quantization is 4bit"),
        ({"device": "cpu", "quantization": "4bit"}, "need a CUDA device"),
    ],
)
def test_places_that_are_not_there(tiny_folder, settings, message):
    with pytest.raises(HermesError, match=message):
        hermes.load(tiny_folder, **settings)


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without CUDA")
def test_cuda_that_is_not_there(tiny_folder):
    with pytest.raises(HermesError, match="no CUDA device"):
        hermes.load(tiny_folder, device="cuda")


def test_half_downloaded_folders(folder):
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(HermesError, match="was cut short"):
        hermes.load(folder)
    for damaged in (b"nothing", b"\2\0\0\0\0\0\0\0[]"):
        weights.write_bytes(damaged)
        with pytest.raises(HermesError, match="damaged"):
            hermes.load(folder)
    weights.unlink()
    with pytest.raises(HermesError, match=r"model\.safetensors is missing"):
        hermes.load(folder)
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(HermesError, match="00001-of-00002"):
        hermes.load(folder)


def test_a_folder_without_a_preprocessor(folder):
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(HermesError, match="frames cannot be prepared"):
        hermes.load(folder)


def test_progress_is_reported(tiny_folder):
    payload = []
    hermes.load(tiny_folder, progress=lambda text, share: payload.append((text, share)))
    assert [share for _, share in payload] == sorted(share for _, share in payload)
    assert all(text for text, _ in payload)


def test_bfloat16_streams(tiny_folder, noise):
    model = hermes.load(tiny_folder, device="cpu", dtype=torch.bfloat16)
    session = hermes.StreamSession(model, budget=40)
    session.push(*noise(32))
    sentence = "".join(session.ask("Now?", max_new_tokens=3))
    check_answer(session.snapshot(), sentence, "Now?")
    assert session.snapshot().cache_bytes == (40 + session.snapshot().prompt_len) * model.bytes_per_token
