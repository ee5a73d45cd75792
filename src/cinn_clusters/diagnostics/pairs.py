"""Correlations of targets: do truths scatter together as the samples of their posteriors do?

With Gaussian scores g of truths and of samples, corr(g_i, g_j) of an exact posterior equals the
mean over objects of the correlation of its samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from cinn_clusters.diagnostics.bands import ALPHA, SimultaneousTest, simultaneous_test


@dataclass(frozen=True)
class Pair:
    """Correlation of two targets, of truths and of samples."""

    first: int
    second: int
    of_truths: float
    of_samples: float


@dataclass(frozen=True, eq=False)
class PairTest:
    """Outcome for all pairs of targets, which share one level."""

    pairs: tuple[Pair, ...]
    test: SimultaneousTest


def pair_test(
    scores: np.ndarray,
    sample_scores: np.ndarray,
    weights: np.ndarray,
    alpha: float = ALPHA,
) -> PairTest:
    """Compare correlations of truths with those of samples, for every two of D targets.

    Scores are scaled to unit variance first, so that a wrong bias or width of a marginal is none of
    a correlation.

    Args:
        scores: Gaussian scores of the truths, (N, D).
        sample_scores: Gaussian scores of the samples, (S, N, D).
        weights: Bootstrap weights, which resample clusters, (R, N).
        alpha: Level that all pairs share.
    """
    truth = _unit(scores)
    samples = _unit(sample_scores)
    num_objects, num_targets = truth.shape
    numbers = list(combinations(range(num_targets), 2))
    contributions = np.empty((num_objects, len(numbers)))
    pairs = []
    for k, (first, second) in enumerate(numbers):
        pair, contributions[:, k] = _compare(truth, samples, first, second)
        pairs.append(pair)
    test = simultaneous_test(contributions, weights, alpha)
    return PairTest(tuple(pairs), test)


def _compare(
    truth: np.ndarray, samples: np.ndarray, first: int, second: int
) -> tuple[Pair, np.ndarray]:
    """Correlations of two targets, and what each object contributes to their difference, (N,)."""
    g_i = truth[:, first]
    g_j = truth[:, second]
    product = g_i * g_j
    correlation = product.mean()

    by_sample = samples[..., first] * samples[..., second]
    expected = by_sample.mean(axis=0)
    of_samples = float(expected.mean())
    pair = Pair(first, second, float(correlation), of_samples)

    # influence of a row on a correlation: the last term has mean zero
    power = (g_i**2 + g_j**2) / 2
    influence = correlation * (power - 1)
    contributions = product - expected - influence
    return pair, contributions


def _unit(scores: np.ndarray) -> np.ndarray:
    """Scores with mean 0 and variance 1 over all but the last axis."""
    axes = tuple(range(scores.ndim - 1))
    centred = scores - scores.mean(axis=axes)
    spread = centred.std(axis=axes)
    unit: np.ndarray = centred / np.where(spread > 0, spread, 1.0)
    return unit
