"""Smaller frames: squares with adapted position embeddings, or frames of the same aspect ratio, by family."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tiny
import torch
from invariants import check_answer, check_memory

import hermes
from hermes.backbones.frames import square_side
from hermes.errors import HermesError
from hermes.serving.engine import Engine
from ui.flags import parse, read_options

SQUARE = ["llava_onevision", "smolvlm", "internvl"]


@pytest.fixture(scope="module", params=SQUARE)
def folder(request, tmp_path_factory):
    return tiny.FAMILIES[request.param](tmp_path_factory.mktemp(request.param))


@pytest.fixture
def model(folder):
    """Frames of 32 x 32 pixels and 2 x 2 tokens."""
    return hermes.load(folder, device="cpu")


def test_the_side_is_the_largest_multiple_within_the_limit():
    assert square_side(384 * 384, 28, 384) == 384
    assert square_side(10**9, 28, 384) == 384
    assert square_side(383 * 383, 28, 384) == 364
    assert square_side(28 * 28, 28, 384) == 28
    with pytest.raises(HermesError, match="at least 784 pixels"):
        square_side(28 * 28 - 1, 28, 384)


def test_fewer_tokens_stream_and_answer(model, noise):
    model.limit_pixels(20 * 20)
    layout = model.layout(48, 64)
    assert layout.pixels == (16, 16)
    assert layout.grid == (1, 1)
    session = hermes.StreamSession(model, budget=8, chunk=4)
    session.push(*noise(16))
    check_memory(session.snapshot(), model.max_positions, model.axes)
    message = "".join(session.ask("Now?", max_new_tokens=3))
    check_answer(session.snapshot(), message, "Now?")


def test_a_large_limit_changes_nothing(folder, noise):
    frames, times = noise(4)
    answers = []
    for most in (None, 32 * 32, 10**7):
        model = hermes.load(folder, device="cpu")
        if most:
            model.limit_pixels(most)
        session = hermes.StreamSession(model, budget=64)
        session.push(frames, times)
        answers.append(model.encode(list(frames), np.asarray(times), 0, session.layout).embeddings)
    torch.testing.assert_close(answers[1], answers[0])
    torch.testing.assert_close(answers[2], answers[0])


def test_a_limit_below_the_smallest_frame(model):
    before = model.layout(48, 64)
    with pytest.raises(HermesError, match="at least 256 pixels; the limit cannot be 255"):
        model.limit_pixels(255)
    assert model.layout(48, 64) == before


def test_a_server_limits_the_frames_of_its_models(folder, monkeypatch):
    monkeypatch.setenv("HERMES_MAX_PIXELS", "400")
    options = read_options(parse(["--model", str(folder)]))
    engine = Engine(max_pixels=options.max_pixels)
    try:
        engine.load(str(folder))
        assert engine.model(str(folder)).layout(48, 64).pixels == (16, 16)
    finally:
        engine.close()
    refusing = Engine(max_pixels=100)
    try:
        with pytest.raises(HermesError, match="at least 256 pixels"):
            refusing.load(str(folder))
        assert refusing.models() == []
    finally:
        refusing.close()


def test_a_siglip_tower_interpolates_as_transformers_does(tmp_path):
    folder = tiny.llava_onevision(tmp_path)
    model, reference = hermes.load(folder, device="cpu"), hermes.load(folder, device="cpu")
    model.limit_pixels(16 * 16)
    pixels = torch.randn(2, 3, 16, 16)
    tower, own = reference.model.model.vision_tower, model.model.model.vision_tower
    with torch.inference_mode():
        expected = tower(pixels, interpolate_pos_encoding=True).last_hidden_state
        torch.testing.assert_close(own(pixels).last_hidden_state, expected)


def test_a_session_of_another_frame_size_is_refused(folder, noise, tmp_path):
    model = hermes.load(folder, device="cpu")
    session = hermes.StreamSession(model, budget=64)
    session.push(*noise(4))
    session.save(tmp_path / "session")
    model.limit_pixels(16 * 16)
    with pytest.raises(HermesError, match="frames of 32 x 32 pixels, is not one of this model at its frame size"):
        hermes.StreamSession.load(tmp_path / "session", model)


@pytest.mark.parametrize("family", ["qwen2_5_vl", "video_llama_3", "glm4v"])
def test_families_that_keep_the_aspect_ratio_scale_frames_down(family, tmp_path):
    made = tiny.FAMILIES[family](tmp_path)
    preprocessor = made / "preprocessor_config.json"
    sizes = {"min_pixels": 128, "max_pixels": 40_960}
    preprocessor.write_text(json.dumps(json.loads(preprocessor.read_text("utf-8")) | sizes))
    model = hermes.load(made, device="cpu")
    wide, high = model.layout(240, 480).pixels
    limit = high * wide // 2
    model.limit_pixels(limit)
    smaller = model.layout(240, 480)
    assert smaller.pixels[0] * smaller.pixels[1] <= limit < high * wide
    assert smaller.grid[1] > smaller.grid[0]  # not a square
    model.limit_pixels(10**9)  # a limit above the model's own, or above an earlier one, has no effect
    assert model.layout(240, 480) == smaller
    with pytest.raises(HermesError, match=r"has at least [0-9,]+ pixels; the limit cannot be 1"):
        model.limit_pixels(1)


def test_the_tower_of_things_has_one_size():
    with pytest.raises(HermesError, match="cannot be changed"):
        hermes.load("things", device="cpu").limit_pixels(64 * 64)
