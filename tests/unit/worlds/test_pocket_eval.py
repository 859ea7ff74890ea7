"""The evaluation: guess levels, intervals, questions and output."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

import hermes
from hermes.backbones.base import Backbone
from hermes.cards.questions import KINDS
from hermes.cards.story import STORY
from hermes.cli import main
from hermes.eval.attention import draw_attention, measure_attention
from hermes.eval.card import write_card
from hermes.eval.pocket import draw_questions, evaluate, make_stream, named_candidates
from hermes.eval.scoring import ScoredReply, Setup, guess_level, interval
from hermes.pocket.model import build, save
from hermes.pocket.train import ABOUT
from hermes.worlds.questions import Question


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("random")
    save(path, *build(0), ABOUT | {"max_new_tokens": 4})  # random weights end no answer by themselves
    return path


@pytest.fixture(scope="module")
def model(folder: Path) -> Backbone:
    return hermes.load(folder, device="cpu")


def reply(
    stream: int, answer: str, candidates: tuple[str, ...] = (), form: str = "a", *, correct: bool = True
) -> ScoredReply:
    return ScoredReply(stream, Question("place", "?", answer, (0, 1), form=form), "", correct, correct, candidates)


def test_the_guess_level_is_the_most_common_answer_or_naming_something_shown() -> None:
    blind = [reply(0, "Left."), reply(1, "Left."), reply(2, "Top."), reply(3, "Right.")]
    assert guess_level(blind) == 0.5
    naming = [reply(i, answer, ("left", "left", "top")) for i, answer in enumerate(("Left.", "Left.", "Left.", "Top."))]
    assert guess_level(naming) == 0.75
    tied = [reply(i, answer, ("left", "top")) for i, answer in enumerate(("Left.", "Top.", "Right.", "Bottom."))]
    assert guess_level(tied) == 0.25


def test_each_phrasing_family_has_its_own_blind_guess() -> None:
    assert guess_level([reply(0, "Red.", form="x"), reply(1, "Top.", form="y")]) == 1.0


def test_intervals_draw_whole_streams() -> None:
    # Ten questions a stream that are right or wrong together are ten streams' worth of evidence, not a hundred.
    replies = [reply(s, "Left.", correct=s % 2 == 0) for s in range(10) for _ in range(10)]
    low, high = interval(replies, lambda r: float(r.correct))
    assert low <= 0.5 <= high
    assert high - low > 0.4


def test_questions_are_asked_at_the_end_about_seen_frames() -> None:
    setup = Setup(frames=40, seed=3)
    for index in range(6):
        stream = make_stream(setup, index)
        at, questions = draw_questions(setup, stream, index)
        assert 32 <= at < 40
        assert len({q.text for q in questions}) == len(questions)
        for question in questions:
            if question.kind == "place":
                candidates = named_candidates(question, stream, at)
                assert len(candidates) == len([e for e in stream.events if e.start <= at])


def test_the_same_setup_asks_the_same() -> None:
    setup = Setup(frames=24, seed=5)
    first, second = (draw_questions(setup, make_stream(setup, 1), 1) for _ in range(2))
    assert first == second


def test_photographs_and_held_out_families_change_the_frames() -> None:
    plain = make_stream(Setup(frames=4), 0)
    held_out = make_stream(Setup(frames=4, background="held-out"), 0)
    photo = make_stream(Setup(frames=4, background="photo"), 0, [np.full((192, 192, 3), 90, np.uint8)])
    assert plain.events == held_out.events == photo.events
    assert not np.array_equal(plain.frames, held_out.frames)
    assert not np.array_equal(plain.frames, photo.frames)


def test_an_untrained_model_does_not_exceed_the_guess_level(model: Backbone) -> None:
    result = evaluate(model, Setup(streams=3, frames=20, policy="hermes", budget=64))
    assert set(result["kinds"]) <= set(KINDS)
    for row in result["kinds"].values():
        assert {"accuracy", "guess", "n", "interval"} <= row.keys()
        assert row["accuracy"] <= row["guess"]
    assert result["guidance_prompts"] == ABOUT["guidance"]


def test_the_command_prints_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(folder), "--streams", "2", "--frames", "16", "--policy", "sliding-window", "--budget", "64"]
    assert main(["eval", *arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["setup"]["budget"] == 64
    assert found["kinds"]["now"]["n"] > 0
    assert main(["eval", *arguments]) == 0
    assert "95 % interval" in capsys.readouterr().out


def test_attention_adds_up_and_draws(model: Backbone) -> None:
    found = measure_attention(model, Setup(streams=1, frames=20))
    assert np.allclose(np.sum(found["share"], 1), 1, atol=0.01)
    assert all(0 <= share <= 1 for share in found["on_frames"])
    root = ET.fromstring(draw_attention(found, "A < B"))  # noqa: S314 - our own text
    assert len(root.findall("{http://www.w3.org/2000/svg}rect")) == 1 + 10 * len(found["ages"])


def test_a_card_can_be_written_from_few_measurements(model: Backbone, tmp_path: Path) -> None:
    result = evaluate(model, Setup(streams=2, frames=16))
    write_card(tmp_path, {"model_sha256": "0" * 64, "machine": "here", "results": {"full": [result]}}, STORY)
    text = (tmp_path / "README.md").read_text()
    assert "16 frames (2 streams)" in text
    assert "just before" in text
