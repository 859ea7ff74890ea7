"""Captions of recorded runs state what their data contains, at every moment."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from hermes import trace
from hermes.analysis.metrics import kept_start
from hermes.assets import RUNS
from hermes.bundled import lab_runs, runs
from hermes.bundled.captions import caption, caption_of, lab_caption
from hermes.trace import RunTurn
from ui.runs.replay import Replay

RECIPES = {recipe.id: recipe for recipe in runs.read_recipes()}
LABS = {recipe.id: recipe for recipe in lab_runs.read_recipes()}


@pytest.mark.parametrize("name", RECIPES)
def test_the_stored_caption_is_that_of_the_opening_moment(name, bundled_runs):
    run = bundled_runs[name]
    assert run.head.look == caption(run, RECIPES[name].open_at)
    assert Replay(run, RECIPES[name].open_at).caption == run.head.look


@pytest.mark.parametrize("name", LABS)
def test_a_lab_caption_states_what_each_memory_holds(name):
    run = trace.read_lab(LABS[name].path(RUNS), trusted=True)
    assert run.head.look == lab_caption(run, LABS[name].open_at)
    event = run.head.events[0]
    for lane, part in zip(run.lanes, re.split(", (?=[A-Z])| and (?=[A-Z])", run.head.look)[1:], strict=True):
        shot = lane.view(LABS[name].open_at).snapshot
        shown = (shot.frame_times >= event["start"]) & (shot.frame_times < event["end"])
        most = shot.kept[:, shown].mean(axis=1).max()
        title, held = part.rstrip(".").split(" holds ")
        assert title == lane.head.policy["title"]
        assert held == {0: "none", 16: "all"}.get(most, f"at most {most:.1f} in a layer")


@pytest.mark.parametrize("seconds", [57, 75, 89.5])
def test_the_opening_run_names_the_layers_that_hold_the_card_and_the_first_second(seconds, bundled_runs):
    run = bundled_runs["first-card-hermes"]
    shot, message = run.view(seconds).snapshot, caption(run, seconds)
    first = run.events[0]
    card = (shot.frame_times >= first["start"]) & (shot.frame_times < first["end"])
    low, _, high = re.search(r"Long-term layers 7–9 hold (\d+)(–(\d+))? of 16 tokens", message).groups()
    means = shot.kept[7:][:, card].mean(axis=1)
    assert (int(low), int(high or low)) == (round(means.min()), round(means.max()))
    assert "the red triangle (0:01–0:04), and the last answer used it." in message
    start = np.flatnonzero(shot.kept[:, :2].mean(axis=1) >= 8)
    named = [
        int(n) for n in re.findall(r"\d+", re.search(r"Layers ([\d–, and]+) also keep the first second", message)[1])
    ]
    assert (named[0], named[-1]) == (start[0], start[-1])


def test_captions_of_other_runs(bundled_runs):
    window, small = bundled_runs["first-card-window"], bundled_runs["small-memory"]
    newest = int((window.view(89.5).snapshot.kept[0] > 0).sum())
    assert caption(window, 89.5).startswith(
        f"Every layer holds only the newest {newest} frames, from 1:14 on. No layer"
    )
    assert caption(window, 89.5).endswith("the last answer, “Blue square.”, is wrong.")
    assert "2 of 3 repeated answers are now wrong." in caption(small, small.seconds)
    assert caption(bundled_runs["first-card-hermes"], 21).startswith(
        "Long-term layers 7–9 hold all 16 tokens per frame of the red"
    )
    assert caption(bundled_runs["half-hour"], 0) == ""  # before the first card


def test_a_fact_that_does_not_hold_is_not_stated(bundled_runs):
    run = bundled_runs["first-card-hermes"]
    shot = run.view(57).snapshot
    assert caption_of(shot, (), run.chat) == ""
    emptied = replace(shot, kept=np.zeros_like(shot.kept), answer=None)
    lost = sum(event["end"] <= shot.seconds for event in run.events)
    gone = f"{lost} of the {lost} cards so far are gone from every layer."
    assert caption_of(emptied, run.events, ()) == f"No layer holds the red triangle (0:01–0:04) any longer. {gone}"
    whole = replace(shot, kept=np.full_like(shot.kept, 16))
    assert "first second" not in caption_of(whole, run.events, ())
    assert kept_start(whole).layers == ()
    again = [RunTurn("First?", "Red.", 1, 1, truth="Red."), RunTurn("First?", "Blue.", 9, 9, truth="Red.")]
    assert "1 of 1 repeated answers is now wrong." in caption_of(shot, run.events, again)


def test_what_the_descriptions_say_about_the_clips_is_true(bundled_runs):
    card = bundled_runs["first-card-hermes"].events[0]
    assert (card["colour"], card["shape"], round(card["end"] - card["start"])) == ("red", "triangle", 3)
    small = bundled_runs["small-memory"]
    assert (len(small.events), round(small.seconds)) == (25, 40)
    assert bundled_runs["half-hour"].seconds / 60 == pytest.approx(30, abs=0.1)
    for run in bundled_runs.values():
        for frames in re.findall(r"as many (?:tokens )?as (\d+) frames have", run.about):
            assert int(frames) * run.view(0).snapshot.tokens_per_frame == run.settings.budget


def test_the_start_of_a_stream_is_kept_because_guidance_attends_to_it(bundled_runs):
    kept = kept_start(bundled_runs["first-card-hermes"].view(57).snapshot)
    assert (kept.frames, kept.layers) == (2, (0, 1, 2, 3, 4, 5, 9))
    assert kept.ratio_layer == 4
    assert kept.ratio == pytest.approx(4.99, abs=0.01)
    assert kept_start(bundled_runs["first-card-window"].view(57).snapshot).layers == ()
