"""True answers to typed questions: generated questions are parsed, and answer and evidence equal the generator's."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hermes.cards.phrases import PHRASES, UNKNOWN_FRAMES
from hermes.cards.questions import ask_all
from hermes.cards.timeline import TEMPOS, Event, make_events
from hermes.cards.truth import read_events, truth_of

CLIPS = Path(__file__).parents[3] / "assets" / "clips"
RED, BLUE, GREEN = (
    Event("red", "circle", "top-left", 2, 5),
    Event("blue", "star", "centre", 7, 10),
    Event("green", "circle", "bottom", 12, 14),
)
EVENTS = [RED, BLUE, GREEN]


@dataclass(frozen=True)
class Told:
    events: list[Event]
    fps: float


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    tempo=st.sampled_from(sorted(TEMPOS)),
    fps=st.sampled_from([1.0, 2.0, 4.0]),
    few=st.booleans(),
)
def test_every_generated_question_has_its_answer_and_evidence(seed, tempo, fps, few):
    rng = np.random.default_rng(seed)
    stream = Told(make_events(rng, 80, TEMPOS[tempo], cards=range(0, 40, 7) if few else None), fps)
    at = int(rng.integers(80))
    for question in ask_all(stream, at, rng, extra=True):
        truth = truth_of(question.text, stream.events, at, fps)
        if question.kind == "other":
            assert truth is None, question.text
            continue
        assert truth is not None, question.text
        assert (truth.kind, truth.answer) == (question.kind, question.answer), question.text
        if truth.kind == "exists" and len(truth.spans) > 1:  # any card of that name is evidence; the question chose one
            assert question.evidence in truth.spans
        else:
            assert truth.evidence == question.evidence, question.text
        for start, end in truth.spans:
            assert truth.every is (truth.kind != "exists")
            assert 0 <= start < end <= (at + 1) / fps


def test_no_phrase_is_understood_in_two_ways():
    plain = [phrase for form, phrases in PHRASES.items() for phrase in phrases if form != "other"]
    assert len(plain) == len(set(plain))


@pytest.mark.parametrize(
    "typed",
    [
        "What was the first card?",
        "what was the first card",
        "  WHAT WAS  the First card ?!",
        "“What was the first card?”",
    ],
)
def test_case_and_punctuation_do_not_matter(typed):
    truth = truth_of(typed, EVENTS, 13, 2.0)
    assert truth is not None
    assert (truth.answer, truth.evidence, truth.spans) == ("Red circle.", (1.0, 2.5), ((1.0, 2.5),))


def test_questions_that_the_generator_does_not_ask_but_people_do():
    def answer(text, at=13):
        truth = truth_of(text, EVENTS, at, 2.0)
        return truth and truth.answer

    assert answer("Was there an orange card?") == "No."
    assert answer("What color was the star?") == "Blue."
    assert answer("How many green circles were shown?") == "1."
    assert answer("Was there a circle at the top-left?") == "Yes."
    assert answer("Where was the green card?") == "Bottom."
    assert answer("What came after the star?") == "Green circle."


def test_undefined_answers_have_no_truth():
    for text in (
        "Where was the circle?",
        "What came after the white star?",
        "What colour was the car?",
        "",
        "?",
        "red",
    ):
        assert truth_of(text, EVENTS, 13, 2.0) is None, text
    for phrase in (*PHRASES["other"], *(frame.replace("{u}", "xyzzy") for frame in UNKNOWN_FRAMES)):
        assert truth_of(phrase, EVENTS, 13, 2.0) is None, phrase
    assert truth_of("What is shown now?", EVENTS, -1, 2.0) is None


def test_moments_of_the_evidence():
    count = truth_of("How many circles were shown?", EVENTS, 13, 2.0)
    assert (count.answer, count.spans, count.every) == ("2.", ((1.0, 2.5), (6.0, 7.0)), True)
    exists = truth_of("Was there a circle?", EVENTS, 13, 2.0)
    assert (exists.answer, exists.spans, exists.every) == ("Yes.", ((1.0, 2.5), (6.0, 7.0)), False)
    absent = truth_of("Was there a white star?", EVENTS, 13, 2.0)
    assert (absent.answer, absent.spans, absent.evidence) == ("No.", (), (0.0, 7.0))
    after = truth_of("What came after the red circle?", EVENTS, 8, 2.0)
    assert (after.answer, after.spans) == ("Blue star.", ((1.0, 2.5), (3.5, 4.5)))
    now = truth_of("What is shown now?", EVENTS, 8, 2.0)
    assert (now.answer, now.spans) == ("Blue star, centre.", ((4.0, 4.5),))


@pytest.mark.parametrize(
    ("question", "at", "answer"),
    [
        ("What is shown now?", 6, "Nothing."),
        ("What colour is it?", 6, "Nothing."),
        ("What was shown just before?", 3, "Nothing."),
        ("What came after the green circle?", 13, "Nothing."),
        ("What was the first card?", 1, "Nothing."),
        ("Was there a white star?", 13, "No."),
        ("How many white stars were there?", 13, "0."),
    ],
)
def test_a_negative_answer_has_no_evidence(question, at, answer):
    truth = truth_of(question, EVENTS, at, 2.0)
    assert (truth.answer, truth.spans) == (answer, ())


@pytest.mark.parametrize("path", sorted(CLIPS.glob("*.json")), ids=lambda path: path.stem)
def test_the_bundled_clips_agree(path):
    clip = json.loads(path.read_text("utf-8"))
    if not any("colour" in event for event in clip.get("events", ())):
        return  # the index, a clip of objects, or a real one
    events = read_events(clip["events"], clip["fps"])
    for question in clip["questions"]:
        truth = truth_of(question["text"], events, round(question["at"] * clip["fps"]), clip["fps"])
        if question["kind"] == "other":
            assert truth is None, question["text"]
            continue
        assert truth is not None, question["text"]
        assert truth.answer == question["answer"], question["text"]
        assert list(truth.evidence) == question["evidence"], question["text"]
