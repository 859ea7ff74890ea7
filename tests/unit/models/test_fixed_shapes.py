"""Answers at fixed shapes, as a CUDA graph replays them, give the same tokens and recorded attention as without.

On a CPU the passes run without a graph; everything else is as on a GPU.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

import hermes
from hermes.backbones.fixed_shapes import MAX_SLOTS, ROWS, FixedShapes, fixed_shapes

QUESTION = "What was first?"
DENSE = ("llava_onevision", "qwen2_5_vl", "qwen3_vl", "smolvlm", "internvl", "internvl3_5", "video_llama_3", "glm4v")


@pytest.fixture
def shapes(monkeypatch):
    """Gives a model fixed shapes for the duration of a test."""

    def give(model):
        made = FixedShapes(model)
        monkeypatch.setitem(model.__dict__, "fixed_shapes", made)
        return made

    return give


def answers(session, longest=6):
    """Two answers with the recorded attention."""
    found = []
    for question in (QUESTION, "And what came after the first one, and when did it leave?"):
        text = "".join(session.ask(question, max_new_tokens=longest))
        found.append((text, session.snapshot().answer))
    return found


def same(ours, expected):
    for (text, trace), (known, reference) in zip(ours, expected, strict=True):
        assert text == known
        for name in (
            "attention_heads",
            "attention_rest",
            "attention_patch",
            "token_frame",
            "token_patch",
            "tokens_read",
        ):
            np.testing.assert_allclose(getattr(trace, name), getattr(reference, name), atol=2e-5, err_msg=name)
        np.testing.assert_allclose(trace.attention_by_token, reference.attention_by_token, atol=1e-3)
        assert trace.token_ends.tolist() == reference.token_ends.tolist()


@pytest.mark.parametrize("family", DENSE)
def test_answers_and_their_attention_are_the_same(family, family_model, noise, shapes):
    model, _ = family_model(family, layers=4)
    frames, times = noise(20, 56, 84)
    budget = 2 * model.layout(56, 84).grid[0] * model.layout(56, 84).grid[1]
    session = hermes.StreamSession(model, budget=budget, chunk=4)
    session.push(frames, times)
    expected = answers(session)
    made = shapes(model)
    same(answers(session), expected)
    assert made.cache.storage.shape[3] > 0
    more, later = noise(4, 56, 84, start=10.0)
    session.push(more, later)  # answers leave the memory unchanged, and the stream continues
    again = answers(session)
    model.__dict__["fixed_shapes"] = None
    same(again, answers(session))


@pytest.mark.parametrize("policy", ["hermes", "infinipot-v", "rekv", "snapkv-question"])
def test_memories_of_other_policies(policy, tiny_model, noise, shapes):
    """Among them memories whose heads hold different tokens, and those that are assembled for a question."""
    session = hermes.StreamSession(tiny_model, policy=policy, budget=64, chunk=4)
    session.push(*noise(24))
    expected = answers(session)
    shapes(tiny_model)
    same(answers(session), expected)


def test_a_second_answer_and_long_ones_run_without(tiny_model, noise, shapes):
    session = hermes.StreamSession(tiny_model, budget=64, chunk=4)
    session.push(*noise(12))
    alone = "".join(session.ask(QUESTION, max_new_tokens=4))
    made = shapes(tiny_model)
    first = session.ask(QUESTION, max_new_tokens=4)
    begun = next(first)
    assert made.in_use.locked()
    other = hermes.StreamSession(tiny_model, budget=64, chunk=4)
    other.push(*noise(12))
    expected = "".join(other.ask(QUESTION, max_new_tokens=4))
    assert begun + "".join(first) == alone
    assert not made.in_use.locked()
    assert "".join(other.ask(QUESTION, max_new_tokens=4)) == expected
    memory = session.state.cache
    assert made.open(memory, ROWS[-1] + 1, 4) is None
    assert made.open(memory, 4, MAX_SLOTS) is None
    assert not made.in_use.locked()


def test_an_abandoned_answer_frees_the_storage(tiny_model, noise, shapes):
    session = hermes.StreamSession(tiny_model, budget=64, chunk=4)
    session.push(*noise(12))
    made = shapes(tiny_model)
    session.ask(QUESTION, max_new_tokens=8)  # never begun
    assert not made.in_use.locked()
    answer = session.ask(QUESTION, max_new_tokens=8)
    next(answer)
    assert made.in_use.locked()
    answer.close()
    assert not made.in_use.locked()


def test_the_storage_grows_with_the_memory(tiny_model, noise, shapes):
    made = shapes(tiny_model)
    session = hermes.StreamSession(tiny_model, policy="full", chunk=16)
    session.push(*noise(8))
    answers(session)
    small = made.cache.storage.shape[3]
    session.push(*noise(160, start=4.0))
    expected = answers(session)
    assert made.cache.storage.shape[3] > small
    tiny_model.__dict__["fixed_shapes"] = None
    same(expected, answers(session))


def test_models_on_a_cpu_have_none(tiny_model):
    assert tiny_model.device.type == "cpu"
    assert fixed_shapes(tiny_model) is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_graphs_on_a_gpu(tiny_folder, noise):
    model = hermes.load(tiny_folder, device="cuda")
    session = hermes.StreamSession(model, budget=64, chunk=4)
    session.push(*noise(24))
    assert model.fixed_shapes is not None
    replayed = answers(session)
    model.__dict__["fixed_shapes"] = None
    assert [text for text, _ in replayed] == [text for text, _ in answers(session)]
