"""Every policy on every family: invariants, answers, and continuing a saved stream."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from invariants import check_answer, check_heads, check_memory

import hermes
from hermes.policies import make_policy

BUDGET, QUESTION = 60, "What?"
EXACT = [
    "rekv", "hermes", "hermes+", "uniform-frames", "full", "sliding-window", "attention-sink", "random-keep", "h2o",
    "snapkv", "snapkv-question", "infinipot-v",
]  # fmt: skip
"""Policies that answer as the full cache does while everything fits under the budget."""
FAMILIES = [
    "llava_onevision",  # one axis of positions
    "qwen3_5",  # three axes, text between frames, layers with a state
    "smolvlm",  # one axis, text between frames
    "qwen2_5_vl",  # three axes
    "qwen3_vl",  # three axes, text between frames
]
"""The families that differ in something that a policy can notice."""


def cases(policies):
    """Combine each policy with the first two families, which differ in everything, and with one of the others in turn."""
    first, second, *others = FAMILIES
    chosen = [{first, second, others[index % len(others)]} for index in range(len(policies))]
    # Sorted by family, because each is built on first use.
    return [
        (name, policy) for name in FAMILIES for policy, names in zip(policies, chosen, strict=True) if name in names
    ]


def pictures(count, seed=5):
    return np.random.default_rng(seed).integers(0, 256, (count, 24, 32, 3), dtype=np.uint8)


@pytest.fixture
def family(request, family_model):
    layers = 2 if request.param == "qwen3_5" else 4  # each comes with a layer of linear attention, slow on a CPU
    return family_model(request.param, layers=layers)[0]


def answer(session):
    return "".join(session.ask(QUESTION, max_new_tokens=3))


@pytest.mark.parametrize(("family", "policy"), cases(list(hermes.POLICIES)), indirect=["family"])
def test_every_memory_is_sound(family, policy, tmp_path):
    frames = pictures(26)
    session = hermes.StreamSession(family, policy=policy, budget=BUDGET, chunk=4)
    for start in (0, 5, 12):
        part = slice(start, {0: 5, 5: 12, 12: 18}[start])
        session.push(frames[part], np.arange(26)[part] / 2)
        check_memory(session.snapshot(), family.max_positions, family.axes)
        check_heads(session)
    held = [(layer.keys[:, : layer.length].clone(), layer.length) for layer in session.state.cache.layers]
    message = answer(session)
    check_answer(session.snapshot(), message, QUESTION)
    for (keys, length), layer in zip(held, session.state.cache.layers, strict=True):
        assert length == layer.length
        assert torch.equal(keys, layer.keys[:, :length]), "a question leaves no trace in the memory"

    session.save(tmp_path / "stream")
    loaded = hermes.StreamSession.load(tmp_path / "stream", family)
    for one in (session, loaded):
        one.push(frames[18:], np.arange(18, 26) / 2)
    a, b = session.snapshot(), loaded.snapshot()
    for name in ("frame", "patch", "position", "first_frame", "held_by", "archived"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert a.archive_bytes == b.archive_bytes
    assert answer(session) == answer(loaded)
    check_memory(session.snapshot(), family.max_positions, family.axes)

    session.configure("sliding-window", budget=BUDGET)  # another policy continues with what was retained
    session.push(frames[:4], 20 + np.arange(4) / 2)
    check_memory(session.snapshot(), family.max_positions, family.axes)
    session.close()
    loaded.close()


@pytest.mark.parametrize(("family", "policy"), cases(EXACT), indirect=["family"])
def test_while_everything_fits_nothing_is_lost(family, policy):
    if family.axes > 1 and policy in ("rekv", "uniform-frames"):
        pytest.skip("three axes are recounted when frames are packed behind the prompt")
    frames, times = pictures(8), np.arange(8) / 2
    sessions = [hermes.StreamSession(family, policy=name, budget=1000, chunk=3) for name in ("full", policy)]
    reads = []
    for session in sessions:
        session.push(frames, times)
        answer(session)
        reads.append(session.snapshot().answer)
    assert reads[0].answer == reads[1].answer
    np.testing.assert_allclose(reads[0].attention, reads[1].attention, atol=1e-5)


@pytest.mark.parametrize("policy", [name for name in hermes.POLICIES if make_policy(name).held_limit is not None])
def test_positions_stay_in_a_short_range(short_range_model, policy):
    model = short_range_model
    session = hermes.StreamSession(model, policy=policy, budget=40, chunk=80)
    frames = pictures(80, seed=1)
    for start in range(0, 400, 80):  # the range has room for 350 frames
        session.push(frames, start + np.arange(80.0))
    check_memory(session.snapshot(), model.max_positions)
    message = answer(session)
    check_answer(session.snapshot(), message, QUESTION)
    session.close()
