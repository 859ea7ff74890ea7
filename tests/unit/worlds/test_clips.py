"""The bundled clips: they decode, are small, match their truth files, and can be reproduced."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hermes.cards.clip_recipes import RECIPES
from hermes.cards.clips import clip_events, clip_frames, clip_questions, write_clip
from hermes.cards.timeline import COLOURS, PLACES, SHAPES
from hermes.cli import main
from hermes.errors import HermesError
from hermes.ground_truth import GroundTruth
from hermes.things import clip_recipes as things
from hermes.things.clips import clip_events as object_events
from hermes.things.clips import clip_frames as object_frames
from hermes.things.clips import clip_questions as object_questions
from hermes.things.objects import BY_NAME
from hermes.video import probe, sample
from hermes.worlds import street_clip
from ui.player.clips import read_clips

CLIPS = Path(__file__).parents[3] / "assets" / "clips"
INDEX = json.loads((CLIPS / "index.json").read_text(encoding="utf-8"))
NAMES = [entry["name"] for entry in INDEX["clips"]]
RECIPES_BY_NAME = {recipe.name: recipe for recipe in (*RECIPES, *things.RECIPES)}
CARDS = [recipe.name for recipe in RECIPES]
RENDERED = [name for name in NAMES if name != street_clip.NAME]


def truth(name: str) -> dict:
    return json.loads((CLIPS / f"{name}.json").read_text(encoding="utf-8"))


def test_at_least_six_clips_and_nothing_unlisted():
    assert len(NAMES) >= 6
    assert {file.stem for file in CLIPS.glob("*.webm")} == set(NAMES) == {*RECIPES_BY_NAME, street_clip.NAME}


@pytest.mark.parametrize("name", NAMES)
def test_file_is_small_and_decodes(name):
    about, path = truth(name), CLIPS / f"{name}.webm"
    assert path.stat().st_size < 2_000_000
    info = probe(path)
    assert info.duration == pytest.approx(about["seconds"], abs=1 / about["fps"])
    assert (info.width, info.height, info.fps) == (about["width"], about["height"], about["fps"])
    sampler = sample(path, about["fps"])
    times = [at for _, at in sampler]
    assert times == pytest.approx(np.arange(round(about["seconds"] * about["fps"])) / about["fps"], abs=0.002)
    assert (sampler.skipped, sampler.ended_early) == (0, False)


@pytest.mark.parametrize("name", RENDERED)
def test_truth_is_well_formed(name):
    about = truth(name)
    assert about["title"]
    assert about["description"].endswith((".", "?"))
    assert "MIT" in about["licence"]
    assert about["events"]
    for event in about["events"]:
        if name in CARDS:
            assert (event["colour"] in COLOURS, event["shape"] in SHAPES) == (True, True)
            assert event["what"] == f"{event['colour']} {event['shape']}"
        else:
            assert BY_NAME[event["object"].replace(" ", "-")].category == event["category"]
            assert event.get("later", "top") in PLACES
        assert event["where"] in PLACES
        assert 0 <= event["start"] < event["end"] <= about["seconds"]
    assert all(a["end"] <= b["start"] for a, b in itertools.pairwise(about["events"]))
    assert len(about["questions"]) >= 5
    known = GroundTruth(about["events"], about["fps"])
    for question in about["questions"]:
        found = known.answer(question["text"], question["at"])
        assert (found is None) if question["kind"] == "other" else (found.answer == question["answer"])
        start, end = question["evidence"]
        assert 0 <= start < end <= question["at"] + 1 / about["fps"]
        assert question["at"] < about["seconds"]
        assert question["answer"].endswith(".")


def test_the_real_clip_has_a_licence_and_questions_but_no_truth(tmp_path):
    about = truth(street_clip.NAME)
    assert (about["events"], about["licence"]) == ([], street_clip.LICENCE)
    assert [(q["text"], q["at"]) for q in about["questions"]] == list(street_clip.QUESTIONS)
    assert not any("answer" in question for question in about["questions"])
    clip = next(clip for clip in read_clips(CLIPS) if clip.id == street_clip.NAME)
    assert clip.world == "", "the model for uploads and cameras is used"
    assert main(["clips", str(tmp_path), "--only", street_clip.NAME]) == 2
    film = CLIPS / "quick-tour.webm"
    assert main(["clips", str(tmp_path), "--only", street_clip.NAME, "--street", str(film)]) == 0
    info = probe(tmp_path / "street.webm")
    assert (info.width, info.height, info.fps) == (*street_clip.SIZE, street_clip.FPS)


@pytest.mark.parametrize("name", CARDS)
def test_pictures_match_the_truth(name):
    """Where a frame differs most from the clip's background, there the card is."""
    about = truth(name)
    picture_of = {
        round(at, 2): frame.astype(np.float32)
        for frame, at in sample(CLIPS / f"{name}.webm", about["fps"], max_side=96)
    }
    background = np.median(np.stack(list(picture_of.values())), axis=0)
    right = 0
    for event in about["events"]:
        middle = np.floor((event["start"] + event["end"]) / 2 * about["fps"]) / about["fps"]
        change = np.abs(picture_of[round(float(middle), 2)] - background).mean(-1)
        cells = [cell.mean() for row in np.array_split(change, 3) for cell in np.array_split(row, 3, axis=1)]
        right += PLACES[int(np.argmax(cells))] == event["where"]
    assert right >= 0.7 * len(about["events"])  # an arm or an object before a card may change more than the card


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_truth_files_match_the_recipe(recipe):
    about = truth(recipe.name)
    events = [(e.colour, e.shape, e.place, e.start / recipe.fps) for e in clip_events(recipe).events]
    assert events == [(e["colour"], e["shape"], e["where"], e["start"]) for e in about["events"]]
    answers = [(q.text, q.answer, list(q.evidence), at) for q, at in clip_questions(recipe)]
    assert answers == [(q["text"], q["answer"], q["evidence"], q["at"]) for q in about["questions"]]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_shipped_pictures_equal_the_recipe(recipe):
    check_first_frames(recipe, clip_frames(recipe))


