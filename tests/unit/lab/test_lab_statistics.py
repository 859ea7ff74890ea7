"""The lab's statistics against values worked out by hand, by enumeration, and by simulation."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from hermes.lab.statistics import (
    bootstrap_weights,
    difference_interval,
    holm,
    mcnemar_exact,
    mean_interval,
    ratio_interval,
)


@pytest.mark.parametrize(
    ("only_first", "only_second", "p"),
    [
        (0, 0, 1.0),
        (5, 5, 1.0),
        (0, 5, 2 / 32),
        (1, 9, 2 * (1 + 10) / 1024),
        (9, 1, 2 * (1 + 10) / 1024),
        (2, 8, 2 * (1 + 10 + 45) / 1024),
    ],
)
def test_mcnemar_by_hand(only_first, only_second, p):
    assert mcnemar_exact(only_first, only_second) == pytest.approx(p, abs=1e-15)


def test_mcnemar_is_the_share_of_coin_throws_that_are_as_uneven():
    """All 2^n outcomes of n fair coins, counted one by one."""
    for n in (1, 4, 7, 10):
        heads = np.array([sum(throws) for throws in product((0, 1), repeat=n)])
        for b in range(n + 1):
            as_uneven = np.abs(heads - n / 2) >= abs(b - n / 2) - 1e-9
            assert mcnemar_exact(b, n - b) == pytest.approx(as_uneven.mean())


def test_holm_by_hand():
    # Sorted: 0.01 x 3, 0.03 x 2, 0.04 x 1, none below the one before.
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_each_draw_has_as_many_streams_as_there_are():
    weights = bootstrap_weights(7, draws=50)
    assert weights.shape == (50, 7)
    assert (weights.sum(1) == 7).all()
    assert np.array_equal(weights, bootstrap_weights(7, draws=50))
    assert not np.array_equal(weights, bootstrap_weights(7, draws=50, seed=1))


def _simulate(rng, streams, each):
    """Streams with an accuracy of their own, 0.7 in the mean: questions of one stream depend on each other."""
    easy = rng.beta(1.4, 0.6, streams)
    return rng.binomial(each, easy).astype(float)


def test_intervals_cover_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(4)
    streams, each, covered, naive_covered, rounds = 40, 8, 0, 0, 300
    asked = np.full(streams, float(each))
    for i in range(rounds):
        right = _simulate(rng, streams, each)
        low, high = mean_interval(right, asked, bootstrap_weights(streams, 600, i))
        covered += low <= 0.7 <= high
        mean = right.sum() / asked.sum()
        half = 1.96 * np.sqrt(mean * (1 - mean) / asked.sum())  # as if all questions were independent
        naive_covered += abs(mean - 0.7) <= half
    assert 0.90 <= covered / rounds <= 0.985
    assert naive_covered / rounds < 0.75


def test_the_interval_of_a_difference_uses_the_pairing():
    """Two policies that fail on the same hard streams: their difference is known far better than either accuracy."""
    rng = np.random.default_rng(1)
    first = _simulate(rng, 60, 10)
    second = np.maximum(first - rng.binomial(1, 0.5, 60), 0)
    asked, weights = np.full(60, 10.0), bootstrap_weights(60)
    low, high = difference_interval(first, second, asked, weights)
    assert low <= (first - second).sum() / 600 <= high
    alone = mean_interval(first, asked, weights)
    assert high - low < (alone[1] - alone[0]) / 3
    assert difference_interval(first, first, asked, weights) == (0.0, 0.0)


def test_a_ratio_of_accuracies():
    right, half = np.array([4.0, 8.0, 6.0]), np.array([2.0, 4.0, 3.0])
    assert ratio_interval(half, right, bootstrap_weights(3)) == (0.5, 0.5)


def test_streams_without_a_question_do_not_count():
    weights = bootstrap_weights(3, 400)
    low, high = mean_interval(np.array([1.0, 0.0, 0.0]), np.array([1.0, 0.0, 0.0]), weights)
    assert (low, high) == (1.0, 1.0)
    assert np.isnan(mean_interval(np.zeros(3), np.zeros(3), weights)[0])
