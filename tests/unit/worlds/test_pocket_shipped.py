"""The shipped pocket model matches its card, and its folder is complete."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoTokenizer

import hermes
from hermes.assets import POCKET
from hermes.backbones.base import Backbone
from hermes.cards.questions import REFUSAL
from hermes.cards.story import STORY
from hermes.cards.world import Event, render_stream
from hermes.eval.card import write_card
from hermes.eval.pocket import evaluate
from hermes.eval.scoring import Setup


@pytest.fixture(scope="module")
def card() -> dict[str, Any]:
    return json.loads((POCKET / "evaluation.json").read_text())


@pytest.fixture(scope="module")
def model(pocket: Backbone) -> Backbone:
    torch.set_num_threads(1)
    return pocket


def test_the_measurements_belong_to_these_weights(card: dict[str, Any]) -> None:
    digest = hashlib.sha256((POCKET / "model.safetensors").read_bytes()).hexdigest()
    assert card["model_sha256"] == digest
    assert (POCKET / "model.safetensors").stat().st_size < 10_000_000


def test_accuracy_on_fixed_streams_matches_the_card(card: dict[str, Any], model: Backbone) -> None:
    (message,) = card["results"]["fixed"]
    setup = Setup(**message["setup"])
    assert (setup.streams, setup.policy) == (24, "full")
    found = evaluate(model, setup)["kinds"]
    assert found.keys() == message["kinds"].keys()
    total = sum(row["n"] for row in found.values())

    def mean(kinds: dict[str, Any]) -> float:
        return sum(row["accuracy"] * row["n"] for row in kinds.values()) / total

    assert abs(mean(found) - mean(message["kinds"])) <= 0.03
    for kind, row in found.items():
        # One question more or less is over two points of a kind on so few streams.
        assert abs(row["accuracy"] - message["kinds"][kind]["accuracy"]) <= 0.03 + 1.01 / row["n"], kind


def test_the_card_is_written_from_the_measurements(card: dict[str, Any], tmp_path: Any) -> None:
    write_card(tmp_path, card, STORY)
    assert (tmp_path / "README.md").read_text() == (POCKET / "README.md").read_text()


def test_it_refuses_politely(model: Backbone) -> None:
    stream = render_stream(4, 8)
    session = hermes.StreamSession(model, policy="full")
    session.push(stream.frames, stream.times)
    for text in ("Who is the prime minister of France?", "Write me a poem about the sea.", "Is there a bicycle?"):
        assert "".join(session.ask(text)).strip() == REFUSAL, text


def test_suggested_questions_are_answered_from_a_stream(model: Backbone) -> None:
    events = [
        Event("red", "circle", "top-left", 2, 7),
        Event("blue", "star", "right", 10, 15),
        Event("green", "square", "bottom", 18, 24),
    ]
    stream = render_stream(21, 24, events=events)
    session = hermes.StreamSession(model, policy="full")
    session.push(stream.frames, stream.times)
    expected = {
        "What is shown now?": "Green square, bottom.",
        "What was shown just before?": "Blue star.",
        "What was the first card?": "Red circle.",
        "Was there a red card?": "Yes.",
        "Was there a purple card?": "No.",
        "What came after the red circle?": "Blue star.",
        "Where was the blue star?": "Right.",
        "What colour was the star?": "Blue.",
    }
    answers = {text: "".join(session.ask(text)).strip() for text in expected}
    assert answers == expected


def test_memory_outlives_a_sliding_window(card: dict[str, Any]) -> None:
    """The shipped measurements show the main claim of the demo."""
    by_policy = {
        (r["setup"]["policy"], r["setup"]["budget"]): r["kinds"]
        for r in card["results"]["policies"]
        if r["setup"]["guidance"] is None
    }
    for budget in (256, 512):
        ours, window = by_policy["hermes", budget], by_policy["sliding-window", budget]
        assert ours["first"]["accuracy"] > window["first"]["accuracy"] + 0.2
        assert np.mean([ours[k]["accuracy"] for k in ("first", "attribute", "place")]) > np.mean(
            [window[k]["accuracy"] for k in ("first", "attribute", "place")]
        )


def test_transformers_reads_the_folder() -> None:
    config = AutoConfig.from_pretrained(POCKET)
    tokenizer = AutoTokenizer.from_pretrained(POCKET)
    assert config.model_type == "llava_onevision"
    assert config.text_config.num_hidden_layers == 10
    assert config.video_token_id == tokenizer.convert_tokens_to_ids("<video>")
    about = json.loads((POCKET / "hermes.json").read_text())
    assert {"name", "about", "guidance", "max_new_tokens", "suggested"} <= about.keys()
    for text in (*about["suggested"], *about["guidance"].values()):
        assert tokenizer.unk_token_id not in tokenizer(text)["input_ids"], text
