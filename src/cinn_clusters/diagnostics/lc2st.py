"""Local classifier two-sample test: can a classifier tell truths from draws, and for which
objects?
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from cinn_clusters.diagnostics.bands import p_value
from cinn_clusters.diagnostics.tarp import folds, standardised

NUM_NULL = 250
"""Enough for a p-value below 0.5 %."""
NUM_PLACES = 20
"""Draws an object at which the classifier is asked."""
PENALTY = 30.0
NUM_STEPS = 12
Classifier = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""Features (n, F), labels (n, H) and features (m, F) to the chance (m, H) of label 1, for H sets
of labels at once."""


@dataclass(frozen=True)
class Lc2st:
    """Outcome of the test.

    Args:
        statistic: Mean over objects of the local statistic.
        null: The same for exchanged labels, (H,).
        p_value: Chance of a larger statistic if truths and draws were alike.
        local: Mean over draws of (d - 1/2)^2 at each object, (N,).
        local_p_values: Chance of a larger local statistic at each object, (N,): a map of where the
            posterior fails.
    """

    statistic: float
    null: np.ndarray
    p_value: float
    local: np.ndarray
    local_p_values: np.ndarray


def logistic(known: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Penalised logistic regression on many sets of labels at once: with quadratic features exact for Gaussians.

    Args:
        known: Standardised features, (n, F).
        labels: 0 or 1, (n, H).
        asked: Features of the points to judge, (m, F).

    Returns:
        Chance of label 1, (m, H).

    References:
        Boehning & Lindsay (1988), Monotonicity of quadratic-approximation algorithms: one bound of
        the Hessian serves all steps and all labels.
    """
    known, asked = (np.concatenate([np.ones((len(rows), 1)), rows], 1) for rows in (known, asked))
    penalty = PENALTY * np.eye(known.shape[1])
    penalty[0, 0] = 1e-9  # the constant goes free
    step = np.linalg.inv(known.T @ known / 4 + penalty)
    slope = np.zeros((known.shape[1], labels.shape[1]))
    for _ in range(NUM_STEPS):
        slope += step @ (known.T @ (labels - expit(known @ slope)) - penalty @ slope)
    return np.asarray(expit(asked @ slope))


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
    """Train classifiers on (truth, x) against (draw, x), and judge clusters they have not seen.

    The null exchanges truth and draw for whole clusters at random: rows of a cluster share their
    truth, so exchanging row by row would make the null too narrow.

    Args:
        samples: Posterior draws, (S, N, D), in any units.
        truth: (N, D), same units.
        x: Observables, (N, L).
        clusters: Cluster of each row, (N,).
        classifier: Given linear and quadratic terms of theta and x.
        num_null: Classifiers trained on exchanged labels.
        seed: Seed.

    Returns:
        Global and local statistics with p-values.

    Raises:
        ValueError: If there are fewer than two draws or two clusters.

    References:
        Linhart, Gramfort & Rodrigues (2023, arXiv:2306.03580), algorithms 1 and 2.
    """
    if len(samples) < 2:
        raise ValueError(f"lc2st: expected two draws or more; got {len(samples)}")
    rng = np.random.default_rng(seed)
    places = np.linspace(1, len(samples) - 1, min(NUM_PLACES, len(samples) - 1)).astype(int)
    rows = _features([truth, samples[0]], x)  # (2, N, F)
    asked = _features(list(samples[places]), x)  # (V, N, F)
    flips = _exchanges(clusters, num_null, rng)  # (1 + H, N)
    local = np.empty((len(flips), len(truth)))
    for rest, here in folds(clusters, seed=seed):
        known, unknown = _scaled(rows[:, rest], asked[:, here])
        labels = np.concatenate(
            [~flips[:, rest], flips[:, rest]], 1
        )  # truths are 1, draws 0, unless exchanged
        chance = classifier(known, labels.T.astype(float), unknown).T  # (1 + H, V n)
        local[:, here] = ((chance - 0.5) ** 2).reshape(len(flips), len(places), -1).mean(1)
    statistic, null = float(local[0].mean()), local[1:].mean(1)
    below = (1 + (local[1:] >= local[0]).sum(0)) / (1 + num_null)
    return Lc2st(statistic, null, p_value(statistic, null), local[0], below)


def _exchanges(clusters: np.ndarray, num_null: int, rng: np.random.Generator) -> np.ndarray:
    """Whose truth and draw change places, (1 + H, N): nobody's first, then whole clusters at
    random.
    """
    names, of_row = np.unique(clusters, return_inverse=True)
    return np.concatenate(
        [np.zeros((1, len(of_row)), bool), rng.random((num_null, len(names)))[:, of_row] < 0.5]
    )


def _features(thetas: list[np.ndarray], x: np.ndarray) -> np.ndarray:
    """Linear and quadratic terms of (theta, x), (len(thetas), N, F)."""
    centre, spread = thetas[0].mean(0), thetas[0].std(0)
    known = standardised(x)
    joint = [
        np.concatenate([(theta - centre) / np.where(spread > 0, spread, 1.0), known], 1)
        for theta in thetas
    ]
    first, second = np.triu_indices(joint[0].shape[1])
    return np.stack([np.concatenate([part, part[:, first] * part[:, second]], 1) for part in joint])


def _scaled(known: np.ndarray, unknown: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    flat = known.reshape(-1, known.shape[-1])
    centre, spread = flat.mean(0), flat.std(0)
    spread = np.where(spread > 0, spread, 1.0)
    return (flat - centre) / spread, (unknown.reshape(-1, unknown.shape[-1]) - centre) / spread
