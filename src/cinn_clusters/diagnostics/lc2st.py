"""Local classifier two-sample test (L-C2ST): can a classifier tell ground truth from samples?

A classifier d(theta, x) is trained on pairs (theta*, x) against (theta ~ q(.|x), x). At an object
the statistic is t(x) = mean_l (d(theta_l, x) - 1/2)^2, which is zero where q is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from cinn_clusters.diagnostics.bands import p_value
from cinn_clusters.diagnostics.tarp import cluster_folds, standardised

NUM_NULL = 250
"""Number of null classifiers: enough for a p-value below 0.5 %."""
NUM_EVALUATED = 20
"""Number of samples of an object at which the classifier is evaluated."""
PENALTY = 30.0
NUM_NEWTON_STEPS = 12
Classifier = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""Features (n, F), labels (n, H) and features (m, F) to the chance (m, H) of label 1, for H sets
of labels at once."""


@dataclass(frozen=True, eq=False)
class Lc2st:
    """Outcome of the test over N objects and H null classifiers."""

    statistic: float  # mean of the local statistic over objects
    null: np.ndarray  # the same for exchanged labels, (H,)
    p_value: float
    local: np.ndarray  # statistic t(x) of each object, (N,)
    local_p_values: np.ndarray  # (N,): a map of where the posterior fails


def logistic(
    features: np.ndarray, labels: np.ndarray, queries: np.ndarray
) -> np.ndarray:
    """Penalised logistic regression for many sets of labels: exact for Gaussians if quadratic.

    Standardised features (n, F) and labels 0 or 1 (n, H) give the chance (m, H) of label 1 at
    queries (m, F). One bound of the Hessian serves all steps and all labels.

    References:
        Boehning & Lindsay (1988), Monotonicity of quadratic-approximation algorithms.
    """
    design = np.insert(features, 0, 1.0, axis=1)
    penalty = PENALTY * np.eye(design.shape[1])
    penalty[0, 0] = 1e-9  # the constant goes free
    step = np.linalg.inv(design.T @ design / 4 + penalty)
    slope = np.zeros((design.shape[1], labels.shape[1]))
    for _ in range(NUM_NEWTON_STEPS):
        residual = labels - expit(design @ slope)
        gradient = design.T @ residual - penalty @ slope
        slope += step @ gradient
    return np.asarray(expit(np.insert(queries, 0, 1.0, axis=1) @ slope))


def lc2st(
    samples: np.ndarray,
    truth: np.ndarray,
    x: np.ndarray,
    clusters: np.ndarray,
    *,
    classifier: Classifier = logistic,
    num_null: int = NUM_NULL,
    seed: int = 0,
) -> Lc2st:
    """Train classifiers on (truth, x) against (sample, x) and evaluate them on other clusters.

    The null exchanges truth and sample for whole clusters at random: rows of a cluster share their
    truth, so that exchanging row by row would make the null too narrow.

    Args:
        samples: Posterior samples, (S, N, D), in any units.
        truth: Ground-truth parameters, (N, D), in the same units.
        x: Observables, (N, L).
        clusters: Cluster of each row, (N,).
        classifier: Classifier of linear and quadratic terms of theta and x.
        num_null: Number of classifiers trained on exchanged labels.
        seed: Seed of the exchanges and the folds.

    Returns:
        Global and local statistics with p-values.

    Raises:
        ValueError: If there are fewer than two samples or two clusters.

    References:
        Linhart, Gramfort & Rodrigues (2023, arXiv:2306.03580), algorithms 1 and 2.
    """
    if len(samples) < 2:
        raise ValueError(f"lc2st: expected two samples or more; got {len(samples)}")
    num_evaluated = min(NUM_EVALUATED, len(samples) - 1)
    numbers = np.linspace(1, len(samples) - 1, num_evaluated).astype(int)
    pairs = _features([truth, samples[0]], x)  # (2, N, F)
    queries = _features(samples[numbers], x)  # (V, N, F)
    is_exchanged = _exchanges(clusters, num_null, seed)  # (1 + H, N)
    local = np.empty(is_exchanged.shape)
    for train, test in cluster_folds(clusters, seed=seed):
        features, held_out = _scaled(pairs[:, train], queries[:, test])
        flipped = is_exchanged[:, train]
        labels = np.concatenate(
            [~flipped, flipped], axis=1
        )  # a truth is 1, unless exchanged
        chance = classifier(
            features, labels.T.astype(float), held_out
        ).T  # (1 + H, V n)
        deviation = ((chance - 0.5) ** 2).reshape(1 + num_null, num_evaluated, -1)
        local[:, test] = deviation.mean(axis=1)
    statistic, null = float(local[0].mean()), local[1:].mean(axis=1)
    num_larger = (local[1:] >= local[0]).sum(axis=0)
    local_p_values = (1 + num_larger) / (1 + num_null)
    return Lc2st(statistic, null, p_value(statistic, null), local[0], local_p_values)


def _exchanges(clusters: np.ndarray, num_null: int, seed: int) -> np.ndarray:
    """Rows whose truth and sample change labels, (1 + H, N): none first, then random clusters."""
    names, cluster_of_row = np.unique(clusters, return_inverse=True)
    chance = np.random.default_rng(seed).random((num_null, len(names)))
    is_exchanged = chance[:, cluster_of_row] < 0.5
    return np.insert(is_exchanged, 0, False, axis=0)


def _features(thetas: Sequence[np.ndarray] | np.ndarray, x: np.ndarray) -> np.ndarray:
    """Linear and quadratic terms of (theta, x), (len(thetas), N, F), scaled by the first theta."""
    centre, spread = thetas[0].mean(axis=0), _spread(thetas[0])
    observables = standardised(x)
    features = []
    for theta in thetas:
        linear = np.concatenate([(theta - centre) / spread, observables], axis=1)
        first, second = np.triu_indices(linear.shape[1])
        quadratic = linear[:, first] * linear[:, second]
        features.append(np.concatenate([linear, quadratic], axis=1))
    return np.stack(features)


def _scaled(features: np.ndarray, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flatten to rows and standardise both by the spread of the first."""
    rows = features.reshape(-1, features.shape[-1])
    query_rows = queries.reshape(-1, queries.shape[-1])
    centre, spread = rows.mean(axis=0), _spread(rows)
    return (rows - centre) / spread, (query_rows - centre) / spread


def _spread(rows: np.ndarray) -> np.ndarray:
    """Standard deviation of columns; 1 where a column is constant."""
    spread = rows.std(axis=0)
    return np.where(spread > 0, spread, 1.0)
