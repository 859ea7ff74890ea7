"""What distinguishes each policy other than HERMES, on a stream of a tiny model."""

from __future__ import annotations

import numpy as np
import torch
from policy_streams import P, frames_of, read_frames, session_of, still

from hermes.memory.layer import FRAME, PATCH
from hermes.policies.ops.probe import probe_heads
from hermes.snapshot import SUMMARY, VISION


def test_attention_sink_keeps_the_first_tokens_and_counts_inside_the_cache(tiny_model, noise):
    session = session_of(tiny_model, "attention-sink", budget=12, sinks=2)
    session.push(*noise(10))
    layer, prompt = session.snapshot().layer(3), session.snapshot().prompt_len
    assert layer["frame"][prompt:].tolist() == [0, 0, 7, 7, 8, 8, 8, 8, 9, 9, 9, 9]
    np.testing.assert_array_equal(layer["position"], np.arange(prompt + 12))


def test_hermes_plus_keeps_the_newest_frame_whole_in_every_layer_and_hermes_does_not(tiny_model, noise):
    frames = noise(30)
    held = {}
    for policy in ("hermes", "hermes+"):
        session = session_of(tiny_model, policy, budget=12)
        session.push(*frames)
        held[policy] = session.snapshot().kept[:, -1]
        assert session.snapshot().kept_per_layer.max() == 12, "no token more for it"
    assert (held["hermes+"] == P).all()
    assert (held["hermes"] < P).any()


def test_hermes_plus_without_its_change_is_hermes(tiny_model, noise):
    frames = noise(30)
    plain, bare = (
        session_of(tiny_model, "hermes"),
        session_of(tiny_model, "hermes+", newest=0, alpha_working_bottom=0.1),
    )
    for session in (plain, bare):
        session.push(*frames)
    for name in ("frame", "patch", "position", "importance"):
        np.testing.assert_array_equal(getattr(plain.snapshot(), name), getattr(bare.snapshot(), name))


def test_heads_of_h2o_keep_tokens_of_their_own(tiny_model, noise):
    session = session_of(tiny_model, "h2o", budget=16)
    session.push(*noise(24))
    snapshot = session.snapshot()
    assert (snapshot.kept_per_layer == 16).all()
    assert set(np.unique(snapshot.held_by)) == {0.5, 1.0}, "two key heads: a token is held by one or both"
    newest = snapshot.frame >= 22  # half of the budget, two frames, is for the newest
    assert (snapshot.held_by[newest] == 1).all()
    table = session.state.cache.layers[2].heads
    assert not torch.equal(table.labels[0, :, :30], table.labels[1, :, :30])


def test_infinipot_fills_the_budget_with_the_released_shares_and_keeps_positions(tiny_model, noise):
    """The released code keeps 24 frames of 32: the 8 newest whole, 4 by change, 12 by the norm of their values."""
    frames, times = noise(32)
    full, session = (session_of(tiny_model, name, budget=24 * P, chunk=32) for name in ("full", "infinipot-v"))
    for one in (full, session):
        one.push(frames, times)
    snapshot = session.snapshot()
    assert (snapshot.kept_per_layer == 24 * P).all()
    assert (snapshot.kept[:, -8:] == P).all(), "the 8 newest frames are whole"
    prompt = snapshot.prompt_len
    layer, whole = session.state.cache.layers[2], full.state.cache.layers[2]
    table = layer.heads
    for head in range(len(table.labels)):
        labels, positions = (
            table.labels[head, :, prompt : layer.length],
            table.positions[head, 0, prompt : layer.length],
        )
        origin = labels[FRAME].long() * P + labels[PATCH].long()
        assert torch.equal(positions, whole.positions[0, prompt : whole.length][origin]), (
            "positions are the original ones"
        )
        # From the definition: 4 frames' worth of the old tokens that differ most from the newest frames at their patch ...
        keys = torch.nn.functional.normalize(whole.raw_keys(tiny_model.rotary, prompt)[head], dim=-1).view(32, P, -1)
        change = -torch.einsum("fpd,npd->fp", keys[:24], keys[24:]) / 8
        by_change = set(change.flatten().topk(4 * P).indices.tolist())
        # ... and 12 frames' worth of the largest values among the rest.
        norm = whole.values[head, prompt : prompt + 24 * P].norm(dim=-1)
        norm[list(by_change)] = -1
        expected = by_change | set(norm.topk(12 * P).indices.tolist())
        assert set(origin[origin < 24 * P].tolist()) == expected


