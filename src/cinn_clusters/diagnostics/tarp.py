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
    distance = sample_norm - 2 * product + reference_norm  # (S, N)

    offset = truth - references
    truth_distance = (offset**2).sum(axis=1)  # (N,)

    is_nearer = distance < truth_distance
    fractions: np.ndarray = is_nearer.mean(axis=0)
    return fractions


def plain_references(truth: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Points (N, D) uniform over the box of the truths (N, D), independent of x.

    With them a bias that does not depend on x, and a posterior that is the prior, go unnoticed.
    """
    rng = np.random.default_rng(seed)
    lower = truth.min(axis=0)
    upper = truth.max(axis=0)
    return rng.uniform(lower, upper, truth.shape)


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
    features = standardised(x)
    _, num_features = features.shape
    penalty = RIDGE * np.eye(num_features)

    # theta = mean + x slope with slope = (X^T X + RIDGE)^-1 X^T (theta - mean)
    predicted = np.empty_like(truth, dtype=float)
    for train, test in cluster_folds(clusters, seed=seed):
        design, goal = features[train], truth[train]
        mean = goal.mean(axis=0)
        gram = design.T @ design + penalty
        slope = np.linalg.solve(gram, design.T @ (goal - mean))
        predicted[test] = mean + features[test] @ slope

    # a step off the prediction: the truth itself must not be a reference
    rng = np.random.default_rng([seed, 1])
    step = rng.normal(size=truth.shape)
    scale = OFFSET * truth.std(axis=0)
    references: np.ndarray = predicted + scale * step
    return references


def cluster_folds(
    clusters: np.ndarray, *, seed: int = 0
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield masks (N,) of training and test rows; a cluster is in one of the two only.

    Raises:
        ValueError: If there are fewer than two clusters.
    """
    names, cluster_of_row = np.unique(clusters, return_inverse=True)
    num_clusters = len(names)
    if num_clusters < 2:
        raise ValueError(
            f"cluster_folds: expected two clusters or more; got {num_clusters}"
        )

    rng = np.random.default_rng(seed)
    order = rng.permutation(num_clusters)
    num_folds = min(NUM_REFERENCE_FOLDS, num_clusters)
    fold_of_cluster = order % num_folds
    fold_of_row = fold_of_cluster[cluster_of_row]
    for fold in range(num_folds):
        is_test = fold_of_row == fold
        yield ~is_test, is_test


def standardised(x: np.ndarray) -> np.ndarray:
    """Columns (N, L) with mean 0 and standard deviation 1; a constant column becomes 0."""
    centred = x - x.mean(axis=0)
    result: np.ndarray = centred / positive_spread(x)
    return result


def positive_spread(rows: np.ndarray) -> np.ndarray:
    """Standard deviation of columns (N, L); 1 where a column is constant."""
    spread = rows.std(axis=0)
    return np.where(spread > 0, spread, 1.0)
