"""The panel of policy settings: built from the policy's list, with changes marked."""

from __future__ import annotations

import json

import pytest

import hermes
from hermes.memory.tiers import LLAVA_ONEVISION, QWEN2_5_VL
from hermes.policies import POLICIES
from hermes.policies.presets import changes_of
from hermes.view import StreamSettings
from ui.settings.policy_settings import badge_of, changed_settings, panel, title_of

HERMES = POLICIES["hermes"]
SETTINGS = HERMES.settings_for(LLAVA_ONEVISION)
PRESETS = changes_of("hermes")


def wish(now=(), **wanted):
    return changed_settings(SETTINGS, PRESETS, now, wanted)


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_gets_its_panel(name):
    policy = POLICIES[name]
    payload = panel(policy, policy.settings_for(LLAVA_ONEVISION), changes_of(name), StreamSettings(policy=name))
    assert json.loads(json.dumps(payload, allow_nan=False)) == payload
    assert [setting["name"] for setting in payload["settings"]] == [setting.name for setting in policy.settings]
    assert not any(setting["changed"] for setting in payload["settings"])
    assert payload["changed"] == []


def test_a_setting_is_set_put_back_and_all_are_put_back():
    one = wish(name="smoothing", value=False)
    assert one == (("smoothing", False),)
    two = wish(one, name="alpha_sensory", value=0.5)
    assert two == (("smoothing", False), ("alpha_sensory", 0.5))
    assert wish(two, name="alpha_sensory", value=1) == one  # the published value is no change
    assert wish(two, name="smoothing", reset=True) == (("alpha_sensory", 0.5),)
    assert wish(two, reset=True) == ()
    assert wish(two) == two


def test_a_preset_takes_the_place_of_other_changes():
    assert wish((("alpha_sensory", 0.5),), preset="hermes-no-summary") == (("summary", False),)
    assert {preset.name for preset in PRESETS} == {
        "released", "hermes-no-smoothing", "hermes-no-summary", "hermes-all-sensory", "hermes-all-working",
        "hermes-all-long-term",
    }  # fmt: skip
    payload = panel(HERMES, SETTINGS, PRESETS, StreamSettings(changed=(("summary", False),)))
    assert [preset["title"] for preset in payload["presets"] if preset["on"]] == ["without summary"]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"name": "colour", "value": 1}, "no such setting"),
        ({"name": "alpha_sensory", "value": 7}, "at most 1"),
        ({"name": "alpha_sensory", "value": "x"}, "must be a number"),
        ({"name": "smoothing", "value": "<b>"}, "on or off"),
        ({"name": "prompt_local", "value": "x" * 500}, "500 characters"),
        ({"preset": "best"}, "no such preset"),
    ],
)
def test_requests_that_the_browser_must_not_send(wanted, message):
    with pytest.raises(hermes.HermesError, match=message):
        wish(**wanted)


def test_the_published_value_is_that_of_the_models_family():
    payload = panel(HERMES, HERMES.settings_for(QWEN2_5_VL), (), StreamSettings())
    (top,) = (setting for setting in payload["settings"] if setting["name"] == "alpha_working_top")
    assert (top["value"], top["default"]) == (0.75, "paper: 0.75")
    assert payload["defaults"] == "the defaults"  # wording and decoding are not the paper's
    sink = POLICIES["attention-sink"]
    assert panel(sink, sink.settings, (), StreamSettings())["defaults"] == "the paper’s values"


def test_a_changed_policy_is_no_longer_called_published():
    assert badge_of(HERMES, ()) == "original method, no training"
    assert badge_of(HERMES, (("smoothing", False),)) == "1 setting changed"
    assert title_of(HERMES, ()) == "HERMES"
    assert title_of(HERMES, (("smoothing", False), ("alpha_sensory", 0.5), ("k_sensory", 1.0))) == (
        "HERMES (Smoothing across layers off, α sensory 0.5 and 1 more)"
    )
