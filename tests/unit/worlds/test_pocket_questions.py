"""Questions: their answers are true, judged by a second, plainer reading of the events."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hermes.cards.questions import EXTRA_KINDS, KINDS, REFUSAL, ask, ask_all
from hermes.cards.timeline import COLOURS, PLACES, SHAPES, TEMPOS, Event, make_events
from hermes.pocket.tokenizer import answer_ids, build_tokenizer, vocabulary
from hermes.text import normal_words
from hermes.worlds.questions import Question, is_correct

TOKENIZER = build_tokenizer()


@dataclass(frozen=True)
class Told:
    """Events without pictures."""

    events: list[Event]
    fps: float = 2.0


RED, BLUE, GREEN = (
    Event("red", "circle", "top-left", 2, 5),
    Event("blue", "star", "centre", 7, 10),
    Event("green", "circle", "bottom", 12, 14),
)
STREAM = Told([RED, BLUE, GREEN])


def answers(kind: str, at: int, stream: Told = STREAM, draws: int = 80) -> dict[str, str]:
    rng = np.random.default_rng(0)
    asked = [ask(stream, at, kind, rng) for _ in range(draws)]
    return {q.text: q.answer for q in asked if q is not None}


def test_now_before_and_first() -> None:
    assert answers("now", 8)["What is shown now?"] == "Blue star, centre."
    assert answers("now", 8)["Where is it?"] == "Centre."
    assert set(answers("now", 11).values()) == {"Nothing."}
    assert set(answers("before", 8).values()) == {"Red circle."}
    assert set(answers("before", 11).values()) == {"Blue star."}, "in a pause, the card before is the last one shown"
    assert set(answers("before", 3).values()) == {"Nothing."}
    assert answers("first", 13)["What was the first card?"] == "Red circle."
    assert set(answers("first", 1).values()) == {"Nothing."}


def test_after_attribute_and_place() -> None:
    after = answers("after", 13)
    assert after["What came after the red circle?"] == "Blue star."
    assert after["What came after the blue star?"] == "Green circle."
    assert answers("after", 8)["What came after the blue star?"] == "Nothing."
    attribute = answers("attribute", 13)
    assert attribute["What colour was the star?"] == "Blue."
    assert "What colour was the circle?" not in attribute, "there were two circles"
    place = answers("place", 13)
    assert place["Where was the red circle?"] == "Top left."
    assert not any("the circle" in text for text in place)


def test_exists_and_count() -> None:
    exists = answers("exists", 13, draws=2000)
    assert exists["Was there a red circle?"] == "Yes."
    assert exists["Was there a red star?"] == "No.", "red and star were both shown, but not together"
    assert exists["Did you see a star?"] == "Yes."
    count = answers("count", 13, draws=400)
    assert count["How many cards were shown?"] == "3."
    assert count["How many circles were shown?"] == "2."


def test_evidence_is_where_the_answer_is() -> None:
    rng = np.random.default_rng(1)
    for _ in range(40):
        place = ask(STREAM, 13, "place", rng)
        assert place is not None
        event = next(e for e in STREAM.events if e.place.replace("-", " ") == " ".join(normal_words(place.answer)))
        assert place.evidence == (event.start / 2, event.end / 2)
        assert place.age == pytest.approx((14 - event.end) / 2)
    now = ask(STREAM, 8, "now", rng)
    assert now is not None
    assert now.evidence == (4.0, 4.5)


def oracle(question: Question, seen: list[Event], now: Event | None) -> bool:
    """Whether an answer is true, from the words of the question alone."""
    sentence = normal_words(question.answer)
    text = question.text.lower().replace("-", " ")
    for place in sorted(PLACES, key=len, reverse=True):
        text = text.replace(f"at the {place.replace('-', ' ')}", f"@{place}")
    words = [w.strip("?.") for w in text.split()]
    colours = [w for w in words if w in COLOURS]
    shapes = [s for s in SHAPES for w in words if w in (s, s + "s", s + "es")]
    place_named = [w[1:] for w in words if w.startswith("@")]
    match = [
        e
        for e in seen
        if (not colours or e.colour == colours[0])
        and (not shapes or e.shape == shapes[0])
        and (not place_named or e.place == place_named[0])
    ]
    if question.kind == "exists":
        return sentence == (["yes"] if match else ["no"])
    if question.kind == "count":
        return sentence == ([str(len(match))] if len(match) <= 9 else ["more", "than", "9"])
    if question.kind in ("attribute", "place"):
        one = match[0]
        return len(match) == 1 and sentence[0] in (one.colour, one.shape, *one.place.split("-"))
    if question.kind == "after":
        following = seen[seen.index(match[0]) + 1 :]
        return sentence == ([following[0].colour, following[0].shape] if following else ["nothing"])
    target = {"now": now, "first": seen[0] if seen else None}.get(question.kind)
    if question.kind == "before":
        earlier = [e for e in seen if e is not now]
        target = earlier[-1] if earlier else None
    if target is None:
        return sentence == ["nothing"]
    return set(sentence) <= {target.colour, target.shape, *target.place.split("-")}


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 10**6), frames=st.integers(1, 150), tempo=st.sampled_from(sorted(TEMPOS)))
def test_every_answer_is_true(seed: int, frames: int, tempo: str) -> None:
    rng = np.random.default_rng(seed)
    stream = Told(make_events(rng, frames, TEMPOS[tempo]))
    at = int(rng.integers(frames))
    seen = [e for e in stream.events if e.start <= at]
    now = next((e for e in seen if at < e.end), None)
    for question in ask_all(stream, at, rng):
        assert oracle(question, seen, now), question
        assert 0 <= question.evidence[0] <= question.evidence[1] <= (at + 1) / stream.fps
        assert is_correct(question, question.answer)
        assert is_correct(question, question.answer.upper().rstrip("."))
        assert not is_correct(question, question.answer + " pink")


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_all_words_are_known_and_come_back_readable(seed: int) -> None:
    rng = np.random.default_rng(seed)
    stream = Told(make_events(rng, 60))
    for question in ask_all(stream, 59, rng, extra=True):
        if question.kind != "other":
            assert TOKENIZER.unk_token_id not in TOKENIZER(question.text)["input_ids"], question.text
        written = answer_ids(TOKENIZER, question.answer)
        assert written[-1] == TOKENIZER.eos_token_id
        assert TOKENIZER.decode(written, skip_special_tokens=True) == question.answer


def test_kinds_are_asked_once_each_in_order() -> None:
    asked = ask_all(STREAM, 13, np.random.default_rng(2), extra=True)
    assert [q.kind for q in asked] == [*KINDS, *EXTRA_KINDS]
    assert asked[-1].answer == REFUSAL


def test_spelling_case_and_punctuation_do_not_matter() -> None:
    plain = TOKENIZER("what colour was the star at the top left ?")["input_ids"]
    assert TOKENIZER("What COLOR was the star at the upper-left?")["input_ids"] == plain
    assert TOKENIZER("What's shown?")["input_ids"] == TOKENIZER("what is shown?")["input_ids"]


def test_unknown_words_are_unknown() -> None:
    assert TOKENIZER.unk_token_id in TOKENIZER("Was there a zebra?")["input_ids"]
    assert len(set(vocabulary())) == len(vocabulary())


def test_the_chat_template_is_chatml_with_one_video() -> None:
    message = [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "What is shown now?"}]}]
    text = TOKENIZER.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
    assert text.startswith("<|im_start|>system\n")
    assert text.endswith("<|im_start|>user <video>\nWhat is shown now?<|im_end|><|im_start|>assistant\n")
