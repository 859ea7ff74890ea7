"""Models that merge frames: what a question sees, one unit of frames everywhere, and the check of the budget."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
import torch
from invariants import check_answer, check_memory

import hermes
from ui.board.encoder import BoardEncoder

QUESTION = "What was first?"
BUDGET = 60
READ_THE_ARCHIVE = ("rekv", "memstream")
"""Policies that answer from archived frames alone: a frame is archived when its step is complete."""


@pytest.fixture(scope="module", params=["qwen2_5_vl", "qwen3_vl"])
def model(request, family_model):
    return family_model(request.param, layers=4)[0]


def pictures(count, height=24, width=32):
    return np.random.default_rng(5).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def everything(session):
    """Copies of all that a question must not change."""
    state = session.state
    tensors = {f"state.{name}": value.clone() for name, value in state.policy_state.tensors.items()}
    for i, layer in enumerate(state.cache.layers):
        held = layer.held()
        names = ("keys", "values", "positions", "labels", "figures")
        tensors |= {f"{i}.{name}": getattr(held, name).clone() for name in names}
        tensors[f"{i}.length"] = torch.tensor([layer.length, layer.intact])
    counters = (session.stats.frames_seen, session.stats.tokens_seen, session.steps_seen, session.seconds)
    pending = [(frame.copy(), at) for frame, at in state.pending]
    return tensors, counters, pending, len(session.snapshot().evictions)


def assert_same(before, after):
    assert before[0].keys() == after[0].keys()
    for name, value in before[0].items():
        assert torch.equal(value.nan_to_num(7.0), after[0][name].nan_to_num(7.0)), name
    assert before[1] == after[1]
    assert before[3] == after[3]
    assert len(before[2]) == len(after[2])
    for (frame, at), (other, then) in zip(before[2], after[2], strict=True):
        assert at == then
        assert np.array_equal(frame, other)


def logits_at(session, max_new_tokens=1):
    """The logits of the first token of an answer."""
    seen = []
    original = session.model.logits

    def logits(hidden):
        seen.append(original(hidden))
        return seen[-1]

    session.model.logits = logits
    try:
        text = "".join(session.ask(QUESTION, max_new_tokens=max_new_tokens))
    finally:
        session.model.logits = original
    return seen[0], text


@pytest.mark.parametrize("policy", [name for name in hermes.POLICIES if name != "random-keep"])
def test_a_question_sees_the_unpaired_frame_and_leaves_no_trace_of_it(model, policy):
    frames, times = pictures(23), np.arange(23) / 2
    asked, plain = (hermes.StreamSession(model, policy, BUDGET) for _ in range(2))
    for session in (asked, plain):
        session.push(frames[:21], times[:21])
        assert session.frames_waiting == 1
    before = everything(asked)
    with_frame, _ = logits_at(asked)
    assert_same(before, everything(asked))
    waiting, asked.state.pending = asked.state.pending, []
    without, _ = logits_at(asked)
    asked.state.pending = waiting
    assert torch.equal(with_frame, without) == (policy in READ_THE_ARCHIVE)
    # The frame meets its partner as if nothing had been asked.
    for session in (asked, plain):
        session.state.history.conversation = None
        session.push(frames[21:], times[21:])
    assert_same(everything(plain), everything(asked))


@pytest.mark.parametrize("policy", ["hermes", "full"])
def test_the_answer_is_that_of_a_stream_whose_last_frame_was_repeated(model, policy):
    frames, times = pictures(7), np.arange(7) / 2
    asked, repeated = (hermes.StreamSession(model, policy, 1000) for _ in range(2))
    asked.push(frames, times)
    repeated.push(frames, times)
    repeated.push(frames[-1:], times[-1:])
    one, text = logits_at(asked, 5)
    other, expected = logits_at(repeated, 5)
    torch.testing.assert_close(one, other)
    assert text == expected


def test_the_trace_of_such_an_answer_covers_the_memory(model):
    session = hermes.StreamSession(model, budget=BUDGET)
    session.push(pictures(21), np.arange(21) / 2)
    text = "".join(session.ask(QUESTION, max_new_tokens=4))
    snapshot = session.snapshot()
    check_answer(snapshot, text, QUESTION)
    check_memory(snapshot, model.max_positions, model.axes)
    assert snapshot.answer.frames_seen == 10
    total = snapshot.answer.attention.sum(1) + snapshot.answer.attention_rest.sum(1)
    np.testing.assert_allclose(total, 1, atol=1e-5)


def test_frames_may_be_pushed_while_the_answer_is_decoded(model):
    frames, times = pictures(24), np.arange(24) / 2
    session, plain = (hermes.StreamSession(model, budget=BUDGET) for _ in range(2))
    for one in (session, plain):
        one.push(frames[:21], times[:21])
    pieces = session.ask(QUESTION, max_new_tokens=6)
    first = next(pieces, None)
    assert first is not None
    for one in (session, plain):
        one.push(frames[21:], times[21:])
    list(pieces)
    for layer, other in zip(session.state.cache.layers, plain.state.cache.layers, strict=True):
        assert torch.equal(layer.held().keys, other.held().keys)


def test_a_model_without_positions_for_the_frame_still_answers(tmp_path):
    (tmp_path / "m").mkdir()
    model = hermes.load(tiny.qwen3_vl(tmp_path / "m", max_positions=700), device="cpu")
    session = hermes.StreamSession(model, "full")
    frames, count = pictures(3), 400
    with pytest.raises(hermes.HermesError, match="memory is full"):
        session.push(np.repeat(frames[:1], count, axis=0), np.arange(count) / 2)
    session.push(frames[2:], [300.0])
    assert session.frames_waiting == 1
    assert session.check_question(QUESTION)
    list(session.ask(QUESTION, max_new_tokens=2))
    assert session.snapshot().answer is not None


def test_evictions_and_frames_have_one_unit(model):
    session = hermes.StreamSession(model, budget=BUDGET, chunk=2)
    seen = []
    for start in range(0, 40, 2):
        evictions = len(session.snapshot().evictions)
        session.push(pictures(2), start / 2 + np.arange(2) / 2)
        if len(session.snapshot().evictions) > evictions:
            seen.append(session.snapshot().frames_seen)
    snapshot = session.snapshot()
    assert [event.frames_seen for event in snapshot.evictions] == seen
    assert [record.frames_seen for record in session.token_history.records] == seen
    assert seen[-1] == snapshot.frames_seen == 20
    assert session.stats.frames_seen == 40


def test_the_board_places_evictions_on_an_axis_that_the_stream_fills(model):
    session, encoder, events = hermes.StreamSession(model, budget=BUDGET, chunk=2), BoardEncoder(), {}
    acknowledged = None
    for start in range(0, 60, 2):
        session.push(pictures(2), start / 2 + np.arange(2) / 2)
        message = encoder.encode(
            session.snapshot(), acknowledged=acknowledged, duration=30.0, fps=2.0, meters={}, thumbnails=lambda _: {}
        )
        acknowledged = message["seq"]
        if "meta" in message:
            meta = message["meta"]
            events = {}
        for at, *row in message.get("events", ()):
            events[at] = row
    snapshot = session.snapshot()
    assert snapshot.frames_seen == 30
    assert 30 <= meta["columns"] * meta["bin"] <= 32  # not 60: two frames make one
    bins = {event.frames_seen - 1: event.seconds for event in snapshot.evictions}
    assert {at: row[1] for at, row in events.items()} == bins
    for at, seconds in bins.items():
        assert snapshot.frame_times[at] == seconds


def test_a_budget_below_one_frame_is_an_error_and_a_small_one_is_reported(tmp_path):
    (tmp_path / "m").mkdir()
    folder = tiny.qwen2_5_vl(tmp_path / "m", max_positions=60_000)
    settings = folder / "preprocessor_config.json"
    settings.write_text(settings.read_text().replace(f'"max_pixels": {18 * 24}', '"max_pixels": 1000000'))
    model = hermes.load(folder, device="cpu", max_pixels=64 * 64)
    assert model.layout(720, 1280).pixels[0] * model.layout(720, 1280).pixels[1] <= 64 * 64
    large = hermes.load(folder, device="cpu")
    budget = large.tokens_per_frame
    session = hermes.StreamSession(large, budget=budget)
    with pytest.raises(hermes.HermesError, match=r"too small for these frames: one of 1280 x 720 pixels takes 14,400"):
        session.push(pictures(2, 720, 1280), [0.0, 0.5])
    assert session.frames_waiting == 0
    session.push(pictures(2, 176, 224), [0.0, 0.5])  # smaller frames fit
    assert "holds only 3.8 frames of 224 x 176 pixels, which take 616 tokens each" in session.notes[0]
    before = session.policy
    session.state.layout = large.layout(400, 500)
    with pytest.raises(hermes.HermesError, match="too small for these frames"):
        session.configure(budget=budget)
    assert session.policy is before
    with pytest.raises(hermes.HermesError, match="pixels"):
        hermes.load(folder, device="cpu", max_pixels=1)


def test_states_of_linear_layers_are_those_before_the_question(family_model):
    model, _ = family_model("qwen3_5")
    frames, times = pictures(14), np.arange(14) / 2
    asked, plain = (hermes.StreamSession(model, budget=BUDGET) for _ in range(2))
    for session in (asked, plain):
        session.push(frames[:13], times[:13])
    before = {number: state.now for number, state in asked.state.cache.states.items()}
    copies = {number: (now.conv.clone(), now.recurrent.clone()) for number, now in before.items()}
    assert copies
    list(asked.ask(QUESTION, max_new_tokens=2))
    for number, state in asked.state.cache.states.items():
        assert torch.equal(state.now.conv, copies[number][0])
        assert torch.equal(state.now.recurrent, copies[number][1])
    for session in (asked, plain):
        session.state.history.conversation = None
        session.push(frames[13:], times[13:])
    for state, other in zip(asked.state.cache.states.values(), plain.state.cache.states.values(), strict=True):
        assert torch.equal(state.now.recurrent, other.now.recurrent)
