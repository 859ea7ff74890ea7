"""Settings of a policy: valid values, and changes that apply to a running stream at its next eviction."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

import hermes
from hermes.cli import main
from hermes.memory.tiers import (
    LLAVA_ONEVISION,
    LONG_TERM,
    QWEN2_5_VL,
    SENSORY,
    WORKING,
    layer_constants,
    rule_of_layers,
)
from hermes.policies import POLICIES, make_policy
from hermes.policies.hermes import Hermes
from hermes.policies.hermes_settings import settings_with, with_changes
from hermes.policies.settings import Setting, SettingError, only_changed, parse_assignments
from hermes.serving.engine import Engine
from hermes.view import StreamSettings

SWITCH = Setting("fold", "Fold", "Folds.", "switch", default=True)
SHARE = Setting("share", "Share", "A share.", "number", 0.5, low=0.0, high=1.0)
WHOLE = Setting("window", "Window", "Frames.", "number", 4, low=1)
CHOICE = Setting("mode", "Mode", "A mode.", "choice", "lazy", choices=("lazy", "eager"))
TEXT = Setting("prompt", "Prompt", "A prompt.", "text", "", high=20)
ALL = (SWITCH, SHARE, WHOLE, CHOICE, TEXT)


@pytest.mark.parametrize(
    ("setting", "typed", "value"),
    [
        (SWITCH, "off", False),
        (SWITCH, " Yes ", True),
        (SHARE, "0.25", 0.25),
        (WHOLE, "7", 7),
        (CHOICE, "eager", "eager"),
        (TEXT, "  what \n was\x00 there  ", "what was there"),
    ],
)
def test_typed_text_becomes_a_value(setting, typed, value):
    parsed = setting.parse(typed)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("setting", "typed", "message"),
    [
        (SWITCH, "maybe", "must be on or off"),
        (SHARE, "much", "must be a number"),
        (SHARE, "1.5", "at least 0 and at most 1, not 1.5"),
        (SHARE, "nan", "finite"),
        (WHOLE, "2.5", "whole number"),
        (WHOLE, "0", "must be at least 1, not 0"),
        (CHOICE, "later", "must be lazy or eager, not “later”"),
        (TEXT, "x" * 21, "21 characters; at most 20"),
    ],
)
def test_models_that_do_not_fit_are_rejected(setting, typed, message):
    with pytest.raises(SettingError, match=message):
        setting.parse(typed)


def test_assignments_and_changes():
    assert parse_assignments(ALL, ["share=1", "fold=off", "share=0.5"], "p") == {"share": 0.5, "fold": False}
    assert only_changed(ALL, {"share": 0.5, "mode": "eager", "fold": False}, "p") == (
        ("fold", False),
        ("mode", "eager"),
    )
    with pytest.raises(SettingError, match="name=value"):
        parse_assignments(ALL, ["share"], "p")
    with pytest.raises(SettingError, match=r"“p” has no setting “size”. Available: fold, share, window, mode, prompt"):
        parse_assignments(ALL, ["size=1"], "p")


@pytest.mark.parametrize("name", POLICIES)
def test_every_setting_of_a_policy_is_a_field_with_the_same_default(name):
    defaults = {item.name: item.default for item in fields(POLICIES[name])}
    for setting in POLICIES[name].settings:
        assert setting.name in defaults
        assert defaults[setting.name] in (setting.default, None)
        assert setting.checked(setting.default) == setting.default
        assert setting.label
        assert setting.about.endswith(".")
    assert make_policy(name).changed() == {}


def test_a_policy_takes_its_own_settings_only():
    assert make_policy("hermes", alpha_sensory=0.5, smoothing=False).changed() == {
        "smoothing": False,
        "alpha_sensory": 0.5,
    }
    with pytest.raises(SettingError, match="sliding-window” has no setting “smoothing”"):
        make_policy("sliding-window", smoothing=False)
    with pytest.raises(SettingError, match="at most 1"):
        make_policy("hermes", alpha_sensory=3)
    assert make_policy("full", budget=10, guidance="embedding").budget == -1  # what a stream hands to every policy


@pytest.mark.parametrize("family", [LLAVA_ONEVISION, QWEN2_5_VL])
def test_defaults_are_the_published_constants_and_change_nothing(family):
    values = {s.name: s.default for s in settings_with(family) if s.kind == "number"}
    old, new = layer_constants(family, 28), layer_constants(with_changes(family, values), 28)
    for a, b in zip(old, new, strict=True):
        assert (a.tier, a.alpha, a.k, a.gamma) == pytest.approx((b.tier, b.alpha, b.k, b.gamma))
    assert Hermes().layer_constants(family, 28) == old
    assert settings_with(QWEN2_5_VL)[4].name == "alpha_working_top"
    assert settings_with(QWEN2_5_VL)[4].default == 0.75


def test_a_changed_constant_moves_its_tier_only():
    before = Hermes().layer_constants(LLAVA_ONEVISION, 10)
    after = Hermes(alpha_working_bottom=1.0, gamma_long_term=0.0).layer_constants(LLAVA_ONEVISION, 10)
    assert [c.alpha for c in after] == [1.0] * 7 + [0.0] * 3
    assert [c.gamma for c in after] == [0.1] + [0.3] * 6 + [0.0] * 3
    assert [c.k for c in after] == [c.k for c in before]


def test_rules_of_the_tiers():
    s, w, g = SENSORY, WORKING, LONG_TERM
    assert rule_of_layers(10) == (s, *[w] * 6, *[g] * 3)
    assert rule_of_layers(10, "all sensory") == (s,) * 10
    assert rule_of_layers(10, "no sensory") == (*[w] * 7, *[g] * 3)
    assert rule_of_layers(10, "no long-term") == (s, *[w] * 9)
    assert rule_of_layers(10, "no working") == (*[s] * 4, *[g] * 6)
    constants = layer_constants(LLAVA_ONEVISION, 10, "all working")
    assert [c.alpha for c in constants[:1] + constants[-3:]] == pytest.approx([1.0, 0.1, 0.1, 0.1])
    with pytest.raises(hermes.HermesError, match="no tier rule"):
        rule_of_layers(10, "some")


def kept(session):
    return session.snapshot().kept.copy()


@pytest.mark.parametrize(
    "changed",
    [
        {"smoothing": False},
        {"tiers": "all sensory"},
        {"tiers": "all long-term"},
        {"alpha_sensory": 0.0},
        {"k_working_bottom": 40.0},
        {"gamma_working": 1.0},
        {"prompt_global": "Anything quite different?"},
    ],
)
def test_a_change_takes_hold_at_the_next_eviction_and_can_be_taken_back(tiny_model, noise, changed):
    frames, times = noise(48)
    plain, other = (hermes.StreamSession(tiny_model, budget=64) for _ in range(2))
    for session in (plain, other):
        session.push(frames[:32], times[:32])
    assert np.array_equal(kept(plain), kept(other))
    other.configure(changed=changed)
    assert other.policy.changed() == changed
    assert np.array_equal(kept(plain), kept(other))  # nothing moves before the next frames
    held = other.snapshot().evictions
    for session in (plain, other):
        session.push(frames[32:], times[32:])
    assert len(other.snapshot().evictions) == len(held) + 1
    assert not np.array_equal(kept(plain), kept(other))
    other.configure(budget=48)
    assert other.policy.changed() == changed  # another budget leaves the settings alone
    other.configure(changed={})
    assert other.policy.changed() == {}
    assert other.policy.budget == 48


def test_without_summary_nothing_is_merged(tiny_model, noise):
    session = hermes.StreamSession(tiny_model, budget=64, changed={"summary": False})
    session.push(*noise(40))
    assert sum(int(e.merged.sum()) for e in session.snapshot().evictions) == 0
    everywhere = hermes.StreamSession(tiny_model, budget=64, changed={"tiers": "all long-term"})
    everywhere.push(*noise(40))
    assert all(e.merged.all() for e in everywhere.snapshot().evictions)


def test_eager_reindexing_can_be_set_and_reset(tiny_model, noise):
    session = hermes.StreamSession(tiny_model, budget=64, changed={"reindexing": "eager"})
    session.push(*noise(32))
    assert session.snapshot().evictions[-1].reindexed.all()
    session.configure(changed={})
    assert session.policy.reindexing == "lazy"
    kept_over = hermes.StreamSession(tiny_model, budget=64, reindexing="eager")
    kept_over.configure("sliding-window")
    assert kept_over.policy.reindexing == "eager"


def test_typed_prompts_appear_in_the_snapshot_and_are_limited(tiny_model, noise):
    session = hermes.StreamSession(tiny_model, budget=64, changed={"prompt_local": "Is a cat here?"})
    session.push(*noise(20))
    assert session.snapshot().guidance_prompts == {"local": "Is a cat here?", "global": "What was there?"}
    with pytest.raises(SettingError, match="at most 240"):
        session.configure(changed={"prompt_local": "x" * 241})
    assert session.policy.prompt_local == "Is a cat here?"


def test_prompts_must_leave_room_for_a_question(short_range_model):
    with pytest.raises(hermes.HermesError, match="guidance prompts have"):
        hermes.StreamSession(short_range_model, budget=64, changed={"prompt_local": "x" * 240})


def test_a_saved_session_continues_with_its_settings(tiny_model, noise, tmp_path):
    frames, times = noise(48)
    session = hermes.StreamSession(tiny_model, budget=64, changed={"smoothing": False, "alpha_sensory": 0.5})
    session.push(frames[:32], times[:32])
    session.save(tmp_path / "s")
    again = hermes.StreamSession.load(tmp_path / "s", tiny_model)
    assert again.policy.changed() == session.policy.changed()
    for one in (session, again):
        one.push(frames[32:], times[32:])
    assert np.array_equal(kept(session), kept(again))


def test_a_live_stream_takes_settings_without_a_restart(tiny_model):
    engine = Engine(loader=lambda _name, _progress: tiny_model)
    engine.load("tiny")
    settings = StreamSettings(model="tiny", budget=64, changed=(("smoothing", False),))
    stream = engine.open(settings)
    session = stream._memory.session
    assert session.policy.changed() == {"smoothing": False}
    message = stream.change(replace(settings, changed=(("tiers", "all sensory"),)))
    assert message == ["The change applies at the next eviction. Evicted tokens are not restored."]
    assert stream._memory.session is session
    assert session.policy.changed() == {"tiers": "all sensory"}
    with pytest.raises(SettingError, match="no setting"):
        stream.change(replace(settings, changed=(("colour", "red"),)))
    assert session.policy.changed() == {"tiers": "all sensory"}
    engine.close()


def test_the_command_line_changes_settings(capsys, tiny_folder):
    clip = str(Path(__file__).parents[2] / "data" / "long_groups.mp4")
    asked = ["ask", clip, "--question", "What?", "--model", str(tiny_folder), "--budget", "16", "--json"]
    assert main([*asked, "--set", "tiers=all long-term", "--set", "k_sensory=3"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["changed"] == {"tiers": "all long-term", "k_sensory": 3.0}
    assert main(asked) == 0
    assert json.loads(capsys.readouterr().out)["changed"] == {}
    for wrong, message in (
        ("speed=1", "no setting “speed”. Available: smoothing"),
        ("smoothing", "name=value"),
        ("k_sensory=x", "a number"),
    ):
        assert main([*asked, "--set", wrong]) == 2
        assert message in capsys.readouterr().err


NOT_FROM_A_PAPER = {
    "hermes": {"prompt_local", "prompt_global", "wording", "chat", "answer_prefix", "repetition_penalty"},
    "memstream": {"visible_share", "window", "frames_read", "reindexing"},
    "streamkv": {"kept_share", "most", "window", "frames_read", "archive_memory"},
    "streamingvlm": {"text_sink", "text_window", "video_seconds"},
    "livevlm": {"short_share", "voting_frames", "free_share", "reindexing"},
    "quicksviewer": {"alpha", "length", "side", "reindexing"},
    "videoscan": {"patches", "reindexing"},
    "storm": {"reindexing"},
    "rekv": {"window", "frames_read", "archive_memory"},
    "recurrent-state": {"decay"},
    "infinipot-v": {"target", "newest", "by_change", "reindexing"},
    "token-drop": {"threshold", "reindexing"},
    "h2o": {"reindexing"},
    "snapkv": {"window", "pooling", "reindexing"},
    "snapkv-question": {"window", "pooling"},
    "random-keep": {"lots", "seed", "reindexing"},
}
"""What the publications do not say, or do otherwise than here: known from released code alone, or chosen by us."""
OURS = {
    "memstream": {"visible_share", "window"},
    "livevlm": {"short_share", "voting_frames", "free_share"},
    "quicksviewer": {"length", "side"},
    "recurrent-state": {"decay"},
    "infinipot-v": {"target", "reindexing"},
    "snapkv": {"window"},
    "rekv": {"window"},
    "streamkv": {"most", "window"},
}
"""Of those the ones that no released code says either."""


def test_no_setting_claims_a_source_without_one():
    source = {(name, s.name): s.source for name, policy in POLICIES.items() for s in policy.settings}
    for name, settings in NOT_FROM_A_PAPER.items():
        assert {setting: source[name, setting] for setting in settings if source[name, setting] == "paper"} == {}
    for name, settings in OURS.items():
        assert {source[name, setting] for setting in settings} == {"ours"}, name
    from_papers = {name for (name, _), origin in source.items() if origin == "paper"}
    assert from_papers == {
        "hermes",
        "hermes+",
        "attention-sink",
        "h2o",
        "livevlm",
        "streammem",
        "streamkv",
        "storm",
        "videollamb",
        "videoscan",
    }