def test_snapkv_averages_the_votes_of_the_last_patches(tiny_model, noise):
    frames, times = noise(10)
    session = session_of(tiny_model, "snapkv", budget=16, chunk=10, window=4, pooling=3)
    seen = {}
    after = type(session.policy).after_encode

    def watch(step):
        seen["sums"] = {index: sums.clone() for index, sums in step.attention.sums.items()}
        return after(session.policy, step)

    session.policy.after_encode = watch
    session.push(frames, times)
    prompt, layer = session.snapshot().prompt_len, session.state.cache.layers[1]
    votes = seen["sums"][1].view(2, 2, -1).mean(1)[:, prompt:-4]  # four heads on two key heads; without the voters
    padded = torch.nn.functional.pad(votes, (1, 1))
    means = (padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]) / 3
    for head, expected in enumerate(means.topk(12, dim=1).indices.sort(dim=1).values):
        labels = layer.heads.labels[head, :, prompt : layer.length].long()
        assert (labels[FRAME] * P + labels[PATCH]).tolist() == [*expected.tolist(), 36, 37, 38, 39]


def test_snapkv_at_the_question_holds_everything_and_reads_what_the_question_attends_to(tiny_model, noise):
    frames, times = noise(12)
    full, session = session_of(tiny_model, "full"), session_of(tiny_model, "snapkv-question", budget=16, pooling=1)
    for one in (full, session):
        one.push(frames, times)
        list(one.ask("What?", max_new_tokens=1))
    snapshot = session.snapshot()
    assert (snapshot.kept == P).all(), "nothing is evicted"
    assert snapshot.budget == -1, "what is held has no limit"
    assert (snapshot.answer.tokens_read == snapshot.prompt_len + 16).all()
    ids = tiny_model.tokenize(tiny_model.tail_text("What?"))[-32:]
    attention = probe_heads(tiny_model, full.state.cache, ids, slice(None))
    read = read_frames(snapshot.answer, 3)
    votes = attention[3].view(2, 2, -1).mean(1)[:, snapshot.prompt_len :]
    assert read == sorted({token // P for own in votes.topk(16, dim=1).indices.tolist() for token in own})


def test_streamingvlm_keeps_sixteen_seconds_of_video(tiny_model, noise):
    session = session_of(tiny_model, "streamingvlm", budget=400)
    session.push(*noise(50))  # two frames a second
    assert frames_of(session) == list(range(50 - 32, 50))
    layer, prompt = session.snapshot().layer(2), session.snapshot().prompt_len
    np.testing.assert_array_equal(layer["position"], np.arange(prompt + 32 * P))


def test_uniform_frames_reads_evenly_spread_frames_and_holds_none(tiny_model, noise):
    session = session_of(tiny_model, "uniform-frames", budget=16)
    session.push(*noise(31))
    list(session.ask("What?", max_new_tokens=1))
    snapshot = session.snapshot()
    assert snapshot.kept.sum() == 0
    assert read_frames(snapshot.answer, 0) == [0, 10, 20, 30]
    assert snapshot.answer.moved_bytes == 16 * 48 * 4, "features of 16 tokens in float32"
    assert (snapshot.archived[0] > 0).nonzero()[0].tolist() == list(range(0, 31, 2)), "every second one is stored"


def test_token_drop_drops_static_patches(tiny_model):
    session = session_of(tiny_model, "token-drop")
    for seed, start in ((1, 0), (2, 3)):
        session.push(*still(6, seed, start))
    assert session.snapshot().kept[0].tolist()[:6] == [P, 0, 0, 0, 0, 0]
    assert session.snapshot().kept[0].tolist()[7:] == [0] * 5


def test_streammem_merges_similar_frames_and_leaves_prototypes(tiny_model, noise):
    session = session_of(tiny_model, "streammem", budget=20)
    session.push(*still(4, 3))
    snapshot = session.snapshot()
    assert snapshot.kept[0].tolist() == [0, 0, 0, P]
    assert set(snapshot.first_frame[snapshot.kind == VISION]) == {0}
    assert set(snapshot.mass[snapshot.kind == VISION]) == {4}
    frames, times = noise(8, start=10)
    session.push(frames, times)
    layer = session.snapshot().layer(5)
    prototype = layer["kind"] == SUMMARY
    assert set(layer["frame"][prototype]) >= {8, 9, 10, 11}, "each frame of the chunk that was pruned leaves one"
    assert (layer["mass"][prototype] == P).all()
    assert (np.diff(layer["frame"][session.snapshot().prompt_len :]) >= 0).all(), "prototypes stand at their frames"


def test_videoscan_keeps_one_carrier_per_frame_and_drops_the_older_of_two_similar_ones(tiny_model):
    session = session_of(tiny_model, "videoscan", budget=8, chunk=2, patches=1)
    for seed, start in ((1, 0), (1, 1), (2, 2), (3, 3), (4, 4)):
        session.push(*still(1, seed, start))
    snapshot = session.snapshot()
    assert (snapshot.kept == [0, 2, 2, 2, 2]).all(), "four frames fit; the first two were the same picture"
    carriers = snapshot.kind == SUMMARY
    assert snapshot.frame[carriers].tolist() == [1, 2, 3, 4] * tiny_model.num_layers
    assert (snapshot.mass[carriers] == P).all()


def test_patches_of_one_frame_of_videoscan_do_not_see_another(tiny_model, noise):
    seen = []
    session = session_of(tiny_model, "videoscan", budget=40)
    view = type(session.policy).encode_view
    session.policy.encode_view = lambda step, chunk: seen.append(view(session.policy, step, chunk)) or seen[-1]
    session.push(*noise(2))
    prompt = session.snapshot().prompt_len
    mask = seen[0][0][:, prompt:]
    assert mask[5].tolist() == [False] * 4 + [True, True] + [False] * 4, "the second frame sees the first one's carrier"


def test_storm_averages_the_same_groups_however_frames_come(tiny_model, noise):
    frames, times = noise(10)
    whole, single = (session_of(tiny_model, "storm", budget=100, chunk=n) for n in (10, 1))
    whole.push(frames, times)
    single.push(frames, times)
    a, b = whole.snapshot(), single.snapshot()
    assert frames_of(whole) == [3, 7, 9]
    np.testing.assert_array_equal(a.frame, b.frame)
    np.testing.assert_array_equal(a.first_frame, b.first_frame)
    assert a.layer(0)["mass"][a.prompt_len :].tolist() == [4.0] * 8 + [2.0] * 4
    for one, other in zip(whole.state.cache.layers, single.state.cache.layers, strict=True):
        torch.testing.assert_close(one.held().keys, other.held().keys, atol=1e-4, rtol=1e-4)


def test_quicksviewer_cuts_where_the_picture_changes(tiny_model):
    session = session_of(tiny_model, "quicksviewer", budget=100, chunk=3)
    for seed, start in ((1, 0), (2, 10), (3, 20)):
        session.push(*still(7, seed, start))
    snapshot = session.snapshot()
    assert {0, 7, 14} <= set(snapshot.first_frame[: snapshot.offsets[1]].tolist())


def test_videollamb_merges_an_ended_scene_into_memory_tokens(tiny_model):
    session = session_of(tiny_model, "videollamb", budget=40, chunk=2, slots=6)
    session.push(*still(6, 1))
    assert (session.snapshot().kind != SUMMARY).all()
    session.push(*still(4, 2, 10))
    layer, prompt = session.snapshot().layer(2), session.snapshot().prompt_len
    memory = layer["kind"] == SUMMARY
    assert memory[prompt : prompt + 6].all()
    assert memory.sum() == 6
    assert layer["mass"][memory].sum() == 6 * P, "together they stand for the scene that ended"
    assert frames_of(session, 2) == [6, 7, 8, 9], "of the present scene all frames are seen"


def test_a_recurrent_state_never_grows(tiny_model, noise):
    session = session_of(tiny_model, "recurrent-state")
    for start in range(0, 24, 8):
        session.push(*noise(8, start=start))
        snapshot = session.snapshot()
        assert (snapshot.kept_per_layer == P).all()
        assert (snapshot.mass[snapshot.kind == SUMMARY] == start + 8).all(), "every slot stands for all frames so far"
