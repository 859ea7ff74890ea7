"""What distinguishes each policy that archives frames, on a stream of a tiny model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from policy_streams import P, frames_of, read_frames, session_of

from hermes.errors import HermesError
from hermes.memory.archive import Archive
from hermes.memory.layer import FRAME, KIND
from hermes.session import storage
from hermes.session.storage import SessionFileError
from hermes.snapshot import SUMMARY


@pytest.mark.parametrize("policy", ["rekv", "memstream", "streamkv"])
def test_the_window_is_set_apart_from_what_a_question_reads(tiny_model, noise, policy):
    session = session_of(tiny_model, policy, budget=16, window=48)
    session.push(*noise(20))
    list(session.ask("What?", max_new_tokens=1))
    snapshot = session.snapshot()
    assert (snapshot.kept_per_layer == 48).all(), "the window is held"
    assert snapshot.budget == 48
    if policy != "streamkv":  # which also reads the open segment
        assert (snapshot.answer.tokens_read - snapshot.prompt_len == 16).all(), "the budget is read"
    for window in (3, 1_000_000):
        with pytest.raises(HermesError, match="local window"):
            session_of(tiny_model, policy, window=window)


@pytest.mark.parametrize("policy", ["rekv", "memstream", "streamkv", "livevlm"])
def test_a_question_retrieves_with_its_own_tokens_only(tiny_model, noise, policy, monkeypatch):
    asked = []
    embed = tiny_model.embed
    monkeypatch.setattr(tiny_model, "embed", lambda ids: asked.append(ids.tolist()) or embed(ids))
    session = session_of(tiny_model, policy, budget=40, **({"alike": 1.0} if policy == "streamkv" else {}))
    session.push(*noise(16))
    asked.clear()
    list(session.ask("Where was it?", max_new_tokens=1))
    bare = tiny_model.tokenize("Where was it?").tolist()
    prompt = tiny_model.tokenize(tiny_model.tail_text("Where was it?")).tolist()
    assert asked[-1] == prompt, "the answer reads the whole prompt"
    assert asked[:-1] == [bare] * (2 if policy == "streamkv" else 1)


def test_rekv_reads_the_frames_closest_to_the_question(tiny_model, noise):
    """In the first layer the question's queries depend on nothing else: they are computed here from the weights."""
    frames, times = noise(12)
    session = session_of(tiny_model, "rekv", budget=12, frames_read=3)
    session.push(frames, times)
    list(session.ask("What?", max_new_tokens=1))
    snapshot = session.snapshot()

    layer = tiny_model.decoder.layers[0]
    question = layer.input_layernorm(tiny_model.embed(tiny_model.tokenize("What?"))[0])
    with torch.inference_mode():
        encoded = tiny_model.encode(list(frames), times, 0, session.layout).embeddings[0]
        queries = layer.self_attn.q_proj(question).mean(0).view(2, 2, -1).mean(1)  # four heads on two key heads
        keys = layer.self_attn.k_proj(layer.input_layernorm(encoded)).view(12, P, 2, -1).mean(1)
    expected = (keys * queries).sum((1, 2)).topk(3).indices.sort().values.tolist()
    assert read_frames(snapshot.answer, 0) == expected
    assert frames_of(session) == [9, 10, 11], "the memory itself is a window"
    assert (snapshot.archived == P).all()
    assert snapshot.answer.moved_bytes == 3 * P * tiny_model.bytes_per_token
    assert snapshot.archive_bytes == 12 * P * tiny_model.bytes_per_token


def test_an_archive_beyond_its_limit_is_on_disk_until_the_stream_is_closed(tiny_model, noise):
    sessions = [session_of(tiny_model, "rekv", budget=12) for _ in range(2)]
    sessions[1].state.policy_state.archive = Archive(limit=20_000)
    frames, times = noise(12)
    for session in sessions:
        for start in range(0, 12, 4):
            session.push(frames[start : start + 4], times[start : start + 4])
    here, there = (session.state.policy_state.archive for session in sessions)
    assert (here.bytes_on_disk, here.nbytes) == (0, there.nbytes)
    assert 0 < there.bytes_on_disk <= there.nbytes
    folder = Path(there._folder.name)
    assert folder.is_dir()
    answers = [list(session.ask("What?", max_new_tokens=6)) for session in sessions]
    assert answers[0] == answers[1]
    sessions[1].close()
    assert not folder.exists()


