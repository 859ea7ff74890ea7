"""Invariants of every policy, on streams that are split into random chunks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from invariants import check_answer, check_heads, check_memory

import hermes
from hermes.memory.layer import KIND
from hermes.policies import ContextFullError
from hermes.snapshot import SUMMARY, VISION

OWN = ["hermes", "full", "sliding-window", "random-keep"]  # on every family: test_policy_matrix.py
OTHERS = [name for name in hermes.POLICIES if name not in OWN]
MERGING = ["streammem", "quicksviewer", "storm", "recurrent-state"]  # tokens of several frames become one
SLOW = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("policy", OWN)
@SLOW
@given(
    reindexing=st.sampled_from(["lazy", "eager"]),
    chunks=st.lists(st.integers(1, 16), min_size=1, max_size=8),
    budget=st.integers(8, 80),
    seed=st.integers(0, 99),
)
def test_every_chunk_leaves_a_sound_memory(tiny_model, policy, reindexing, chunks, budget, seed):
    random = np.random.default_rng(seed)
    session = hermes.StreamSession(tiny_model, policy=policy, budget=budget, reindexing=reindexing)
    seen = 0
    for size in chunks:
        frames = random.integers(0, 256, (size, 8, 8, 3), dtype=np.uint8)
        session.push(frames, (seen + np.arange(size)) / 2)
        seen += size
        snapshot = session.snapshot()
        assert snapshot.frames_seen == seen
        check_memory(snapshot, tiny_model.max_positions)
    if policy == "full":
        assert (snapshot.kept == tiny_model.tokens_per_frame).all()
    if policy == "sliding-window":
        tokens = min(seen * tiny_model.tokens_per_frame, budget)
        assert (snapshot.kept.sum(1) == tokens).all()
        newest = -(-tokens // tiny_model.tokens_per_frame)
        assert (snapshot.kept[:, : seen - newest] == 0).all()


@pytest.mark.parametrize("policy", OTHERS)
@settings(SLOW, max_examples=4)
@given(
    chunks=st.lists(st.integers(1, 16), min_size=1, max_size=8),
    budget=st.integers(48, 120),
    chunk=st.integers(1, 16),
    seed=st.integers(0, 99),
)
def test_every_chunk_leaves_other_memories_sound(family_model, policy, chunks, budget, chunk, seed):
    random = np.random.default_rng(seed)
    model, _ = family_model("llava_onevision", layers=4)
    session = hermes.StreamSession(model, policy=policy, budget=budget, chunk=chunk)
    seen = 0
    for size in chunks:
        frames = random.integers(0, 256, (size, 8, 8, 3), dtype=np.uint8)
        session.push(frames, (seen + np.arange(size)) / 2)
        seen += size
        snapshot = session.snapshot()
        assert snapshot.frames_seen == seen
        check_memory(snapshot, model.max_positions)
        check_heads(session)
    message = "".join(session.ask("What?", max_new_tokens=2))
    check_answer(session.snapshot(), message, "What?")
    session.close()


@pytest.mark.parametrize("policy", MERGING)
def test_merging_counts_no_token_twice(tiny_model, noise, policy):
    """Merged tokens never represent more tokens than were seen of their frames."""
    session = hermes.StreamSession(tiny_model, policy=policy, budget=64, chunk=8)
    session.push(*noise(40))
    snapshot = session.snapshot()
    merged = False
    for index in range(snapshot.num_layers):
        layer = snapshot.layer(index)
        mass = layer["mass"][snapshot.prompt_len :]
        merged |= bool((mass > 1).any())
        assert mass.sum() <= snapshot.tokens_seen + 1e-3
    assert merged


@pytest.mark.parametrize(
    ("policy", "reindexing", "count"),
    [
        ("hermes", "lazy", 4000),
        ("hermes", "eager", 1000),
        ("sliding-window", "lazy", 1000),
        ("random-keep", "eager", 1000),
    ],
)
def test_positions_stay_in_range_for_thousands_of_frames(short_range_model, policy, reindexing, count):
    """The model's range has room for 350 frames."""
    model = short_range_model
    session = hermes.StreamSession(model, policy=policy, budget=40, reindexing=reindexing, chunk=100)
    frames = np.random.default_rng(0).integers(0, 256, (500, 8, 8, 3), dtype=np.uint8)
    for start in range(0, count, 500):
        session.push(frames, start + np.arange(500.0))
        check_memory(session.snapshot(), model.max_positions)
    assert session.snapshot().frames_seen == count
    assert any(event.reindexed.any() for event in session.snapshot().evictions)
    message = "".join(session.ask("Still there?", max_new_tokens=3))
    check_answer(session.snapshot(), message, "Still there?")
    check_memory(session.snapshot(), model.max_positions)


def test_the_full_cache_reports_when_it_is_full_and_loses_nothing(short_range_model, noise):
    session = hermes.StreamSession(short_range_model, policy="full")
    frames, times = noise(400)
    with pytest.raises(ContextFullError, match="policy with a budget"):
        session.push(frames, times)
    snapshot = session.snapshot()
    assert 0 < snapshot.frames_seen < 400
    check_memory(snapshot, short_range_model.max_positions)
    list(session.ask("What now?", max_new_tokens=2))
    session.configure("hermes", budget=64)
    rest = noise(4, start=1000.0)
    session.push(*rest)
    check_memory(session.snapshot(), short_range_model.max_positions)


