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
from cinn_clusters.diagnostics.tarp import cluster_folds, positive_spread, standardised

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
    design = np.insert(features, 0, 1.0, axis=1)  # (n, 1 + F), a constant first
    _, num_terms = design.shape
    _, num_sets = labels.shape
    penalty = PENALTY * np.eye(num_terms)
    penalty[0, 0] = 1e-9  # the constant goes free

    # p (1 - p) <= 1 / 4 bounds the Hessian X^T diag(p (1 - p)) X + penalty
    bound = design.T @ design / 4 + penalty
    step = np.linalg.inv(bound)

    slope = np.zeros((num_terms, num_sets))
    for _ in range(NUM_NEWTON_STEPS):
        residual = labels - expit(design @ slope)
        gradient = design.T @ residual - penalty @ slope
        slope += step @ gradient

    query_design = np.insert(queries, 0, 1.0, axis=1)
    chance: np.ndarray = expit(query_design @ slope)
    return chance


@dataclass(frozen=True)
class LocalTestOptions:
    """What L-C2ST is made of.

    Args:
        classifier: Classifier of linear and quadratic terms of theta and x.
        num_null: H, classifiers trained on exchanged labels.
    """

    classifier: Classifier = logistic
    num_null: int = NUM_NULL


def lc2st(
    samples: np.ndarray,
    truth: np.ndarray,
    x: np.ndarray,
    clusters: np.ndarray,
    *,
    options: LocalTestOptions | None = None,
    seed: int = 0,
) -> Lc2st:
    """Train classifiers on (truth, x) against (sample, x) and evaluate them on other clusters.

    A classifier sees one random row of each cluster: given x, truth and sample of a row may be
    exchanged where the posterior is exact, and the null, which exchanges them at random, is exact.
    Rows of a cluster share their truth while their samples are independent, so that neither
    exchanging row by row nor exchanging all rows of a cluster at once would be.

    Args:
        samples: Posterior samples, (S, N, D), in any units.
        truth: Ground-truth parameters, (N, D), in the same units.
        x: Observables, (N, L).
        clusters: Cluster of each row, (N,).
        options: Classifier and number of nulls; logistic regression when absent.
        seed: Seed of the exchanges and the folds.

    Returns:
        Global and local statistics with p-values.

    Raises:
        ValueError: If there are fewer than two samples or two clusters.

    References:
        Linhart, Gramfort & Rodrigues (2023, arXiv:2306.03580), algorithms 1 and 2.
    """
    num_samples = len(samples)
    if num_samples < 2:
        raise ValueError(f"lc2st: expected two samples or more; got {num_samples}")
    options = options or LocalTestOptions()

    # the first sample trains, others are evaluated
    num_evaluated = min(NUM_EVALUATED, num_samples - 1)
    numbers = np.linspace(1, num_samples - 1, num_evaluated).astype(int)
    pairs = _features([truth, samples[0]], x)  # (2, N, F)
    queries = _features(samples[numbers], x)  # (V, N, F)

    rng = np.random.default_rng(seed)
    is_exchanged = _exchanges(len(truth), options.num_null, rng)  # (1 + H, N)
    is_drawn = _one_row_a_cluster(clusters, rng)
    statistics = np.empty(is_exchanged.shape)
    for train, test in cluster_folds(clusters, seed=seed):
        rows = train & is_drawn
        features, held_out = _scaled(pairs[:, rows], queries[:, test])
        labels = _labels(is_exchanged[:, rows])
        chance = options.classifier(features, labels, held_out)  # (V n, 1 + H)
        deviation = (chance.T - 0.5) ** 2
        by_sample = deviation.reshape(len(is_exchanged), num_evaluated, -1)
        statistics[:, test] = by_sample.mean(axis=1)
    return _outcome(statistics[0], statistics[1:])


def _labels(is_exchanged: np.ndarray) -> np.ndarray:
    """Labels (2 n, 1 + H) of truths, then of samples: a truth is 1, unless exchanged."""
    labels = np.concatenate([~is_exchanged, is_exchanged], axis=1)
    return labels.T.astype(float)


def _outcome(local: np.ndarray, local_null: np.ndarray) -> Lc2st:
    """Compare the statistic of each object (N,) with those of exchanged labels (H, N)."""
    statistic = float(local.mean())
    null = local_null.mean(axis=1)
    chance = p_value(statistic, null)

    is_as_large = local_null >= local
    num_as_large = is_as_large.sum(axis=0)
    local_p_values = (1 + num_as_large) / (1 + len(local_null))
    return Lc2st(statistic, null, chance, local, local_p_values)


def _exchanges(num_rows: int, num_null: int, rng: np.random.Generator) -> np.ndarray:
    """Rows whose truth and sample change labels, (1 + H, N): none first, then half of them."""
    is_exchanged = rng.random((num_null, num_rows)) < 0.5
    return np.insert(is_exchanged, 0, False, axis=0)


def _one_row_a_cluster(clusters: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Whether a row is the one that is drawn of its cluster, (N,)."""
    order = rng.permutation(len(clusters))
    _, first = np.unique(clusters[order], return_index=True)
    is_drawn = np.zeros(len(clusters), bool)
    is_drawn[order[first]] = True
    return is_drawn


def _features(thetas: Sequence[np.ndarray] | np.ndarray, x: np.ndarray) -> np.ndarray:
    """Linear and quadratic terms of (theta, x), (len(thetas), N, F), scaled by the first theta."""
    reference = thetas[0]
    centre = reference.mean(axis=0)
    spread = positive_spread(reference)
    observables = standardised(x)

    features = []
    for theta in thetas:
        scaled = (theta - centre) / spread
        linear = np.concatenate([scaled, observables], axis=1)  # (N, D + L)

        # all products of two, squares among them
        first, second = np.triu_indices(linear.shape[1])
        quadratic = linear[:, first] * linear[:, second]
        terms = np.concatenate([linear, quadratic], axis=1)
        features.append(terms)
    return np.stack(features)


def _scaled(features: np.ndarray, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flatten to rows and standardise both by the spread of the first."""
    num_terms = features.shape[-1]
    rows = features.reshape(-1, num_terms)
    query_rows = queries.reshape(-1, num_terms)

    centre = rows.mean(axis=0)
    spread = positive_spread(rows)
    scaled = (rows - centre) / spread
    scaled_queries = (query_rows - centre) / spread
    return scaled, scaled_queries
