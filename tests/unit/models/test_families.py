"""Every family: its inputs equal those of transformers' own model, and its memory satisfies the invariants."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import tiny
import torch
from invariants import check_answer, check_memory
from pairwise import pairwise
from transformers import AutoModelForImageTextToText
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import LlavaOnevisionImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil
from transformers.models.video_llama_3.image_processing_pil_video_llama_3 import VideoLlama3ImageProcessorPil

import hermes
from hermes.memory.layer import Provenance

QUESTION = "What was first?"
FRAMES = 12
NUMBERS = {"image_mean": [0.48, 0.45, 0.40], "image_std": [0.26, 0.25, 0.27]}
MODELS = tiny.FAMILIES | tiny.VARIANTS
POLICIES = ("hermes", "full", "sliding-window")  # all others: test_policy_matrix.py


@pytest.fixture(scope="module", params=list(MODELS))
def family(request, family_model):
    return family_model(request.param, layers=4)


@pytest.fixture(scope="module")
def load_reference():
    """Loads transformers' own model from a folder, once."""
    return cache(lambda folder: AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval())


@pytest.fixture
def reference(family, load_reference):
    """transformers' own model, with its own attention."""
    return load_reference(family[1])


def pictures(count, height=24, width=32):
    return np.random.default_rng(5).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def transformers_inputs(model, frames, times, answered):
    """Inputs of transformers' own forward pass for the same stream and question, written by hand for each family."""
    count = len(frames)
    if model.family == "llava_onevision":
        video, extra = "<video>" * 4 * count, None
    elif model.family == "smolvlm":
        stamps = [f"{int(t) // 60:02d}:{int(t) % 60:02d}" for t in times]
        around, inside = "<fake_token_around_image>", "<global-img>" + "<image>" * 4
        video = "".join(f"\nFrame from {stamp}:{around}{inside}{around}" for stamp in stamps)
        extra = {"pixel_values": model.prepare(frames)[None]}
    elif model.family == "internvl":
        video = "\n".join(f"Frame{i + 1}: <img>{'<IMG_CONTEXT>' * 4}</img>" for i in range(count))
        extra = {"pixel_values": model.prepare(frames)}
    elif model.family == "video_llama_3":
        flat, grid = model.patches(frames, model.layout(*frames.shape[1:3]))
        video = ",".join(f"Time {at:.1f}s:{'<|video_pad|>' * 6}" for at in times)
        extra = {"pixel_values_videos": flat, "video_grid_thw": grid, "video_merge_sizes": torch.tensor([2])}
    else:
        layout = model.layout(*frames.shape[1:3], times[1] - times[0])
        flat, grid = model.patches(frames, layout)
        step = "<|video_pad|>" * (layout.grid[0] * layout.grid[1])
        if model.family == "qwen2_5_vl":
            video = step * (count // 2)
        elif "glm" in model.family:
            step = "<|begin_of_image|>" + "<|image|>" * 6 + "<|end_of_image|>"
            video = "".join(f"{step}{at:.1f} seconds" for at in times[::2])
        else:
            middles = (times[::2] + times[1::2]) / 2
            video = "".join(f"<{at:.1f} seconds><|vision_start|>{step}<|vision_end|>" for at in middles)
        extra = {"pixel_values_videos": flat, "video_grid_thw": grid}
    ids = model.tokenize(model.head_text() + video + model.tail_text(QUESTION))
    return torch.cat((ids, ids.new_tensor(answered)))[None], extra


def expected_logits(model, reference, frames, times, positions, answered=()):
    """Logits of transformers' own forward; `positions` are those of the memory, followed by the question and the answer."""
    ids, extra = transformers_inputs(model, frames, times, answered)
    if extra is None:  # LLaVA-OneVision without its newline token
        embeddings = reference.get_input_embeddings()(ids)
        features = reference.model.get_video_features(model.prepare(frames)[None]).pooler_output[0, :-1]
        embeddings[ids == reference.config.video_token_id] = features
        return reference(inputs_embeds=embeddings).logits
    if model.axes == 3:
        names = ("video_token_id", "image_token_id")  # GLM writes the patches of a video as those of images
        types = sum((ids == getattr(reference.config, name)).int() * 2 for name in names)
        types[:, ids.shape[1] - len(answered) :] = 0
        grid = extra["video_grid_thw"]
        seconds = torch.tensor([2 * (times[1] - times[0])])
        counted, _ = reference.model.get_rope_index(ids, types, video_grid_thw=grid, second_per_grid_ts=seconds)
        tail = len(model.tokenize(model.tail_text(QUESTION))) + len(answered)
        # For Qwen2.5-VL the text behind a video starts at the largest position + 1, as published with the model and with
        # HERMES; transformers 5.23 lets it start earlier. Everything up to there is compared.
        until = -tail if model.family == "qwen2_5_vl" else None
        torch.testing.assert_close(positions[:, None, :until].long(), counted[:, :, :until])
        return reference(input_ids=ids, position_ids=positions[:, None], mm_token_type_ids=types, **extra).logits
    return reference(input_ids=ids, **extra).logits


@pytest.mark.parametrize(
    ("family", "policy", "chunk"),
    pairwise(tiny.FAMILIES, POLICIES, (1, 3, 16)) + [(name, "hermes", 3) for name in tiny.VARIANTS],
    indirect=["family"],
)
def test_streaming_equals_transformers(family, reference, policy, chunk):
    model, _ = family
    frames, times = pictures(FRAMES), np.arange(FRAMES) / 2
    session = hermes.StreamSession(model, policy=policy, budget=1000, chunk=chunk)
    session.push(frames[:5], times[:5])
    session.push(frames[5:], times[5:])
    check_memory(session.snapshot(), model.max_positions, model.axes)
    branch = session.state.cache.branch()
    ids = model.tokenize(model.tail_text(QUESTION))
    positions = model.text_positions(branch.next_positions(), len(ids))
    hidden = model.prefill(model.embed(ids), positions, Provenance.of_text(len(ids), model.device), branch)
    held = branch.layers[-1].held().positions
    session.state.cache.release(branch)
    with torch.inference_mode():
        expected = expected_logits(model, reference, frames, times, held)[:, -len(ids) :]
    # With linear attention, transformers' own forward in pieces differs by up to 1e-4 from the one over the whole sequence.
    tolerance = 3e-4 if model.state_layers else 1e-4
    torch.testing.assert_close(model.logits(hidden), expected, atol=tolerance, rtol=tolerance)


def test_the_answer_is_the_one_that_transformers_decodes_greedily(family, reference):
    model, _ = family
    frames, times = pictures(FRAMES), np.arange(FRAMES) / 2
    session = hermes.StreamSession(model, budget=1000, chunk=3)
    session.push(frames, times)
    tail = model.text_positions(
        session.state.cache.next_positions()[-1:], len(model.tokenize(model.tail_text(QUESTION)))
    )
    positions = torch.cat((session.state.cache.layers[-1].held().positions, tail[:, 0]), dim=1)
    answered = []
    while len(answered) < 4:
        with torch.inference_mode():
            logits = expected_logits(model, reference, frames, times, positions, answered)
        token = int(logits[0, -1].argmax())
        if token in model.stop_ids:
            break
        answered.append(token)
        positions = torch.cat((positions, positions[:, -1:] + 1), dim=1)
    message = "".join(session.ask(QUESTION, max_new_tokens=4))
    assert message == model.tokenizer.decode(answered, skip_special_tokens=True)


@pytest.mark.parametrize("size", [(24, 32), (40, 30), (17, 50)])
def test_frames_are_prepared_as_transformers_does(family, size):
    model, _ = family
    frame = pictures(1, *size)[0]
    if model.axes == 3:
        own = Qwen2VLImageProcessorPil(
            **NUMBERS, patch_size=4, size={"shortest_edge": 16 * 16, "longest_edge": 18 * 24}
        )
        expected = own(frame, return_tensors="np")["pixel_values"]
        prepared, _ = model.patches([frame, frame], model.layout(*size))
    elif model.family == "video_llama_3":
        limits = {"shortest_edge": 16 * 16, "longest_edge": 18 * 24}
        own = VideoLlama3ImageProcessorPil(**NUMBERS, patch_size=4, merge_size=2, size=limits)
        expected = own(frame, return_tensors="np")["pixel_values"]
        prepared, _ = model.patches([frame], model.layout(*size))
    elif model.family == "smolvlm":
        limits = {"size": {"longest_edge": 40}, "max_image_size": {"longest_edge": 32}}
        own = SmolVLMImageProcessorPil(**NUMBERS, **limits, resample=1, do_image_splitting=False)
        expected = own(frame, return_tensors="np")["pixel_values"][0]
        prepared = model.prepare([frame])
    else:
        own = LlavaOnevisionImageProcessorPil(**NUMBERS, size={"height": 32, "width": 32})
        expected = own(frame, return_tensors="np")["pixel_values"][0][:1]
        prepared = model.prepare([frame])
    np.testing.assert_allclose(prepared.numpy(), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("family", "policy", "reindexing"),
    pairwise(tiny.FAMILIES, POLICIES, ("lazy", "eager")) + [(name, "hermes", "lazy") for name in tiny.VARIANTS],
    indirect=["family"],
)
def test_eviction_leaves_a_sound_memory(family, policy, reindexing):
    model, _ = family
    session = hermes.StreamSession(model, policy=policy, budget=60, reindexing=reindexing, chunk=3)
    frames = pictures(31)
    for start in range(0, 31, 7):
        session.push(frames[start : start + 7], (start + np.arange(len(frames[start : start + 7]))) / 2)
        check_memory(session.snapshot(), model.max_positions, model.axes)
    message = "".join(session.ask(QUESTION, max_new_tokens=3))
    check_answer(session.snapshot(), message, QUESTION)
    check_memory(session.snapshot(), model.max_positions, model.axes)


@pytest.mark.parametrize(
    ("family", "policy"), [(name, "hermes") for name in tiny.FAMILIES] + [("qwen2_5_vl", "sliding-window")]
)
def test_positions_stay_inside_a_short_range(family_model, family, policy):
    """All tiers of HERMES, and fewer positions than the stream has tokens."""
    (model, _), frames = family_model(family, max_positions=1100), pictures(30)
    session = hermes.StreamSession(model, policy=policy, budget=60, chunk=20)
    for start in (0, 30):  # after 20 frames, the positions are all used
        session.push(frames, start + np.arange(30.0))
        check_memory(session.snapshot(), model.max_positions, model.axes)
    assert any(event.reindexed.any() for event in session.snapshot().evictions)
    message = "".join(session.ask(QUESTION, max_new_tokens=3))
    check_answer(session.snapshot(), message, QUESTION)


def test_a_loaded_session_continues_as_the_saved_one(family, tmp_path):
    model, _ = family
    session = hermes.StreamSession(model, budget=60)
    session.push(pictures(21), np.arange(21) / 2)  # an odd number: a frame may be waiting for its partner
    session.save(tmp_path / "session")
    loaded = hermes.StreamSession.load(tmp_path / "session", model)
    for s in (session, loaded):
        s.push(pictures(9), 20 + np.arange(9) / 2)
    a, b = session.snapshot(), loaded.snapshot()
    np.testing.assert_array_equal(a.frame, b.frame)
    np.testing.assert_array_equal(a.position, b.position)
    answers = [list(s.ask(QUESTION, max_new_tokens=6)) for s in (session, loaded)]
    assert answers[0] == answers[1]
    assert session.stats.frames_seen == 30


def test_a_frame_waits_for_the_partner_it_is_merged_with(family):
    model, _ = family
    merged = model.layout(24, 32).frames_per_step
    session = hermes.StreamSession(model, budget=60)
    session.push(pictures(1), [0.0])
    assert session.stats.frames_seen == (1 if merged == 1 else 0)
    session.push(pictures(2), [0.5, 1.0])
    assert session.stats.frames_seen == 3 // merged * merged
    assert session.snapshot().frame_times[-1] == (1.0 if merged == 1 else 0.5)
