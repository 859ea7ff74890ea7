"""Recorded attention: the output is that of SDPA, and sums over blocks of rows are those of the whole matrix."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.attention.bias import causal_lower_right

from hermes.memory import watched_attention as watched
from hermes.memory.watched_attention import AttentionRecorder, attention_mask, watched_attention

HEADS, KV_HEADS, DIM, PAST = 6, 2, 8, 11


def layer():
    module = nn.Module()
    module.layer_idx, module.num_key_value_groups = 0, HEADS // KV_HEADS
    return module


def whole_matrix(query, key, mask):
    """All probabilities [heads, rows, keys], with keys repeated for each group of heads."""
    repeated = key[0].repeat_interleave(HEADS // KV_HEADS, 0)
    scores = query[0].double() @ repeated.double().transpose(1, 2) * DIM**-0.5
    return (scores if mask is None else scores.masked_fill(~mask[0], -torch.inf)).softmax(-1)


@pytest.mark.parametrize("block", [1, 4 * HEADS * 18 * 3, 2**25])  # one row, three rows, all rows at once
@pytest.mark.parametrize("rows", [1, 7])
@pytest.mark.parametrize(
    ("window", "past_visible"),
    [(slice(None), True), (slice(-1, None), True), (slice(2, 5), False), (torch.tensor([0, 3, 6]), False)],
)
def test_sums_over_blocks_are_those_of_the_whole_matrix(monkeypatch, block, rows, window, past_visible):
    if isinstance(window, torch.Tensor) and rows < 7:
        window = torch.tensor([0])
    monkeypatch.setattr(watched, "BLOCK_BYTES", block)
    generator = torch.Generator().manual_seed(rows)
    keys = PAST + rows
    query = torch.randn(1, HEADS, rows, DIM, generator=generator)
    key, value = (torch.randn(1, KV_HEADS, keys, DIM, generator=generator) for _ in range(2))
    mask = attention_mask(rows, PAST, torch.device("cpu"))
    if not past_visible and mask is not None:
        mask = mask & (torch.rand(rows, keys, generator=generator) < 0.7) | torch.eye(rows, keys).bool()
    recorder = AttentionRecorder([PAST], [window], past_visible)
    plain, _ = watched_attention(layer(), query, key, value, mask)
    output, _ = watched_attention(layer(), query, key, value, mask, recorder=recorder)
    torch.testing.assert_close(output, plain, atol=1e-5, rtol=1e-5)
    probabilities = whole_matrix(query, key, mask)
    expected = probabilities[:, window, :PAST]
    if expected.shape[1]:
        assert recorder.rows[0] == expected.shape[1]
        torch.testing.assert_close(recorder.sums[0].double(), expected.sum(1), atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(recorder.mean(0).double(), expected.mean(1), atol=1e-6, rtol=1e-5)
    repeated = value[0].double().repeat_interleave(HEADS // KV_HEADS, 0)
    torch.testing.assert_close(output[0].transpose(0, 1).double(), probabilities @ repeated, atol=1e-5, rtol=1e-5)


def test_a_block_is_no_larger_than_its_limit(monkeypatch):
    limit, largest = 4 * HEADS * (PAST + 64) * 5, []
    monkeypatch.setattr(watched, "BLOCK_BYTES", limit)
    monkeypatch.setattr(AttentionRecorder, "add", lambda _, __, found: largest.append(found.nbytes))
    query, key = torch.randn(1, HEADS, 64, DIM), torch.randn(1, KV_HEADS, PAST + 64, DIM)
    mask = attention_mask(64, PAST, torch.device("cpu"))
    watched_attention(layer(), query, key, key, mask, recorder=AttentionRecorder([PAST], [slice(None)]))
    assert len(largest) == 13  # 64 rows, five at a time
    assert max(largest) <= limit


@pytest.mark.parametrize("recorded", [False, True])
def test_a_causal_mask_without_elements_equals_one_with(recorded, monkeypatch):
    """FlashAttention gets the former on a GPU; on a CPU torch expands it."""
    tokens, keys = 5, PAST + 5
    query = torch.randn(1, HEADS, tokens, DIM)
    key, value = torch.randn(2, 1, KV_HEADS, keys, DIM)
    outputs, sums = [], []
    for mask in (attention_mask(tokens, PAST, torch.device("cpu")), causal_lower_right(tokens, keys)):
        for block in (2**25, 64) if recorded else (2**25,):  # one matrix, and row by row
            monkeypatch.setattr(watched, "BLOCK_BYTES", block)
            recorder = AttentionRecorder([keys], [slice(1, None)]) if recorded else None
            outputs.append(watched_attention(layer(), query, key, value, mask, recorder=recorder)[0])
            sums += [recorder.sums[0]] if recorder else []
    for one in outputs[1:]:
        torch.testing.assert_close(one, outputs[0])
    for one in sums[1:]:
        torch.testing.assert_close(one, sums[0])
