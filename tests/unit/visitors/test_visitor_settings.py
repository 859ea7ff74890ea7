"""The settings of a visitor: when changes apply, their marks on the time axis, and the panel of policy settings."""

from __future__ import annotations

import threading

import pytest
import tiny
from held import Held, underway
from patience import PATIENCE, until
from visitors import playing

from hermes import trace
from hermes.errors import HermesError


def test_settings_report_what_applies(make_visitor):
    visitor = playing(make_visitor)
    assert visitor.change() == []
    assert "next chunk" in " ".join(visitor.change(policy="sliding-window"))
    assert visitor.poll(None, -1)[0]["about"]["policy"]["name"] == "sliding-window"
    kept = visitor.settings
    for wrong in (
        {"budget": 0},
        {"fps": 0.0},
        {"fps": 5e-324},
        {"speed": 5e-324},
        {"model": "/nowhere/at-all"},
        {"policy": "no-such"},
    ):
        with pytest.raises(HermesError):
            visitor.change(**wrong)
        assert visitor.settings == kept
    assert visitor.poll(None, -1)[0]["state"] == "playing"


def test_changes_are_marked_on_the_time_axis_live_and_in_a_recording(make_visitor):
    visitor = playing(make_visitor)
    visitor.record()
    until(lambda: visitor.poll(None, -1)[0]["recording"]["moments"])
    visitor.transport("pause")
    visitor.change(budget=48)
    seen = visitor.stream.view().snapshot.frames_seen  # up to date, because a change publishes it
    visitor.change(policy="sliding-window", budget=40)
    visitor.change(speed=8.0)
    first, second = visitor.poll(None, -1)[1]["marks"]
    assert first == (seen, "budget 64 → 48")
    assert second == (seen, "policy HERMES → Sliding window, budget 48 → 40")
    visitor.transport("resume")
    until(lambda: visitor.poll(None, -1)[0]["frames"] > seen)
    acknowledged = visitor.poll(None, -1)[1]["seq"]
    visitor.change(budget=32)
    message = visitor.poll(acknowledged, -1)[1]
    assert (message["base"], len(message["marks"])) == (acknowledged, 3)
    visitor.stop_recording()
    (path,) = visitor.files.path.rglob("*.hermesrun")
    run = trace.read(path)
    assert run.changes[0].before == ("hermes", 64)
    assert run.changes[-1].after[0] == "sliding-window"
    visitor.open_run(run, play=False)
    words = [text for _, text in visitor.poll(None, -1)[1]["marks"]]
    assert words[0].startswith("policy hermes → sliding-window, budget 64 → ")
    visitor.start(visitor.source({"kind": "clip", "id": "film"}))
    until(lambda: visitor.poll(None, -1)[1])
    assert "marks" not in visitor.poll(None, -1)[1], "a new memory starts without marks"


def test_a_setting_is_tried_before_and_while_a_clip_plays(make_visitor):
    visitor = make_visitor()
    payload = visitor.try_it({"name": "smoothing", "value": False})
    assert payload["notice"] == "Applies when you press Start."
    assert [setting["name"] for setting in payload["settings"] if setting["changed"]] == ["smoothing"]
    visitor.start(visitor.source({"kind": "clip", "id": "film"}))
    until(lambda: visitor.poll(None, -1)[0]["frames"] >= 4)
    assert visitor.poll(None, -1)[0]["about"]["policy"]["badge"] == "1 setting changed"
    payload = visitor.try_it({"name": "tiers", "value": "all sensory"})
    assert payload["notice"] == "The change applies at the next eviction. Evicted tokens are not restored."
    assert visitor.settings.changed == (("smoothing", False), ("tiers", "all sensory"))
    refused = visitor.try_it({"name": "alpha_sensory", "value": 9})
    assert refused["bad"]
    assert "at most 1" in refused["notice"]
    assert visitor.settings.changed == (("smoothing", False), ("tiers", "all sensory"))
    assert visitor.try_it({"reset": True})["changed"] == []
    assert visitor.poll(None, -1)[0]["about"]["policy"]["badge"] == "original method, no training"


def test_another_policy_begins_with_its_own_defaults(make_visitor):
    visitor = make_visitor(changed=(("smoothing", False),))
    assert visitor.try_it({})["changed"] != []
    visitor.change(policy="sliding-window")
    assert visitor.settings.changed == ()
    assert visitor.try_it({})["policy"]["name"] == "sliding-window"


def test_a_change_keeps_what_is_changed_while_its_model_is_loaded(make_visitor, monkeypatch, engine, tmp_path):
    other = str(tiny.llava_onevision(tmp_path, seed=1))
    engine.load(other)
    visitor = make_visitor()
    loading = Held(visitor._loader.ensure)
    monkeypatch.setattr(visitor._loader, "ensure", loading)
    with underway(loading, lambda: visitor.change(model=other)):
        visitor.change(budget=48)
        visitor.try_it({"name": "smoothing", "value": False})
    now = visitor.settings
    assert (now.model, now.budget, now.changed) == (other, 48, (("smoothing", False),))


def test_settings_of_a_policy_that_change_at_the_same_time_are_both_kept(make_visitor, monkeypatch):
    visitor = make_visitor()
    changing = Held(visitor.change)
    monkeypatch.setattr(visitor, "change", changing)
    first = threading.Thread(target=lambda: visitor.try_it({"name": "smoothing", "value": False}))
    second = threading.Thread(target=lambda: visitor.try_it({"name": "tiers", "value": "all sensory"}))
    first.start()
    assert changing.entered.wait(PATIENCE)
    second.start()
    changing.go_on.set()
    for thread in (first, second):
        thread.join(PATIENCE)
    assert visitor.settings.changed == (("smoothing", False), ("tiers", "all sensory"))