def test_another_policy_cannot_read_an_archive(tiny_model, noise):
    session = session_of(tiny_model, "rekv", budget=12)
    session.push(*noise(8))
    assert session.snapshot().archive_bytes
    session.configure("sliding-window")
    assert session.snapshot().archive_bytes == 0


def test_an_archive_too_large_for_a_file_is_refused_with_a_message(tiny_model, noise, tmp_path, monkeypatch):
    session = session_of(tiny_model, "rekv", budget=12)
    session.push(*noise(8))
    monkeypatch.setattr(storage, "LARGEST_ARCHIVE", 1000)
    with pytest.raises(SessionFileError, match="archive holds"):
        session.save(tmp_path / "stream")


def test_livevlm_reads_some_of_its_pages_and_all_that_is_new(tiny_model, noise):
    session = session_of(tiny_model, "livevlm", budget=40, page=5)
    session.push(*noise(24))
    list(session.ask("What?", max_new_tokens=1))
    snapshot = session.snapshot()
    held = snapshot.kept_per_layer
    for layer in range(snapshot.num_layers):
        read = np.diff(snapshot.answer.offsets)[layer] - snapshot.prompt_len
        pages = -(-(held[layer] - 10) // 5)
        assert 10 + 5 * (np.ceil(0.4 * pages) - 1) < read <= 10 + 5 * np.ceil(0.4 * pages)
        assert {23, 22} <= set(read_frames(snapshot.answer, layer))


def test_streamkv_archives_a_share_of_each_segment_and_its_mean_frame(tiny_model, noise):
    session = session_of(tiny_model, "streamkv", budget=80, alike=1.0, least=4, kept_share=0.5)
    session.push(*noise(12))
    snapshot, archive = session.snapshot(), session.state.policy_state.archive
    assert session.state.policy_state.number("held") == 4, "noise is cut every four frames; the last segment is open"
    labels = [layer.labels.rows for layer in archive.layers]
    means = [own[own[:, KIND] == SUMMARY, FRAME].unique().tolist() for own in labels]
    assert means == [[3, 7]] * tiny_model.num_layers, "the mean frame is always archived"
    frames = (snapshot.archived > 0).sum(1)
    assert frames.sum() <= 0.5 * 8 * tiny_model.num_layers
    assert (frames >= 2).all(), "at least one of each segment in every layer"
    list(session.ask("What?", max_new_tokens=1))
    for layer in range(tiny_model.num_layers):
        assert {8, 9, 10, 11} <= set(read_frames(session.snapshot().answer, layer)), "the open segment is read"


@pytest.mark.parametrize("budget", [40, 60, 80])
def test_streamkv_reads_its_budget_on_average_over_layers(tiny_model, noise, budget):
    session = session_of(tiny_model, "streamkv", budget=budget, alike=1.0, least=4)
    session.push(*noise(38))
    for question in ("What?", "Where was the red circle?"):
        list(session.ask(question, max_new_tokens=1))
        snapshot = session.snapshot()
        read = snapshot.answer.tokens_read - snapshot.prompt_len
        assert read.mean() <= budget
        assert read.mean() > budget - 2 * P, "and most of it"
        assert read.max() <= 1.5 * budget


def test_later_frames_of_memstream_see_only_novel_patches(tiny_model, noise):
    session = session_of(tiny_model, "memstream", budget=100, visible_share=0.5)
    seen = []
    view = type(session.policy).encode_view
    session.policy.encode_view = lambda step, chunk: seen.append(view(session.policy, step, chunk)) or seen[-1]
    session.push(*noise(8))
    mask, prompt = seen[1][0], session.snapshot().prompt_len
    past = mask[:, prompt : prompt + 16].view(16, 4, P)
    assert past[:, 0].all(), "the first frame is new all over"
    assert (past[:, 1:].sum(2) == 2).all(), "half of the patches of each past frame"
    assert torch.equal(mask[:4, prompt + 16 : prompt + 20], torch.ones(4, 4, dtype=torch.bool).tril()), (
        "a frame sees itself"
    )
    assert (session.snapshot().archived == P).all(), "everything is archived"
