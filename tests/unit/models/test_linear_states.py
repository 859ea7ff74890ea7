"""Layers with linear attention hold no tokens: their states are copied, rolled back and saved, and nothing is evicted."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tiny
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from synthetic_stream import recorded

import hermes
from hermes.errors import HermesError
from hermes.memory.guidance import measure
from hermes.memory.layer import Provenance
from hermes.memory.tiers import tier_of_layers
from hermes.policies.ops.probe import probe_attention
from hermes.session.ingest import tier_prompts
from hermes.session.storage import SessionFileError
from hermes.view import LiveView
from ui.board.encoder import BoardEncoder

QUESTION = "What was first?"


@pytest.fixture(scope="module")
def model(family_model):
    return family_model("qwen3_5")[0]


def pictures(count, seed=5):
    return np.random.default_rng(seed).integers(0, 256, (count, 24, 32, 3), dtype=np.uint8)


def streamed(model, frames=12, **settings):
    session = hermes.StreamSession(model, chunk=4, **({"budget": 60} | settings))
    session.push(pictures(frames), np.arange(frames) / 2)
    return session


def states_of(cache):
    """Copies of all states, by layer and name."""
    return {
        (number, name): (moment.conv.clone(), moment.recurrent.clone())
        for number, state in cache.states.items()
        for name, moment in state.moments().items()
    }


def assert_equal_states(cache, expected, **tolerance):
    found = states_of(cache)
    assert found.keys() == expected.keys()
    for key, parts in expected.items():
        for one, other in zip(found[key], parts, strict=True):
            torch.testing.assert_close(one, other, **(tolerance or {"atol": 0, "rtol": 0}))


def prefill(model, cache, count, seed, open_tokens=0):
    """Prefill random embeddings."""
    embeddings = torch.randn(1, count, model.text_config.hidden_size, generator=torch.Generator().manual_seed(seed))
    positions = model.text_positions(cache.next_positions(), count)
    provenance = Provenance.of_text(count, model.device)
    return model.prefill(embeddings, positions, provenance, cache, open_tokens=open_tokens)


def test_only_layers_with_full_attention_hold_tokens(model):
    assert model.token_layers == tuple(range(1, 20, 2))
    assert model.state_layers == tuple(range(0, 20, 2))
    assert model.tiers == tier_of_layers(10)
    session = streamed(model)
    shot = session.snapshot()
    assert (shot.num_layers, shot.state_layers, shot.layer_numbers) == (10, model.state_layers, model.token_layers)
    heads, key, value = 4, 8, 12
    numbers = heads * key * value + (2 * 2 * key + heads * value) * 4
    assert shot.state_bytes == 10 * 4 * numbers
    assert shot.cache_bytes == sum(layer.length for layer in session.state.cache.layers) * model.bytes_per_token // 10
    assert streamed(model, 24).snapshot().state_bytes == shot.state_bytes, "the states do not grow"


def test_questions_and_guidance_leave_the_states_as_they_were(model):
    session = streamed(model)
    before = states_of(session.state.cache)
    message = "".join(session.ask(QUESTION, max_new_tokens=4))
    assert_equal_states(session.state.cache, before)
    wanted = [True] * model.num_layers
    measure(model, session.state.cache, tier_prompts(session), wanted, "forward")
    assert_equal_states(session.state.cache, before)
    assert "".join(session.ask(QUESTION, max_new_tokens=4)) == message


def test_frames_pushed_during_an_answer_do_not_change_it(model):
    expected = "".join(streamed(model).ask(QUESTION, max_new_tokens=6))
    session = streamed(model)
    pieces = session.ask(QUESTION, max_new_tokens=6)
    message = [next(pieces)]
    session.push(pictures(4, seed=8), 6 + np.arange(4) / 2)
    assert "".join([*message, *pieces]) == expected


def test_guidance_prompts_do_not_see_each_other(model):
    """The attention of each tier's prompt is that of the prompt alone on the memory."""
    cache = streamed(model).state.cache
    prompts = {0: "What is here?", 1: "Here; there", 2: "What was there?"}
    found = measure(model, cache, prompts, [True] * model.num_layers, "forward")
    for tier, prompt in prompts.items():
        alone = probe_attention(model, cache, model.tokenize(prompt))
        for index in (i for i, own in enumerate(model.tiers) if own == tier):
            expected = alone[index][cache.prompt_len : cache.layers[index].length]
            torch.testing.assert_close(found[index], expected, atol=1e-5, rtol=1e-4)


def test_an_error_within_a_chunk_leaves_the_states_as_they_were(model):
    session, twin = streamed(model), streamed(model)
    before = states_of(session.state.cache)

    def fail(*_):
        raise RuntimeError("the last layer fails")

    hook = model.decoder.layers[-1].register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="fails"):
        session.push(pictures(4, seed=9), 6 + np.arange(4) / 2)
    hook.remove()
    assert_equal_states(session.state.cache, before)
    for one in (session, twin):
        one.push(pictures(4, seed=8), 8 + np.arange(4) / 2)
    assert_equal_states(session.state.cache, states_of(twin.state.cache))


