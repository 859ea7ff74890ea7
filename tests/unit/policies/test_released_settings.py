"""The settings of the released code: its texts, its form after a question, and its decoding."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import hermes
from hermes.cli import main
from hermes.memory.guidance_prompts import RELEASED_GLOBAL, RELEASED_LOCAL, options_of, prompts_of_tiers
from hermes.memory.tiers import LONG_TERM, SENSORY, WORKING
from hermes.policies.presets import RELEASED, changes_of
from hermes.serving.engine import Engine
from hermes.session.answer import Answer, penalised
from hermes.view import StreamSettings
from ui.settings.policy_settings import apply

CHOICE = "What is shown?\nOptions:\n(A) a red card\n(B) a blue cat\nOnly give the best option."
LLAVA_HEAD = "<|im_start|>system \nYou are a helpful assistant.<|im_end|><|im_start|>user "
QWEN_HEAD = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"


@pytest.fixture(scope="module", params=["llava_onevision", "qwen2_5_vl", "qwen3_vl", "smolvlm"])
def model(request, family_model):
    return family_model(request.param)[0]


def pictures(count):
    frames = np.random.default_rng(5).integers(0, 256, (count, 24, 32, 3), dtype=np.uint8)
    return frames, np.arange(count) / 2


@pytest.mark.parametrize(
    ("question", "answer", "mentioned"),
    [
        ("What is it?", "A cat.", "Question: What is it? Answer: A cat."),
        (CHOICE, "B", "Question: What is shown? Answer: a blue cat"),
        (CHOICE, "(B).", "Question: What is shown? Answer: a blue cat"),
        (CHOICE, "B) a blue cat", "Question: What is shown? Answer: a blue cat"),
        (CHOICE, "C", "Question: What is shown? Answer: C"),
        ("Which? (A) red (B) blue", " A ", "Question: Which? Answer: red"),
        ("Plan A?", "B", "Question: Plan A? Answer: B"),
    ],
)
def test_the_form_after_a_question(question, answer, mentioned):
    prompts = prompts_of_tiers(RELEASED_LOCAL, RELEASED_GLOBAL, (question, answer), "released")
    local, global_ = prompts[SENSORY], prompts[LONG_TERM]
    assert local == f"Find recent details related to: {mentioned}. {RELEASED_LOCAL}"
    assert global_ == f"Context summary: {mentioned}. {RELEASED_GLOBAL}"
    assert prompts[WORKING] == f"{local}; {global_}"


def test_the_released_prompts():
    prompts = prompts_of_tiers(RELEASED_LOCAL, RELEASED_GLOBAL, None, "released")
    assert prompts[SENSORY] == (
        "Describe the current scene in detail, focusing on specific objects, fine-grained actions, and "
        "spatial relationships."
    )
    assert prompts[LONG_TERM] == (
        "Summarize the video narrative, identifying main characters, key events, timeline changes, and the overall theme."
    )
    assert options_of(CHOICE) == {"A": "a red card", "B": "a blue cat"}
    assert options_of("Is it plan (A) or not?") == {}


def test_the_preset_on_every_family(model, tmp_path):
    session = hermes.StreamSession(model, "released", budget=60)
    assert session.policy.guidance == "embedding"
    assert session.policy.changed() == dict(RELEASED.changed)
    session.push(*pictures(20))
    snapshot = session.snapshot()
    assert snapshot.guidance_prompts == {"local": RELEASED_LOCAL, "global": RELEASED_GLOBAL}
    head = {"llava_onevision": LLAVA_HEAD, "qwen2_5_vl": QWEN_HEAD}.get(model.family)
    assert session.state.released_chat == (head is not None)
    assert snapshot.prompt_len == len(model.tokenize(model.head_text() if head is None else head))
    text = session.question_text(CHOICE, "Best option: (")
    if head is not None:
        assert text == f"\n{CHOICE}<|im_end|><|im_start|>assistant\nBest option: ("
    assert text.endswith("Best option: (")
    assert not session.question_text("What is it?", "Best option: (").endswith("(")
    session.save(tmp_path / "s")
    loaded = hermes.StreamSession.load(tmp_path / "s", model)
    message = ["".join(one.ask(CHOICE, max_new_tokens=8)) for one in (session, loaded)]
    assert message[0] == message[1]
    for one in (session, loaded):
        one.push(*(part + 10 if part.ndim == 1 else part for part in pictures(8)))
    np.testing.assert_array_equal(session.snapshot().frame, loaded.snapshot().frame)


def test_the_chat_format_lasts_as_long_as_the_stream(tiny_model, noise):
    session = hermes.StreamSession(tiny_model, budget=64)
    session.push(*noise(4))
    session.configure(changed={"chat": "released"})
    assert session.question_text("What?") == tiny_model.tail_text("What?")
    session.close()
    frames, times = noise(4)
    session.push(frames, times)
    assert session.question_text("What?") == "\nWhat?<|im_end|><|im_start|>assistant\n"


def test_the_repetition_penalty(tiny_model, noise):
    logits = torch.tensor([[2.0, -1.0, 3.0, 0.5]])
    expected = [[2.0, -1.5, 2.0, 0.5]]
    assert penalised(logits, torch.tensor([1, 2, 1]), 1.5).tolist() == expected
    assert penalised(logits, torch.tensor([], dtype=torch.long), 1.5) is logits
    session = hermes.StreamSession(tiny_model, budget=64)
    session.push(*noise(20))

    ids = tiny_model.tokenize(session.question_text("What?"))

    def tokens(penalty):
        return list(Answer(tiny_model, session.state.cache, ids, 24, 0.0, 20, repetition_penalty=penalty)._tokens())

    plain, strong = tokens(1.0), tokens(1e6)
    assert len(set(strong)) == len(strong), "no token twice"
    assert len(set(plain)) < len(plain)
    asked = [list(session.ask("What?", max_new_tokens=24, repetition_penalty=penalty)) for penalty in (None, 1.0, 1e6)]
    assert asked[0] == asked[1] != asked[2]
    with pytest.raises(hermes.HermesError, match="penalty must be 1 or more"):
        session.ask("What?", repetition_penalty=0.5)
    with pytest.raises(hermes.HermesError, match="at most 2"):
        hermes.StreamSession(tiny_model, changed={"repetition_penalty": 3})


def test_every_policy_takes_prefix_and_penalty(tiny_model, noise):
    session = hermes.StreamSession(tiny_model, "sliding-window", budget=64)
    session.push(*noise(20))
    plain = list(session.ask(CHOICE, max_new_tokens=6))
    assert list(session.ask(CHOICE, max_new_tokens=6, answer_prefix="Best option: (")) != plain


def test_a_session_file_cannot_claim_a_format_that_the_model_lacks(family_model, tmp_path):
    model, _ = family_model("smolvlm")
    session = hermes.StreamSession(model, budget=64)
    session.push(*pictures(4))
    session.state.released_chat = True
    with pytest.raises(
        hermes.HermesError, match="no chat format of the released code"
    ):  # saving checks as loading does
        session.save(tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_the_command_line_takes_the_preset(capsys, tiny_folder):
    clip = str(Path(__file__).parents[2] / "data" / "long_groups.mp4")
    asked = ["ask", clip, "--question", CHOICE, "--model", str(tiny_folder), "--budget", "16", "--json"]
    assert main([*asked, "--policy", "released", "--set", "repetition_penalty=1.2", "--max-side", "64"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["policy"], report["guidance"]) == ("hermes", "embedding")
    assert report["changed"] == dict(RELEASED.changed) | {"repetition_penalty": 1.2}
    assert main([*asked, "--policy", "released", "--repetition-penalty", "0"]) == 2
    assert "penalty must be 1 or more" in capsys.readouterr().err
    assert main([*asked, "--max-side", "0"]) == 2
    assert main([*asked, "--max-pixels", "1"]) == 2
    assert "the limit cannot be 1" in capsys.readouterr().err


def test_the_page_applies_the_preset_with_its_guidance(tiny_model):
    engine = Engine(loader=lambda _name, _progress: tiny_model)
    engine.load("tiny")
    settings = StreamSettings(model="tiny", budget=64)
    stream = engine.open(settings)

    def change(changed, guidance):
        return stream.change(replace(stream.settings, changed=changed, guidance=guidance or stream.settings.guidance))

    shown = apply(hermes.POLICIES["hermes"], None, lambda: stream.settings, {"preset": "released"}, change)
    assert stream.settings.guidance == "embedding"
    assert dict(stream.settings.changed) == dict(RELEASED.changed)
    assert [preset["name"] for preset in shown["presets"] if preset["on"]] == ["released"]
    assert changes_of("hermes")[0] is RELEASED
    engine.close()
