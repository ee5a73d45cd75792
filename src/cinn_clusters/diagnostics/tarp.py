"""Tests of accuracy with random points (TARP): joint calibration from samples alone.

With a reference point rho_i for each object, f_i = mean_l 1[d(theta_il, rho_i) < d(theta*_i,
rho_i)] is uniform if the posterior is calibrated (Lemos+23). Samples, truth and references are to
be scaled alike.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

NUM_REFERENCE_FOLDS = 5
RIDGE = 1.0
OFFSET = 0.1
"""Size of the random step away from the regression on x, in standard deviations of theta."""


def tarp_fractions(
    samples: np.ndarray, truth: np.ndarray, references: np.ndarray
) -> np.ndarray:
    """Share of samples (S, N, D) that lie nearer to a reference point (N, D) than the truth, (N,).

    The references must not depend on the truth of their object.

    References:
        Lemos+23 (arXiv:2302.03026), algorithm 2.

    Examples:
        >>> tarp_fractions(np.array([[[0.5]], [[2.0]]]), np.array([[1.0]]), np.array([[0.0]]))
        array([0.5])
    """
    # |theta - rho|^2 by products: no array of the size of the samples
    sample_norm = np.einsum("snd,snd->sn", samples, samples)
    reference_norm = np.einsum("nd,nd->n", references, references)
    product = np.einsum("snd,nd->sn", samples, references)
    distance = sample_norm - 2 * product + reference_norm
    truth_distance = ((truth - references) ** 2).sum(axis=1)
    return np.asarray((distance < truth_distance).mean(axis=0))


def plain_references(truth: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Points (N, D) uniform over the box of the truths (N, D), independent of x.

    With them a bias that does not depend on x, and a posterior that is the prior, go unnoticed.
    """
    lower, upper = truth.min(axis=0), truth.max(axis=0)
    return np.asarray(np.random.default_rng(seed).uniform(lower, upper, truth.shape))


def references_from_x(
    truth: np.ndarray, x: np.ndarray, clusters: np.ndarray, *, seed: int = 0
) -> np.ndarray:
    """Predictions of a ridge regression on x, fitted on other clusters, plus a small random step.

    Args:
        truth: Ground-truth parameters, scaled, shape (N, D).
        x: Observables, in any units, shape (N, L).
        clusters: Cluster of each row, shape (N,).
        seed: Seed of folds and steps.

    Returns:
        Reference points, shape (N, D).

    Raises:
        ValueError: If there are fewer than two clusters.

    References:
        Lemos+23 (arXiv:2302.03026), theorem 3: references that depend on x make the test
        sufficient.
    """
    x = standardised(x)
    references = np.empty_like(truth, dtype=float)
    for train, test in cluster_folds(clusters, seed=seed):
        mean = truth[train].mean(axis=0)
        gram = x[train].T @ x[train] + RIDGE * np.eye(x.shape[1])
        slope = np.linalg.solve(gram, x[train].T @ (truth[train] - mean))
        references[test] = mean + x[test] @ slope
    step = np.random.default_rng([seed, 1]).normal(size=truth.shape)
    return np.asarray(references + OFFSET * truth.std(axis=0) * step)


def cluster_folds(
    clusters: np.ndarray, *, seed: int = 0
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield masks (N,) of training and test rows; a cluster is in one of the two only.

    Raises:
        ValueError: If there are fewer than two clusters.
    """
    names, cluster_of_row = np.unique(clusters, return_inverse=True)
    if len(names) < 2:
        raise ValueError(
            f"cluster_folds: expected two clusters or more; got {len(names)}"
        )
    order = np.random.default_rng(seed).permutation(len(names))
    fold = order % min(NUM_REFERENCE_FOLDS, len(names))
    for k in range(fold.max() + 1):
        is_test = fold[cluster_of_row] == k
        yield ~is_test, is_test


def standardised(x: np.ndarray) -> np.ndarray:
    """Columns (N, L) with mean 0 and standard deviation 1; a constant column becomes 0."""
    spread = x.std(axis=0)
    return np.asarray((x - x.mean(axis=0)) / np.where(spread > 0, spread, 1.0))
