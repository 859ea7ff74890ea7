"""Without eviction, streaming is transformers' own model: same features, same logits, same greedy answer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import LlavaOnevisionForConditionalGeneration
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import LlavaOnevisionImageProcessorPil

import hermes
from hermes.memory.layer import Provenance

QUESTION = "What was first?"


@pytest.fixture(scope="module")
def reference(tiny_folder):
    """transformers' own model, with its own attention."""
    return LlavaOnevisionForConditionalGeneration.from_pretrained(tiny_folder, dtype=torch.float32).eval()


def whole_prompt(model, reference, frames):
    """Embeddings of head, frames and question: the input of a single forward pass."""
    head, tail = model.tokenize(model.head_text()), model.tokenize(model.tail_text(QUESTION))
    with torch.inference_mode():
        video = reference.model.get_video_features(model.prepare(frames)[None]).pooler_output[0, :-1]
        embed = reference.get_input_embeddings()
        return torch.cat((embed(head), video, embed(tail)))[None]


@pytest.mark.parametrize("chunk", [1, 3, 16])
@pytest.mark.parametrize("policy", ["hermes", "full", "sliding-window"])
def test_streaming_equals_one_forward(tiny_model, reference, noise, chunk, policy):
    frames, times = noise(20)
    session = hermes.StreamSession(tiny_model, policy=policy, budget=100, chunk=chunk)
    session.push(frames, times)
    branch = session.state.cache.branch()
    ids = tiny_model.tokenize(tiny_model.tail_text(QUESTION))
    positions = tiny_model.text_positions(branch.next_positions(), len(ids))
    hidden = tiny_model.prefill(
        tiny_model.embed(ids), positions, Provenance.of_text(len(ids), tiny_model.device), branch
    )
    session.state.cache.release(branch)
    embeddings = whole_prompt(tiny_model, reference, frames)
    with torch.inference_mode():
        expected = reference(inputs_embeds=embeddings).logits[:, -len(ids) :]
    torch.testing.assert_close(tiny_model.logits(hidden), expected, atol=1e-4, rtol=1e-4)

    generated = reference.generate(inputs_embeds=embeddings, max_new_tokens=12, do_sample=False)
    text = tiny_model.tokenizer.decode(generated[0], skip_special_tokens=True)
    assert "".join(session.ask(QUESTION, max_new_tokens=12)) == text


def test_frames_are_prepared_as_transformers_does(tiny_model):
    frames = np.random.default_rng(0).integers(0, 256, (3, 50, 70, 3), dtype=np.uint8)
    own = LlavaOnevisionImageProcessorPil(
        size={"height": 32, "width": 32}, image_mean=[0.48, 0.45, 0.40], image_std=[0.26, 0.25, 0.27]
    )
    # The first patch is the whole resized picture, which equals a video frame.
    expected = np.stack([own(frame, return_tensors="np")["pixel_values"][0, 0] for frame in frames])
    np.testing.assert_allclose(tiny_model.prepare(frames).numpy(), expected, atol=1e-5)


def test_recorded_attention_is_the_attention(tiny_folder, tiny_model, noise):
    """The recorded attention of the first token equals transformers' eager attention."""
    frames, times = noise(6)
    eager = LlavaOnevisionForConditionalGeneration.from_pretrained(tiny_folder, attn_implementation="eager").eval()
    embeddings = whole_prompt(tiny_model, eager, frames)
    with torch.inference_mode():
        attentions = eager(inputs_embeds=embeddings, output_attentions=True).attentions
    session = hermes.StreamSession(tiny_model, policy="full")
    session.push(frames, times)
    list(session.ask(QUESTION, max_new_tokens=1))
    trace = session.snapshot().answer
    prompt = session.snapshot().prompt_len
    for layer, attention in enumerate(attentions):
        row = attention[0, :, -1]
        on_frames = row[:, prompt : prompt + 6 * tiny_model.tokens_per_frame].unflatten(1, (6, -1)).sum(-1)
        np.testing.assert_allclose(trace.attention_heads[layer], on_frames.numpy(), atol=1e-5)
        np.testing.assert_allclose(trace.attention_rest[layer, 0], row[:, :prompt].sum(-1).mean(), atol=1e-5)