@pytest.mark.parametrize("stable", [9, 0])
def test_tokens_that_are_replaced_leave_no_trace(model, stable):
    """Retracting the newest tokens restores the states before them, so that other tokens can follow."""
    caches = []
    for retracted in (True, False):
        cache = model.new_cache(64)
        prefill(model, cache, 6, seed=0)
        cache.prompt_len = 6
        if stable:
            prefill(model, cache, stable, seed=1)
        if retracted:
            prefill(model, cache, 5, seed=2, open_tokens=5)
            cache.retract(5)
        prefill(model, cache, 7, seed=3)
        caches.append(cache)
    assert_equal_states(caches[0], states_of(caches[1]))


def test_a_part_of_a_chunk_can_be_replaced(model):
    cache = model.new_cache(64)
    prefill(model, cache, 8, seed=0)
    prefill(model, cache, 12, seed=1, open_tokens=5)
    cache.retract(5)
    twin = model.new_cache(64)
    prefill(model, twin, 8, seed=0)
    embeddings = torch.randn(1, 12, model.text_config.hidden_size, generator=torch.Generator().manual_seed(1))[:, :7]
    model.prefill(embeddings, model.text_positions(twin.next_positions(), 7), Provenance.of_text(7, model.device), twin)
    assert_equal_states(cache, states_of(twin), atol=1e-5, rtol=1e-4)


def test_tokens_that_cannot_be_forgotten_are_not_removed(model):
    cache = model.new_cache(64)
    prefill(model, cache, 6, seed=0)
    cache.prompt_len = 6
    prefill(model, cache, 9, seed=1)
    with pytest.raises(HermesError, match="cannot forget"):
        cache.retract(4)
    assert cache.layers[0].length == 15


@pytest.fixture
def saved(model, tmp_path):
    """A saved session with states that may be replaced, and its parts."""
    session = streamed(model, policy="quicksviewer")
    path = tmp_path / "good.session"
    session.save(path)
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["session"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    return path, header, tensors


def test_states_are_saved_and_checked(model, saved):
    path, header, tensors = saved
    loaded = hermes.StreamSession.load(path, model)
    names = {name for _, name in states_of(loaded.state.cache)}
    assert names == {"now", "prompt", "held"}
    damaged = {
        "missing": {name: t for name, t in tensors.items() if name != "linear.0.now.recurrent"},
        "layer": {name: t for name, t in tensors.items() if not name.startswith("linear.2.held")},
        "shape": tensors | {"linear.0.now.conv": torch.zeros(1, 3, 4)},
        "type": tensors | {"linear.0.now.recurrent": tensors["linear.0.now.recurrent"].half()},
        "nan": tensors | {"linear.0.now.recurrent": tensors["linear.0.now.recurrent"] * torch.nan},
        "large": tensors | {"linear.0.now.recurrent": tensors["linear.0.now.recurrent"] + 1e9},
        "foreign": tensors | {"linear.1.now.conv": tensors["linear.0.now.conv"].clone()},
    }
    for name, parts in damaged.items():
        bad = path.with_name(f"{name}.session")
        save_file(parts, bad, metadata={"session": json.dumps(header)})
        with pytest.raises(SessionFileError, match=r"^\w+\.session is damaged or not a session"):
            hermes.StreamSession.load(bad, model)


def test_runs_and_board_say_which_layers_hold_no_tokens(model, tmp_path):
    session = streamed(model)
    view = LiveView(
        state="playing", source="noise", clock=5.5, duration=None, behind=0.0, frame_jpeg=None, frame_index=5,
        snapshot=session.snapshot(), dropped=0, skipped=0, ingest_fps=2.0, first_token_ms=None, answering=False, error=None,
    )  # fmt: skip
    run, _ = recorded(tmp_path, [view])
    shot = run.moment(0).snapshot
    assert (shot.state_layers, shot.state_bytes) == (model.state_layers, session.snapshot().state_bytes)
    meta = BoardEncoder().whole(shot, duration=None, fps=2.0, meters={}, thumbnails=lambda _: {})["meta"]
    assert (meta["layers"], meta["numbers"]) == (10, list(model.token_layers))
    assert (meta["state_layers"], meta["state_bytes"]) == (10, shot.state_bytes)


def test_thinking_is_not_asked_for(tmp_path):
    """Templates such as Qwen3.5's request a chain of thought unless `enable_thinking` is false."""
    folder = tmp_path / "qwen3_5"
    folder.mkdir()
    tiny.qwen3_5(folder, layers=1)
    path = folder / "chat_template.jinja"
    ending = "{% if enable_thinking is defined and enable_thinking is false %}no{% endif %} thoughts"
    path.write_text(path.read_text() + ending)
    assert hermes.load(folder, device="cpu").tail_text(QUESTION).endswith("no thoughts")
