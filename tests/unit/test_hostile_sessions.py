"""Session files made to do harm: `StreamSession.load` rejects each with one error."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import hermes
from hermes.files.limits import SESSION_LIMITS
from hermes.session.storage import SessionFileError

CASES = Path(__file__).parents[1] / "data" / "sessions"


@pytest.mark.parametrize(
    ("name", "words"),
    [("s01-stats-null", "The statistics is not an object"), ("s02-keys-of-one-dimension", "has the shape")],
)
def test_a_hostile_session_is_rejected_when_it_is_loaded(name, words):
    path = CASES / f"{name}.session"
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["session"])
    model = hermes.load("pocket", device="cpu")
    with pytest.raises(SessionFileError, match=rf"^{name}.session .*{words}.*\.$"):
        hermes.StreamSession.load(path, model)
    assert header["fingerprint"] == model.fingerprint, "it is rejected for its defect, not for another model"


@pytest.fixture(scope="module")
def saved(tiny_model, tmp_path_factory):
    """A session file, its header and its tensors."""
    path = tmp_path_factory.mktemp("saved") / "good.session"
    session = hermes.StreamSession(tiny_model, budget=16)
    session.push(np.random.default_rng(0).integers(0, 256, (12, 24, 32, 3), dtype=np.uint8), np.arange(12) / 2)
    list(session.ask("Now?", max_new_tokens=2))
    session.save(path)
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["session"])
        return path, header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def with_tensor(name, change):
    def changed(header, tensors):
        return header, {**tensors, name: change(tensors[name])}

    return changed


def with_header(**values):
    return lambda header, tensors: ({**header, **values}, tensors)


def at(index, value):
    def change(tensor):
        out = tensor.clone()
        out[index] = value
        return out

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (with_header(stats=None), "statistics"),
        (with_header(sequence=10**30), "number of the snapshot"),
        (with_header(chunk=0), "chunk"),
        (with_header(chunk=True), "chunk"),
        (with_header(prompt_len=3), "prompt"),
        (with_header(conversation=["a"]), "conversation"),
        (with_header(conversation=["a", "b" * 20_000]), "conversation"),
        (with_header(layout={"grid": [9, 9], "pixels": [32, 32], "frames_per_step": 1, "interval": 1.0}), "layout"),
        (with_header(policy={"name": "hermes", "budget": 1e9}), "budget"),
        (with_header(policy={"name": "no-such-policy"}), "no-such-policy"),
        (with_header(intact=[True]), "list of layers"),
        (with_header(pending=[1e9]), "pending"),
        (with_header(evictions=[]), None),
        (with_tensor("layer.0.keys", at((0, 20, 0), float("nan"))), "not finite"),
        (with_tensor("layer.0.keys", lambda keys: keys[0, 0]), "shape"),
        (with_tensor("layer.3.values", lambda values: values[:, :-1]), "shape"),
        (with_tensor("layer.0.keys", lambda keys: keys.half()), "type"),
        (with_tensor("layer.0.positions", at((0, 5), 1 << 40)), "positions"),
        (with_tensor("layer.0.labels", at((0, -1), 99)), "frames of tokens"),
        (with_tensor("layer.0.labels", at((1, -1), 99)), "patches of tokens"),
        (with_tensor("times", lambda times: times.flip(0)), "times"),
        (with_tensor("times", lambda times: times[:-1]), "frames"),
        (with_tensor("answer.attention", at((0, 0), float("inf"))), "attention"),
        (with_tensor("eviction.0.evicted", lambda values: values[:2]), "eviction"),
        (with_tensor("life.0.offsets", at(1, 10**6)), "offsets"),
    ],
)  # fmt: skip
def test_a_defect_is_found_when_the_session_is_loaded(saved, tiny_model, tmp_path, change, words):
    header, tensors = change(saved[1], saved[2])
    path = tmp_path / "x.session"
    tensors = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}
    save_file(tensors, path, {"session": json.dumps(header)})
    if words is None:  # nothing is wrong with it
        hermes.StreamSession.load(path, tiny_model)
        return
    with pytest.raises(SessionFileError, match=rf"^x.session is damaged.*{words}"):
        hermes.StreamSession.load(path, tiny_model)


def test_a_header_that_declares_too_much_is_not_read(tiny_model, tmp_path):
    path = tmp_path / "x.session"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", SESSION_LIMITS.json_bytes + 1) + b"{")
        file.truncate(SESSION_LIMITS.json_bytes + 100)  # a sparse file
    with pytest.raises(SessionFileError, match="too large"):
        hermes.StreamSession.load(path, tiny_model)


def test_a_tensor_of_another_policy_is_refused(saved, tiny_model, tmp_path):
    header, tensors = saved[1], {**saved[2], "state.previous": torch.zeros(3)}
    path = tmp_path / "x.session"
    policy = {"name": "token-drop", "budget": 16}
    save_file(tensors, path, {"session": json.dumps({**header, "policy": policy})})
    with pytest.raises(SessionFileError, match="state “previous”"):
        hermes.StreamSession.load(path, tiny_model)
