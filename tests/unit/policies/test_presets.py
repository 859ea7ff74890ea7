"""Named variants of HERMES, and the random control."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import hermes
from hermes.policies import POLICIES
from hermes.policies.presets import ABLATIONS, PRESETS, preset_of
from hermes.policies.random_keep import lots

BUDGET = 64


def run(model, noise_frames, policy):
    session = hermes.StreamSession(model, policy)
    session.push(*noise_frames)
    return session.snapshot()


def test_every_ablation_keeps_the_budget_and_keeps_something_else(tiny_model, noise):
    frames = noise(48)
    plain = run(tiny_model, frames, preset_of("hermes").make(BUDGET))
    for preset in ABLATIONS:
        snapshot = run(tiny_model, frames, preset.make(BUDGET))
        assert max(snapshot.kept_per_layer) == BUDGET
        assert not np.array_equal(snapshot.frame, plain.frame), preset.name
        assert preset.about.endswith(".")


def test_presets_have_names_of_their_own():
    assert len(PRESETS) == len(ABLATIONS) + 1  # the released settings
    assert set(PRESETS) & set(POLICIES) == {"random-keep"}  # a policy without changed settings
    assert preset_of("hermes-no-summary").make(100).summary is False
    assert preset_of("hermes-embedding").make().guidance == "embedding"
    assert preset_of("full").make(100).name == "full"
    with pytest.raises(hermes.HermesError, match=r"no policy or preset “best”\. Available: hermes, "):
        preset_of("best")


def test_lots_are_even_and_differ_by_layer_seed_and_draw():
    frame, patch = torch.arange(4000) // 16, torch.arange(4000) % 16
    zero = torch.tensor(0)
    drawn = lots(frame, patch, 0, 0, zero)
    assert drawn.unique().numel() > 3990
    assert torch.histc(drawn, 10, 0, 1).sub(400).abs().max() < 80  # 4 standard deviations of a fair draw are 76
    assert torch.equal(drawn, lots(frame, patch, 0, 0, zero))
    for other in (lots(frame, patch, 1, 0, zero), lots(frame, patch, 0, 1, zero), lots(frame, patch, 0, 0, zero + 1)):
        correlation = torch.corrcoef(torch.stack((drawn, other)))[0, 1]
        assert abs(correlation) < 0.07


def test_random_numbers_per_token_retain_all_moments_equally_and_new_ones_forget_old_moments(tiny_model, noise):
    held = {}
    for way in ("once a token", "at every eviction"):
        session = hermes.StreamSession(tiny_model, "random-keep", BUDGET, changed={"lots": way})
        frames, times = noise(160)
        session.push(frames, times)
        held[way] = session.snapshot().kept.sum(0).reshape(2, 80).sum(1) / (10 * BUDGET)
    assert 0.4 < held["once a token"][0] < 0.6  # ten layers of 64 lots: a fair half, within five standard deviations
    assert held["at every eviction"][0] < 0.15


def test_a_longer_stream_only_takes_away(tiny_model, noise):
    """If random numbers are drawn once per token, evicted tokens never return."""
    session = hermes.StreamSession(tiny_model, "random-keep", BUDGET)
    frames, times = noise(64)
    session.push(frames[:32], times[:32])
    before = session.snapshot().kept
    session.push(frames[32:], times[32:])
    assert (session.snapshot().kept[:, :32] <= before).all()
