"""Statistics of paired comparisons as pure functions of counts.

Questions about one stream share its frames and memory, so the bootstrap samples whole streams. McNemar's test assumes
independent questions, so its p-values are too small; read them together with the interval of the difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import comb

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]

LEVEL = (0.025, 0.975)
"""Ends of a 95 % interval."""


def bootstrap_weights(clusters: int, draws: int = 2000, seed: int = 0) -> Float:
    """Return how often each cluster occurs in each bootstrap sample.

    Args:
        clusters: Number of clusters, at least 1; each sample draws this number with replacement.
        draws: Number of samples.
        seed: Random seed.

    Returns:
        float64 [draws, clusters]; every row adds up to `clusters`.
    """
    even = np.full(clusters, 1 / clusters)
    return np.random.default_rng(seed).multinomial(clusters, even, draws).astype(np.float64)


def mean_interval(right: Float, asked: Float, weights: Float) -> tuple[float, float]:
    """95 % cluster bootstrap interval of `sum(right) / sum(asked)`.

    Args:
        right: Sum of the values in each cluster [clusters].
        asked: Number of values in each cluster, may be 0 [clusters].
        weights: From `bootstrap_weights` [draws, clusters].

    Returns:
        Lower and upper end; nan without values.
    """
    return _interval(_ratio(weights @ right, weights @ asked))


def difference_interval(first: Float, second: Float, asked: Float, weights: Float) -> tuple[float, float]:
    """95 % cluster bootstrap interval of `mean(first) - mean(second)` over the same questions.

    Args:
        first: Sum of the first values in each cluster [clusters].
        second: Sum of the second values in each cluster [clusters].
        asked: Number of questions in each cluster [clusters].
        weights: From `bootstrap_weights`.

    Returns:
        Lower and upper end.
    """
    return _interval(_ratio(weights @ (first - second), weights @ asked))


def weighted_ratios_interval(values: Float, counts: Float, shares: Float, weights: Float) -> tuple[float, float]:
    """95 % cluster bootstrap interval of a weighted mean over groups of `sum(values) / sum(counts)`.

    Args:
        values: Sum of the values of each group in each cluster [groups, clusters].
        counts: Number of values of each group in each cluster, may be 0 [groups, clusters].
        shares: Weight of each group in the mean [groups].
        weights: From `bootstrap_weights` [draws, clusters].

    Returns:
        Lower and upper end; nan without values. A sample that contains no value of a group averages the other groups.
    """
    drawn = _ratio(weights @ values.T, weights @ counts.T)
    known = ~np.isnan(drawn)
    return _interval(_ratio(np.where(known, drawn, 0) @ shares, known @ shares))


def ratio_interval(first: Float, second: Float, weights: Float) -> tuple[float, float]:
    """95 % cluster bootstrap interval of `sum(first) / sum(second)`: one accuracy relative to another."""
    return _interval(_ratio(weights @ first, weights @ second))


def _ratio(above: Float, below: Float) -> Float:
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)


def _interval(drawn: Float) -> tuple[float, float]:
    drawn = drawn[~np.isnan(drawn)]
    if not len(drawn):
        return float("nan"), float("nan")
    low, high = np.quantile(drawn, LEVEL)
    return float(low), float(high)


def mcnemar_exact(only_first: int, only_second: int) -> float:
    """Exact two-sided McNemar test.

    Args:
        only_first: Questions that only the first answered correctly, b.
        only_second: Questions that only the second answered correctly, c.

    Returns:
        p-value `min(1, 2 P(X <= min(b, c)))` with X ~ Binomial(b + c, 1/2); 1 if b + c = 0.
    """
    discordant, fewer = only_first + only_second, min(only_first, only_second)
    below = sum(comb(discordant, k) for k in range(fewer + 1))
    return min(1.0, 2 * below / 2**discordant)


def holm(values: Sequence[float]) -> list[float]:
    """Return p-values corrected for multiple tests (Holm 1979), in the given order."""
    order = sorted(range(len(values)), key=values.__getitem__)
    corrected, largest = [0.0] * len(values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(values) - rank) * values[index]))
        corrected[index] = largest
    return corrected
