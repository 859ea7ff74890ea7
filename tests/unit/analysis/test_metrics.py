"""Metrics agree with the arrays of a snapshot: each is computed a second way here, token by token."""

from __future__ import annotations

import math

import numpy as np
import pytest

import hermes
from hermes.analysis import metrics
from hermes.snapshot import SUMMARY

BUDGET = 96


@pytest.fixture(scope="module")
def asked(pocket):
    """A stream of the shipped model that had to forget, and an answer."""
    session = hermes.StreamSession(pocket, "hermes", budget=BUDGET, chunk=8)
    generator = np.random.default_rng(5)
    session.push(generator.integers(0, 256, (48, 48, 64, 3), dtype=np.uint8), np.arange(48) / 2)
    "".join(session.ask("What was the first card?"))
    return session.snapshot()


@pytest.fixture(scope="module")
def unread(pocket):
    """A stream that forgot nothing and was asked nothing."""
    session = hermes.StreamSession(pocket, "full")
    session.push(np.zeros((4, 48, 64, 3), np.uint8), np.arange(4) / 2)
    return session.snapshot()


@pytest.mark.parametrize("tier", [None, 0, 1, 2])
def test_shares_count_tokens(asked, tier):
    layers = [i for i in range(asked.num_layers) if tier is None or asked.tiers[i] == tier]
    tokens = [frame for i in layers for frame in asked.layer(i)["frame"] if frame >= 0]
    assert metrics.newest_share(asked, tier) == pytest.approx(np.mean([frame >= 36 for frame in tokens]))
    touched = [len({f for f in asked.layer(i)["frame"] if f >= 0}) / 48 for i in layers]
    assert metrics.frames_touched(asked, tier) == pytest.approx(np.mean(touched))
    some = metrics.during(asked, 2.0, 5.0)
    assert np.flatnonzero(some).tolist() == [4, 5, 6, 7, 8, 9, 10]
    inside = [sum(4 <= f <= 10 for f in asked.layer(i)["frame"]) / (7 * 16) for i in layers]
    assert metrics.held(asked, some, tier) == pytest.approx(np.mean(inside))


def test_sums_agree_with_the_arrays(asked):
    long_term = int((asked.tiers == 2).sum())
    assert metrics.summary_tokens(asked) == long_term
    assert metrics.summary_mass(asked) * long_term == pytest.approx(asked.mass[asked.kind == SUMMARY].sum())
    assert metrics.largest_position(asked) == asked.position.max()
    assert metrics.bytes_per_token(asked) * (asked.tokens_seen + asked.prompt_len) == asked.full_cache_bytes
    gone = asked.tokens_seen - (asked.kept.sum(axis=1)).mean()
    assert metrics.evicted_share(asked) == pytest.approx(
        gone / asked.tokens_seen, abs=0.02
    )  # summaries are evicted, too
    assert metrics.reindexed_times(asked) == 0


def test_neighbours_that_keep_the_same_overlap_wholly(asked, unread):
    assert metrics.neighbour_overlap(unread) == 1.0
    pairs = []
    for i in range(asked.num_layers - 1):
        a, b = (
            {(f, p) for f, p in zip(part["frame"], part["patch"], strict=True) if f >= 0}
            for part in (asked.layer(i), asked.layer(i + 1))
        )
        pairs.append(len(a & b) / len(a | b))
    assert metrics.neighbour_overlap(asked) == pytest.approx(np.mean(pairs))


def test_the_edge_of_a_frame(asked):
    assert metrics.border(asked).reshape(4, 4).tolist() == [
        [True] * 4, [True, False, False, True], [True, False, False, True], [True] * 4
    ]  # fmt: skip
    trace = asked.answer
    edge = [
        a for a, p in zip(trace.attention_patch, trace.token_patch, strict=True) if p >= 0 and p not in (5, 6, 9, 10)
    ]
    inside = [a for a, p in zip(trace.attention_patch, trace.token_patch, strict=True) if p in (5, 6, 9, 10)]
    assert metrics.answer_border_ratio(asked, trace) == pytest.approx(np.mean(edge) / np.mean(inside), rel=1e-4)


def test_attention_of_an_answer(asked):
    every = np.ones(48, bool)
    assert metrics.answer_on(asked, asked.answer, every) == pytest.approx(1)
    newest = np.arange(48) >= 36
    assert metrics.answer_on(asked, asked.answer, newest) == pytest.approx(
        metrics.answer_newest_share(asked, asked.answer)
    )


def test_guidance_is_compared_token_by_token(asked):
    some = metrics.during(asked, 2.0, 12.0)
    there, other = [], []
    for i in range(asked.num_layers):
        part = asked.layer(i)
        for frame, attention in zip(part["frame"], part["guidance_attention"], strict=True):
            if frame >= 0 and not math.isnan(attention):
                (there if some[frame] else other).append(attention)
    assert metrics.guidance_ratio(asked, some) == pytest.approx(np.mean(there) / np.mean(other), rel=1e-4)


def test_nothing_to_measure_is_no_number(unread):
    assert math.isnan(metrics.guidance_ratio(unread, np.ones(4, bool)))
    assert math.isnan(metrics.held(unread, np.zeros(4, bool)))
    assert metrics.summary_mass(unread) == 0
    assert metrics.evicted_share(unread) == 0
