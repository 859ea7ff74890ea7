"""The shipped things model: complete, matches its card, and equals transformers and the source of its tower."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoTokenizer, LlavaOnevisionForConditionalGeneration

import hermes
from hermes.assets import THINGS
from hermes.backbones.base import Backbone
from hermes.backbones.object_tower import ObjectTower
from hermes.eval.offered import offered_kinds, write_offered
from hermes.eval.scoring import Setup
from hermes.eval.things import StreamPictures, evaluate, recognise
from hermes.eval.things_report import FIXED, weights_digest, write_card
from hermes.things.objects import BY_NAME, NAMES
from hermes.things.pictures import read_shipped
from hermes.things.questions import REFUSAL
from hermes.things.timeline import ObjectEvent
from hermes.things.world import ObjectStream, render_stream


@pytest.fixture(scope="module")
def card() -> dict[str, Any]:
    return json.loads((THINGS / "evaluation.json").read_text())


@pytest.fixture(scope="module")
def model() -> Backbone:
    torch.set_num_threads(1)
    return hermes.load("things", device="cpu")


@pytest.fixture(scope="module")
def pictures() -> StreamPictures:
    return StreamPictures(*read_shipped())


def test_the_measurements_belong_to_these_weights(card: dict[str, Any]) -> None:
    assert card["model_sha256"] == weights_digest(THINGS)
    for path in THINGS.iterdir():
        assert path.stat().st_size < 10_000_000, path.name


def test_accuracy_on_fixed_streams_matches_the_card(
    card: dict[str, Any], model: Backbone, pictures: StreamPictures
) -> None:
    (message,) = card["results"]["fixed"]
    assert Setup(**message["setup"]) == FIXED
    found = evaluate(model, FIXED, pictures)["kinds"]
    assert found.keys() == message["kinds"].keys()
    total = sum(row["n"] for row in found.values())

    def mean(kinds: dict[str, Any]) -> float:
        return sum(row["accuracy"] * row["n"] for row in kinds.values()) / total

    assert abs(mean(found) - mean(message["kinds"])) <= 0.03


def test_the_card_is_written_from_the_measurements(card: dict[str, Any], tmp_path: Path) -> None:
    write_card(tmp_path, card)
    assert (tmp_path / "README.md").read_text() == (THINGS / "README.md").read_text()


def test_offered_questions_follow_from_the_measurements(card: dict[str, Any], tmp_path: Path) -> None:
    about = json.loads((THINGS / "hermes.json").read_text(encoding="utf-8"))
    (tmp_path / "hermes.json").write_text("{}", encoding="utf-8")
    offered = write_offered(tmp_path, card["results"])
    again = json.loads((tmp_path / "hermes.json").read_text(encoding="utf-8"))
    assert about["offered_questions"] == offered == again["offered_questions"]
    assert about["suggested"] == again["suggested"]
    assert offered
    low = {
        kind: {"accuracy": row["guess"], "guess": row["guess"]}
        for kind, row in card["results"]["fixed"][0]["kinds"].items()
    }
    assert offered_kinds({"fixed": [{"kinds": low | {"first": {"accuracy": 0.8, "guess": 0.6}}}]}) == ["first"]


def test_transformers_own_forward_gives_the_same_answer(model: Backbone, pictures: StreamPictures) -> None:
    stream = render_stream(31, 6, pictures.cutouts, pictures.photographs)
    session = hermes.StreamSession(model, policy="full")
    session.push(stream.frames, stream.times)
    own = LlavaOnevisionForConditionalGeneration.from_pretrained(THINGS, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(THINGS)
    with torch.inference_mode():
        pixels = model.prepare(stream.frames)[None]  # type: ignore[attr-defined]
        vision = own.model.get_video_features(pixels).pooler_output[0, :-1]
        for text in ("What is shown now?", "Was there an animal?", "What was the first object?"):
            ids = tokenizer(model.head_text(), return_tensors="pt")["input_ids"][0]
            tail = tokenizer(model.tail_text(text), return_tensors="pt")["input_ids"][0]
            embed = own.get_input_embeddings()
            inputs = torch.cat([embed(ids), vision, embed(tail)])[None]
            out = own.generate(inputs_embeds=inputs, max_new_tokens=32, do_sample=False)
            theirs = tokenizer.decode(out[0], skip_special_tokens=True).strip()
            assert "".join(session.ask(text)).strip() == theirs


def held(events: list[ObjectEvent], pictures: StreamPictures, seed: int = 3) -> ObjectStream:
    frames = events[-1].end
    return render_stream(seed, frames, pictures.cutouts, [], events=events)


def test_it_refuses_politely(model: Backbone, pictures: StreamPictures) -> None:
    stream = held([ObjectEvent("apple", "centre", 1, 4, 4, "centre")], pictures)
    session = hermes.StreamSession(model, policy="full")
    session.push(stream.frames, stream.times)
    for text in ("Who is the prime minister of France?", "Write me a poem about the sea."):
        assert "".join(session.ask(text)).strip() == REFUSAL, text


def test_the_tower_reports_recognised_objects(model: Backbone, pictures: StreamPictures) -> None:
    apple = held([ObjectEvent("apple", "centre", 0, 1, 1, "centre")], pictures, seed=2).frames
    plain = np.full((90, 120, 3), 128, np.uint8)
    seen = recognise(model, [*apple, plain])
    assert seen[1].shown < 0.5
    assert seen[0].shown > seen[1].shown
    assert all(found.name in NAMES and 0 <= found.confidence <= found.shown <= 1 for found in seen)


def test_the_confidence_is_that_of_the_hidden_state(model: Backbone, pictures: StreamPictures) -> None:
    """The decoder reads the same probabilities that `recognise` reports."""
    frames = render_stream(31, 2, pictures.cutouts, pictures.photographs).frames
    tower: ObjectTower = model.model.model.vision_tower
    with torch.inference_mode():
        state = tower(model.prepare(frames)).last_hidden_state  # type: ignore[attr-defined]
    shown = 1 - state[..., len(NAMES) + 9]
    for found, row in zip(recognise(model, frames), shown, strict=True):
        assert found.shown == pytest.approx(float(row.topk(2).values.mean()), abs=1e-3)


def test_transformers_reads_the_folder() -> None:
    config = AutoConfig.from_pretrained(THINGS)
    tokenizer = AutoTokenizer.from_pretrained(THINGS)
    assert config.model_type == "llava_onevision"
    assert config.vision_config.model_type == "object_tower"
    assert config.vision_config.object_names == list(NAMES)
    assert config.video_token_id == tokenizer.convert_tokens_to_ids("<video>")
    about = json.loads((THINGS / "hermes.json").read_text())
    assert {"name", "about", "guidance", "max_new_tokens", "suggested"} <= about.keys()
    for text in (*about["suggested"], *about["guidance"].values()):
        assert tokenizer.unk_token_id not in tokenizer(text)["input_ids"], text


def test_the_card_lists_every_object() -> None:
    text = (THINGS / "README.md").read_text(encoding="utf-8")
    for name in BY_NAME:
        assert name.replace("-", " ") in text