def check_first_frames(recipe, frames):
    drawn = itertools.islice(frames, 6)
    for picture, (shipped, _) in zip(drawn, sample(CLIPS / f"{recipe.name}.webm", recipe.fps), strict=False):
        assert np.abs(picture.astype(int) - shipped).mean() < 6  # tolerance for compression


@pytest.mark.parametrize("recipe", things.RECIPES, ids=lambda recipe: recipe.name)
def test_clips_of_objects_match_their_recipe(recipe):
    about = truth(recipe.name)
    moves = [(e["object"], e["where"], e["start"], e.get("moved"), e.get("later")) for e in about["events"]]
    assert moves == [(one.name, one.place, one.start, one.moved, one.later or None) for one in recipe.shown]
    assert [event.name for event in object_events(recipe)] == [one.name for one in recipe.shown]
    answers = [(text, known.answer, list(known.evidence), at) for text, known, at in object_questions(recipe)]
    assert answers == [(q["text"], q["answer"], q["evidence"], q["at"]) for q in about["questions"]]
    check_first_frames(recipe, object_frames(recipe))
    with pytest.raises(HermesError, match="no well-defined answer"):
        object_questions(replace(recipe, questions=(("Where was the zebra?", 10.0),)))


@pytest.mark.parametrize("renderer", ["training", "held-out", "paper"])
def test_making_a_clip_again_gives_the_same_bytes(tmp_path, renderer):
    recipe = replace(
        RECIPES[0], seconds=4.0, renderer=renderer, questions=(("now", "What is shown now?", 3.0),), size=(64, 48)
    )
    contents = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        write_clip(recipe, folder)
        contents.append({file.name: file.read_bytes() for file in folder.iterdir()})
    assert set(contents[0]) == {"quick-tour.webm", "quick-tour.json"}
    assert contents[0] == contents[1]
    write_clip(replace(recipe, seed=99), tmp_path / "a")
    assert (tmp_path / "a/quick-tour.webm").read_bytes() != contents[1]["quick-tour.webm"]


def test_a_question_without_a_true_answer_is_refused():
    recipe = replace(RECIPES[0], questions=(("place", "Where was the purple star?", 10.0),))
    with pytest.raises(HermesError, match="no well-defined answer"):
        clip_questions(recipe)
