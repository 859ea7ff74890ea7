"""Models spread over several devices: two that are pretended, and accelerate's own dispatch with layers on disk."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import preloaded
import pytest
import tiny
import torch

import hermes
from hermes.backbones import placement

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def differences(tmp_path_factory):
    """Differences between one device and two, by family and policy."""
    folder = tmp_path_factory.mktemp("devices")
    code, out, err = preloaded.run(ROOT / "tests" / "simulated_devices.py", str(folder), folder=folder)
    assert code == 0, err[-3000:]
    return json.loads(out.splitlines()[-1])


@pytest.mark.parametrize("family", list(tiny.FAMILIES))
def test_families_do_the_same_on_two_devices(differences, family):
    assert differences[f"{family} hermes"] == ""


@pytest.mark.parametrize("policy", list(hermes.POLICIES))
def test_policies_do_the_same_on_two_devices_or_refuse(differences, policy):
    payload = differences[f"llava_onevision {policy}"]
    assert payload == "" if hermes.POLICIES[policy].spreads else "one device" in payload


def layers_on_disk(model):
    """A device map with everything on the CPU, but the second half of the decoder's layers on disk."""
    root = next(name for name, part in model.model.named_modules() if part is model.decoder.layers)
    places = {}

    def place(prefix, module):
        for name, part in module.named_children():
            full = f"{prefix}{name}"
            if full == root:
                layers = len(model.decoder.layers)
                places.update({f"{full}.{i}": "cpu" if i < layers // 2 else "disk" for i in range(layers)})
            elif root.startswith(f"{full}."):
                place(f"{full}.", part)
            else:
                places[full] = "cpu"

    place("", model.model)
    held = {name for name, _ in model.model.named_parameters() if not name.startswith(tuple(f"{p}." for p in places))}
    places = {name: place for name, place in places.items() if name in dict(model.model.named_modules())}
    return places | dict.fromkeys(held, "cpu")


@pytest.mark.parametrize("family", list(tiny.FAMILIES))
def test_layers_that_accelerate_keeps_on_disk(family, family_model):
    model, folder = family_model(family, layers=4)
    spread = hermes.load(folder, device=layers_on_disk(model))
    assert next(spread.decoder.layers[-1].parameters()).device.type == "meta"
    assert set(spread.layer_devices) == {torch.device("cpu")}
    assert spread.fingerprint == model.fingerprint
    frames = np.random.default_rng(0).integers(0, 256, (24, 24, 32, 3), dtype=np.uint8)
    answers, snapshots = [], []
    for one in (model, spread):
        session = hermes.StreamSession(one, budget=60, chunk=6)
        session.push(frames, np.arange(24) / 2)
        answers.append("".join(session.ask("What was first?", max_new_tokens=6)))
        snapshots.append(session.snapshot())
    assert answers[0] == answers[1]
    np.testing.assert_array_equal(snapshots[0].frame, snapshots[1].frame)
    np.testing.assert_array_equal(snapshots[0].importance, snapshots[1].importance)


def test_auto_on_one_device_is_that_device(tiny_folder):
    if torch.cuda.device_count() > 1:
        pytest.skip("says what happens with one device")
    model = hermes.load(tiny_folder, device="auto")
    assert set(model.layer_devices) == {model.device}


def test_a_cpu_gets_bfloat16_only_for_large_models_and_where_it_is_faster():
    fast = placement.half_is_faster()
    assert placement.choose("cpu", None, None, torch.float16, 10**6).dtype == torch.float32
    large = placement.choose("cpu", None, None, torch.float16, 10**9).dtype
    assert large == (torch.bfloat16 if fast else torch.float32)


def test_a_spread_model_is_measured_against_all_gpus():
    place = placement.Placement(torch.device("cuda", 0), torch.bfloat16, spread="auto")
    assert place.needed(72_000_000_000) == int(72e9 * 2 * 1.15)
    with pytest.raises(placement.MemoryShortError, match=r"needs about 154\.2 GiB in bfloat16, and 80\.0 GiB are free"):
        placement.check_memory("72B", 72_000_000_000, place, 80 * 2**30)
