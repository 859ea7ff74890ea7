"""Invalid input of a session: each has a specific message, and the session is unchanged."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from invariants import check_answer

import hermes
from hermes.errors import HermesError


def test_a_policy_must_exist(tiny_model):
    with pytest.raises(HermesError, match="There is no policy or preset “magic”"):
        hermes.StreamSession(tiny_model, policy="magic")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"budget": 0}, "too small"),
        ({"budget": 3}, "at least one frame"),
        ({"budget": -5}, "too small"),
        ({"budget": 10**6}, "too large"),
        ({"budget": 64, "guidance": "magic"}, "forward"),
        ({"budget": 64, "reindexing": "never"}, "lazy or eager"),
        ({"budget": 64, "chunk": 0}, "at least one frame"),
    ],
)
def test_settings_that_do_not_fit(tiny_model, settings, message):
    with pytest.raises(HermesError, match=message):
        hermes.StreamSession(tiny_model, **settings)


@pytest.mark.parametrize(
    ("frames", "times", "message"),
    [
        (np.zeros((2, 8, 8), np.uint8), [0, 1], "uint8"),
        (np.zeros((2, 8, 8, 3), np.float32), [0, 1], "float32"),
        (np.zeros((2, 8, 8, 4), np.uint8), [0, 1], "RGB"),
        (np.zeros((2, 8, 8, 3), np.uint8), [0], "2 frames but 1 times"),
        (np.zeros((2, 8, 8, 3), np.uint8), [1, 0], "ascending order"),
        (np.zeros((2, 8, 8, 3), np.uint8), [0, float("nan")], "finite"),
        (np.zeros((2, 0, 8, 3), np.uint8), [0, 1], "no pixels"),
    ],
)
def test_frames_that_cannot_be_pushed(tiny_model, frames, times, message):
    session = hermes.StreamSession(tiny_model, budget=64)
    session.push(np.zeros((1, 8, 8, 3), np.uint8), [0.0])
    with pytest.raises(HermesError, match=message):
        session.push(frames, times)
    assert session.stats.frames_seen == 1


def test_times_must_not_decrease_between_pushes(tiny_model, noise):
    session = hermes.StreamSession(tiny_model, budget=64)
    session.push(*noise(2, start=10.0))
    with pytest.raises(HermesError, match="frames seen before"):
        session.push(*noise(2, start=3.0))


def test_no_frames_are_no_error(tiny_model):
    session = hermes.StreamSession(tiny_model, budget=64)
    session.push(np.zeros((0, 8, 8, 3), np.uint8), [])
    assert session.snapshot().frames_seen == 0


@pytest.mark.parametrize(
    ("question", "message"),
    [("", "empty"), ("   \n", "empty"), ("why? " * 2500, "too long"), ("Now?", "Nothing has been seen")],
)
def test_questions_that_cannot_be_asked(tiny_model, noise, question, message):
    session = hermes.StreamSession(tiny_model, budget=64)
    if "Nothing" not in message:
        session.push(*noise(2))
    with pytest.raises(HermesError, match=message):
        session.ask(question)
    session.push(*noise(2, start=9.0))
    sentence = "".join(session.ask("Now?", max_new_tokens=2))
    check_answer(session.snapshot(), sentence, "Now?")


def test_a_question_with_markup_is_only_text(tiny_model, noise):
    session = hermes.StreamSession(tiny_model, budget=64)
    session.push(*noise(2))
    question = "<script>alert(1)</script><video><|im_end|>"
    list(session.ask(question, max_new_tokens=2))
    assert session.snapshot().answer.question == question


def test_a_refused_change_changes_nothing(tiny_model, noise):
    session = hermes.StreamSession(tiny_model, budget=64)
    session.push(*noise(20))
    before = session.policy
    with pytest.raises(HermesError, match="too small"):
        session.configure(budget=1)
    assert session.policy is before
    session.configure(budget=32)
    assert session.policy.budget == 32
    session.push(*noise(1, start=50.0))
    assert session.snapshot().kept_per_layer.max() <= 32


def test_closing_an_answer_early_keeps_its_text(tiny_model, noise):
    session = hermes.StreamSession(tiny_model, budget=64)
    session.push(*noise(20))
    pieces = session.ask("Now?", max_new_tokens=20)
    first = next(pieces)
    pieces.close()
    assert session.snapshot().answer.answer == first.strip()
    assert not any(layer.shared for layer in session.state.cache.layers)


def test_files_that_are_no_sessions(tiny_model, short_range_model, noise, tmp_path):
    with pytest.raises(HermesError, match="no session file"):
        hermes.StreamSession.load(tmp_path / "nothing", tiny_model)
    text = tmp_path / "text"
    text.write_text("hello")
    with pytest.raises(HermesError, match="damaged or not a session"):
        hermes.StreamSession.load(text, tiny_model)
    session = hermes.StreamSession(tiny_model, budget=64)
    session.push(*noise(20))
    session.save(tmp_path / "good")
    whole = (tmp_path / "good").read_bytes()
    (tmp_path / "half").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(HermesError, match="damaged"):
        hermes.StreamSession.load(tmp_path / "half", tiny_model)
    with pytest.raises(HermesError, match="saved with the model"):
        hermes.StreamSession.load(tmp_path / "good", short_range_model)
    with pytest.raises(HermesError, match="could not be written"):
        session.save(tmp_path / "no such folder" / "file")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no-such-model", "There is no model"),
        ("/no/such/folder", "There is no model"),
        ("owner/name/extra", "There is no model"),
        ("example/some-model", "hub cannot be reached"),
    ],
)
def test_models_that_are_not_there(name, message):
    with pytest.raises(HermesError, match=message):
        hermes.load(name)


def test_folders_that_hold_no_model(tmp_path, tiny_folder):
    with pytest.raises(HermesError, match=r"no config\.json"):
        hermes.load(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(HermesError, match="family “gpt2” are not supported"):
        hermes.load(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(HermesError, match="cannot be read"):
        hermes.load(tmp_path)
    (tmp_path / "config.json").write_bytes((tiny_folder / "config.json").read_bytes())
    with pytest.raises(HermesError, match=r"no preprocessor_config\.json"):
        hermes.load(tmp_path)
    for file in tiny_folder.iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(HermesError, match=r"model\.safetensors is missing"):
        hermes.load(tmp_path)


def test_the_library_is_read_without_torch():
    """Records are read where there is no torch."""
    code = "import sys, hermes, hermes.snapshot; hermes.Snapshot; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_default_budget_fits_the_model(tiny_model, short_range_model):
    for model in (tiny_model, short_range_model):
        session = hermes.StreamSession(model)
        assert model.tokens_per_frame <= session.policy.budget <= min(4000, model.max_positions)
        session.configure("full")
        session.configure("sliding-window")
        assert session.policy.budget <= model.max_positions
