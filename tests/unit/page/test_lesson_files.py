"""Lesson files name only existing parts, mistakes are reported with their place, and conditions and figures are parsed."""

from __future__ import annotations

import copy
import json
import math

import pytest

from hermes.assets import ASSETS, LESSONS
from hermes.policies import POLICIES
from ui.board.cells import MODES
from ui.lessons.conditions import ConditionError, fill, holds, names_in, write
from ui.lessons.glossary import GlossaryError, forms_of, read_glossary
from ui.lessons.metrics import FIGURES, Sight, card_accuracy, card_newest
from ui.lessons.model import Known, LessonError
from ui.lessons.reader import read_lesson, read_lessons

FILES = sorted(LESSONS.glob("*.json"))


def clips():
    listed = json.loads((ASSETS / "clips" / "index.json").read_text("utf-8"))["clips"]
    return {clip["name"]: clip["seconds"] for clip in listed}


def runs():
    return {path.stem for path in (ASSETS / "runs").glob("*.hermesrun")}


@pytest.fixture(scope="module")
def known():
    return Known(clips(), runs(), POLICIES, MODES, forms_of(read_glossary(ASSETS / "glossary.json")))


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_every_lesson_refers_to_existing_parts(path, known):
    lesson = read_lesson(path, known)
    for step in lesson.steps:
        for name, given in step.figures.items():
            used = [choice.right for choice in step.choices] + [say.condition + say.text for say in step.reveal]
            later = [c.right + s.text for other in lesson.steps for c in other.choices for s in other.reveal]
            assert any(name in text for text in used + (later if name in step.keep else [])), f"{name} is never used"
            assert given["of"] in FIGURES


def test_they_are_numbered_from_one(known):
    lessons = read_lessons(LESSONS, known)
    assert [lesson.number for lesson in lessons] == list(range(1, len(lessons) + 1))
    assert len(lessons) >= 8


def set_in(data, path, value):
    for part in path[:-1]:
        data = data[part]
    data[path[-1]] = value


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("steps", 0, "do", 0, "clip"), "no-such", "step 1: there is no clip “no-such”"),
        (("steps", 0, "do", 0, "settings", "policy"), "magic", "there is no policy “magic”"),
        (("steps", 2, "do", 0, "settings", "alpha"), 2, "no setting “alpha”"),
        (("steps", 0, "do", 0, "speed"), 3, "the speed 3 is not one of 1, 2, 4, 0"),
        (("steps", 0, "do", 0, "do"), "jump", "the action “jump” is not one of"),
        (("steps", 0, "do", 0), {"do": "run", "label": "x", "run": "nowhere"}, "there is no run “nowhere”"),
        (("steps", 0, "point", "view"), "moon", "the page has no part “moon”"),
        (("steps", 0, "point", "mode"), "mood", "the layers have no mode “mood”"),
        (("steps", 0, "text", 0), "a [[gizmo]]", "“gizmo” is not in the glossary"),
        (("steps", 0, "figures", "held", "of"), "weight", "metric “held” has the unknown type “weight”"),
        (("steps", 0, "figures", "held", "tier"), "upper", "unknown tier “upper”"),
        (("steps", 0, "figures", "held"), {"of": "held"}, "metric “held” lacks “event”"),
        (("steps", 0, "predict", "choices", 0, "right"), "heldd > 1", "compares “heldd”"),
        (("steps", 0, "predict", "choices", 0, "right"), "held >> 1", "is not a valid condition"),
        (("steps", 0, "reveal", 0), "It is {weight}.", "shows “weight”"),
        (("steps", 0, "wait", "seconds"), 5000, "second 5000 of a clip that is 90 s long"),
        (("steps", 0, "needs"), ["policy:magic"], "no text for pages without it"),
        (("steps", 0, "extra"), 1, "the step has the unknown key “extra”"),
        (("id",), "other", "its id “other” differs from its file name"),
    ],
)
def test_errors_name_their_location(path, value, message, tmp_path, known):
    data = copy.deepcopy(json.loads((LESSONS / "eviction.json").read_text("utf-8")))
    set_in(data, path, value)
    file = tmp_path / "eviction.json"
    file.write_text(json.dumps(data), "utf-8")
    with pytest.raises(LessonError, match="Lesson “eviction”") as problem:
        read_lesson(file, known)
    assert message in str(problem.value)


def test_a_step_may_refer_to_a_missing_part_that_it_requires(tmp_path, known):
    data = json.loads((LESSONS / "eviction.json").read_text("utf-8"))
    data["steps"][2] |= {"needs": ["policy:magic"], "without": "There is no magic here."}
    data["steps"][2]["do"][0]["settings"] = {"policy": "magic", "wand": 3}
    file = tmp_path / "eviction.json"
    file.write_text(json.dumps(data), "utf-8")
    assert read_lesson(file, known).steps[2].without == "There is no magic here."


def test_conditions():
    figures = {"a": 3.0, "b": 1.0, "word": "right", "none": math.nan}
    assert holds("a > 2 * b", figures)
    assert not holds("a > 4 * b", figures)
    assert holds("a >= 3 and b < 2 and word == 'right'", figures)
    assert not holds("a > b and word == 'wrong'", figures)
    assert not holds("none < 5", figures)
    assert not holds("none >= 5", figures)
    assert not holds("word > 3", figures)
    assert names_in("a > 2 * b and word == 'c'") == {"a", "b", "word"}
    with pytest.raises(ConditionError):
        names_in("a >")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (16, "count", "16"), (14400.0, "count", "14,400"), (5120, "bytes", "5.12 kB"), (40_461_926_400, "bytes", "40.5 GB"),
        (0.823, "share", "82 %"), (0.0213, "share", "2.1 %"), (0.0004, "share", "under 0.1 %"), (36.7, "times", "37 times"),
        (7.43, "ms", "7.4 ms"), (942, "seconds", "15:42"), (math.nan, "ms", "nothing to measure"), ("", "text", "nothing"),
        (0.0, "share", "0 %"), (1.0, "share", "100 %"), (126_000_000, "bytes", "126 MB"),
    ],
)  # fmt: skip
def test_figures_are_written_for_people(value, unit, text):
    assert write(value, unit) == text


def test_figures_are_set_in_bold():
    assert fill("It is {size}, and {size}.", {"size": "5 kB"}) == "It is **5 kB**, and **5 kB**."


def test_the_card_is_read_and_not_repeated_by_hand():
    payload = json.loads((ASSETS / "pocket" / "evaluation.json").read_text("utf-8"))
    rows = [
        row for row, tier in zip(payload["attention"]["share"], payload["attention"]["tiers"], strict=True) if tier == 0
    ]
    assert card_newest(Sight(), "sensory", 4) == pytest.approx(sum(sum(row[:4]) for row in rows) / len(rows))
    one = next(
        r for r in payload["results"]["policies"] if r["setup"]["policy"] == "hermes" and r["setup"]["budget"] == 512
    )
    assert card_accuracy(Sight(), "first", "hermes", 512) == one["kinds"]["first"]["accuracy"]
    assert math.isnan(card_accuracy(Sight(), "first", "hermes", 513))


def test_a_glossary_without_a_meaning_is_refused(tmp_path):
    file = tmp_path / "glossary.json"
    file.write_text('{"terms": [{"term": "a", "meaning": " "}]}')
    with pytest.raises(GlossaryError, match="“a” has no meaning"):
        read_glossary(file)
    file.write_text('{"terms": [{"term": "a", "meaning": "x"}, {"term": "b", "forms": ["A"], "meaning": "y"}]}')
    with pytest.raises(GlossaryError, match="Two entries"):
        read_glossary(file)
