"""Statistics of paired comparisons, as pure functions of counts; they know no model and no policy.

Questions of one stream share its frames and its memory, so intervals draw whole streams. McNemar's test takes questions as
independent, which flatters it; read it beside the interval of the difference.
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
    """How often each cluster is in each bootstrap draw.

    Args:
        clusters: How many there are, at least 1; as many are drawn, with replacement.
        draws: How many times.
        seed: Of the draws.

    Returns:
        float64 [draws, clusters]; every row adds up to `clusters`.
    """
    even = np.full(clusters, 1 / clusters)
    return np.random.default_rng(seed).multinomial(clusters, even, draws).astype(np.float64)


def mean_interval(right: Float, asked: Float, weights: Float) -> tuple[float, float]:
    """95 % bootstrap interval of `sum(right) / sum(asked)`, drawn by cluster.

    Args:
        right: Sum of the values in each cluster [clusters].
        asked: Number of values in each cluster [clusters]; 0 where a cluster has none.
        weights: From `bootstrap_weights` [draws, clusters].

    Returns:
        Its lower and upper end; nan where nothing was asked.
    """
    return _interval(_ratio(weights @ right, weights @ asked))


def difference_interval(first: Float, second: Float, asked: Float, weights: Float) -> tuple[float, float]:
    """95 % bootstrap interval of the difference of two means over the same questions, drawn by cluster.

    Args:
        first: Sum of the one's values in each cluster [clusters].
        second: Sum of the other's [clusters].
        asked: Number of questions in each cluster [clusters].
        weights: From `bootstrap_weights`.

    Returns:
        Ends of the interval of `mean(first) - mean(second)`.
    """
    return _interval(_ratio(weights @ (first - second), weights @ asked))


def ratio_interval(first: Float, second: Float, weights: Float) -> tuple[float, float]:
    """95 % bootstrap interval of `sum(first) / sum(second)`, drawn by cluster: accuracy as a share of another's."""
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
    """Exact two-sided McNemar test: could as many questions favour one side if neither were better?

    Args:
        only_first: Questions that only the first answered rightly.
        only_second: Questions that only the second answered rightly.

    Returns:
        `min(1, 2 P(X <= min(b, c)))` with X binomial of n = b + c and 1/2; 1 without any such question.
    """
    discordant, fewer = only_first + only_second, min(only_first, only_second)
    below = sum(comb(discordant, k) for k in range(fewer + 1))
    return min(1.0, 2 * below / 2**discordant)


def holm(values: Sequence[float]) -> list[float]:
    """P-values corrected for how many tests were made (Holm 1979): in the order given, each at least as large as before."""
    order = sorted(range(len(values)), key=values.__getitem__)
    corrected, largest = [0.0] * len(values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(values) - rank) * values[index]))
        corrected[index] = largest
    return corrected
