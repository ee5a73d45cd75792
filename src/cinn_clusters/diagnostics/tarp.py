"""Tests of accuracy with random points: joint calibration from draws alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

NUM_FOLDS = 5
RIDGE = 1.0
OFFSET = 0.1
"""Size of the random step away from what is expected from x, in standard deviations of theta."""


def tarp_fractions(samples: np.ndarray, truth: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Share of draws that lie nearer to a reference point than the truth.

    Args:
        samples: Posterior draws, (S, N, D), scaled as truth and references are.
        truth: (N, D).
        references: One point an object, (N, D); chosen without knowing its truth.

    Returns:
        (N,), in [0, 1]; uniform if the posterior is calibrated, for any choice of references.

    References:
        Lemos+23 (arXiv:2302.03026), algorithm 2.

    Examples:
        >>> tarp_fractions(np.array([[[0.5]], [[2.0]]]), np.array([[1.0]]), np.array([[0.0]]))
        array([0.5])
    """
    # squared distances by products: no array of the size of the samples
    offset = np.einsum("nd,nd->n", references, references)
    nearness = (
        np.einsum("snd,snd->sn", samples, samples)
        - 2 * np.einsum("snd,nd->sn", samples, references)
        + offset
    )
    return np.asarray((nearness < ((truth - references) ** 2).sum(1)).mean(0))


def plain_references(truth: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Points uniform over the box of the truths: they see neither x nor the truth of their object.

    With them a bias that does not depend on x, and a posterior that is the prior, go unnoticed.

    Args:
        truth: (N, D).
        seed: Seed.

    Returns:
        (N, D).
    """
    lower, upper = truth.min(0), truth.max(0)
    return np.asarray(np.random.default_rng(seed).uniform(lower, upper, truth.shape))


def references_from_x(
    truth: np.ndarray, x: np.ndarray, clusters: np.ndarray, *, seed: int = 0
) -> np.ndarray:
    """Points near what a linear regression expects from x, fitted on other clusters, plus a small random step.

    Args:
        truth: (N, D), scaled.
        x: Observables, (N, L), in any units.
        clusters: Cluster of each row, (N,).
        seed: Seed of folds and steps.

    Returns:
        (N, D); no point has seen the truth of its own cluster.

    Raises:
        ValueError: If there are fewer than two clusters.

    References:
        Lemos+23 (arXiv:2302.03026), theorem 3: references that depend on x make the test
        sufficient.
    """
    x = standardised(x)
    references = np.empty_like(truth, dtype=float)
    for rest, here in folds(clusters, seed=seed):
        mean = truth[rest].mean(0)
        gram = x[rest].T @ x[rest] + RIDGE * np.eye(x.shape[1])
        slope = np.linalg.solve(gram, x[rest].T @ (truth[rest] - mean))
        references[here] = mean + x[here] @ slope
    step = np.random.default_rng([seed, 1]).normal(size=truth.shape)
    return np.asarray(references + OFFSET * truth.std(0) * step)


def folds(
    clusters: np.ndarray, num_folds: int = NUM_FOLDS, *, seed: int = 0
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield masks (N,) of the rows to fit on and of those to answer for; a cluster is on one side only.

    Raises:
        ValueError: If there are fewer than two clusters.
    """
    names, of_row = np.unique(clusters, return_inverse=True)
    if len(names) < 2:
        raise ValueError(f"folds: expected two clusters or more; got {len(names)}")
    fold = np.random.default_rng(seed).permutation(len(names)) % min(num_folds, len(names))
    for k in range(fold.max() + 1):
        here = fold[of_row] == k
        yield ~here, here


def standardised(x: np.ndarray) -> np.ndarray:
    """Columns (N, L) with mean 0 and spread 1; a constant column becomes 0."""
    spread = x.std(0)
    return np.asarray((x - x.mean(0)) / np.where(spread > 0, spread, 1.0))