def test_tiers_follow_their_rule(tiny_model, noise):
    """Sensory layers hold the newest tokens; long-term layers hold one summary token for all evicted ones."""
    session = hermes.StreamSession(tiny_model, budget=40)
    session.push(*noise(64))
    snapshot = session.snapshot()
    sensory, deep = snapshot.layer(0), snapshot.layer(tiny_model.num_layers - 1)
    assert np.median(sensory["frame"][snapshot.prompt_len :]) >= 64 - 10
    assert deep["kind"].tolist().count(SUMMARY) >= 1
    assert deep["mass"][deep["kind"] == SUMMARY].max() > 40
    assert snapshot.layer(3)["kind"].tolist().count(SUMMARY) == 0


def test_merging_conserves_mass(tiny_model, noise):
    """In a long-term layer, every token seen is either held or represented by a summary token."""
    session = hermes.StreamSession(tiny_model, budget=40)
    session.push(*noise(48))
    snapshot = session.snapshot()
    layer = snapshot.layer(tiny_model.num_layers - 1)
    assert layer["mass"][snapshot.prompt_len :].sum() == snapshot.tokens_seen


def test_questions_leave_no_trace_in_the_memory(tiny_model, noise):
    session = hermes.StreamSession(tiny_model, budget=40)
    session.push(*noise(32))
    before = [layer.held() for layer in session.state.cache.layers]
    before = [(b.keys.clone(), b.values.clone(), b.positions.clone(), b.labels.clone()) for b in before]
    list(session.ask("What is shown?", max_new_tokens=4))
    for old, layer in zip(before, session.state.cache.layers, strict=True):
        held = layer.held()
        for a, b in zip(old, (held.keys, held.values, held.positions, held.labels), strict=True):
            assert torch.equal(a, b)


def test_frames_pushed_during_an_answer_do_not_change_it(tiny_model, noise):
    frames, times = noise(32)
    calm, busy = (hermes.StreamSession(tiny_model, budget=40) for _ in range(2))
    calm.push(frames, times)
    busy.push(frames, times)
    expected = list(calm.ask("What is shown?", max_new_tokens=8))
    pieces = []
    more, later = noise(16, start=100.0)
    for i, piece in enumerate(busy.ask("What is shown?", max_new_tokens=8)):
        pieces.append(piece)
        if i < 3:
            busy.push(more[i * 4 : i * 4 + 4], later[i * 4 : i * 4 + 4])
    assert pieces == expected
    assert busy.stats.frames_seen == 32 + 4 * min(3, len(pieces))
    check_memory(busy.snapshot(), tiny_model.max_positions)


def test_sessions_do_not_leak_into_each_other(tiny_model, noise):
    frames, times = noise(24)
    alone, first, second = (hermes.StreamSession(tiny_model, budget=40) for _ in range(3))
    alone.push(frames, times)
    for i in range(0, 24, 16):
        first.push(frames[i : i + 16], times[i : i + 16])
        second.push(frames[::-1][i : i + 16], times[i : i + 16])
        list(second.ask("And you?", max_new_tokens=2))
    a, b = alone.snapshot(), first.snapshot()
    np.testing.assert_array_equal(a.frame, b.frame)
    np.testing.assert_array_equal(a.importance, b.importance)
    assert list(alone.ask("What?", max_new_tokens=6)) == list(first.ask("What?", max_new_tokens=6))


def test_guidance_follows_the_conversation(tiny_model, noise):
    frames, times = noise(32)
    plain, asked = (hermes.StreamSession(tiny_model, budget=40) for _ in range(2))
    for session in (plain, asked):
        session.push(frames[:16], times[:16])
    list(asked.ask("Where is the red circle?", max_new_tokens=4))
    assert asked.conversation is not None
    assert asked.conversation[0] == "Where is the red circle?"
    for session in (plain, asked):
        session.push(frames[16:], times[16:])
    a, b = plain.snapshot().guidance_attention, asked.snapshot().guidance_attention
    assert a.shape != b.shape or not np.allclose(a, b, equal_nan=True)


def test_embedding_guidance_is_another_measurement(tiny_model, noise):
    frames, times = noise(32)
    attention = {}
    for mode in ("forward", "embedding"):
        session = hermes.StreamSession(tiny_model, budget=100, guidance=mode)
        session.push(frames, times)
        assert session.snapshot().guidance == mode
        layer = session.snapshot().layer(5)
        attention[mode] = layer["guidance_attention"][layer["kind"] == VISION]
    assert not np.allclose(attention["forward"], attention["embedding"])


@pytest.mark.parametrize("policy", OWN)
def test_a_loaded_session_continues_as_the_saved_one(tiny_model, noise, tmp_path, policy):
    session = hermes.StreamSession(tiny_model, policy=policy, budget=40)
    session.push(*noise(32))
    list(session.ask("What was first?", max_new_tokens=4))
    session.save(tmp_path / "stream.safetensors")
    loaded = hermes.StreamSession.load(tmp_path / "stream.safetensors", tiny_model)
    more = noise(16, start=50.0)
    for s in (session, loaded):
        s.push(*more)
    a, b = session.snapshot(), loaded.snapshot()
    np.testing.assert_array_equal(a.frame, b.frame)
    np.testing.assert_array_equal(a.answer.attention, b.answer.attention)
    assert len(a.evictions) == len(b.evictions)
    answers = [list(s.ask("What was first?", max_new_tokens=8)) for s in (session, loaded)]
    assert answers[0] == answers[1]


def test_kinds_of_tokens_are_labelled(tiny_model, noise):
    session = hermes.StreamSession(tiny_model, policy="full")
    session.push(*noise(2))
    layer = session.state.cache.layers[0].held()
    assert layer.labels[KIND].tolist().count(VISION) == 2 * tiny_model.tokens_per_frame
