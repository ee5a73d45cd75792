"""Probes of an embedding: what neighbours and a linear map predict from it, and its collapse."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.neighbors import KNeighborsRegressor

NUM_NEIGHBOURS_PROBED = 20
COLLAPSED = 3.0
"""Effective ranks below this are an alarm."""


@dataclass(frozen=True, eq=False)
class EmbeddingProbe:
    """How good an embedding is at predicting C quantities, and how evenly it spreads."""

    knn: np.ndarray  # explained variance by the mean of the nearest neighbours, (C,)
    linear: np.ndarray  # explained variance by ridge regression, (C,)
    rank: float  # effective rank of the vectors
    uniformity: float  # log mean Gaussian potential on the sphere; lower is more even

    @property
    def has_collapsed(self) -> bool:
        """Whether the vectors vary along hardly any direction."""
        return self.rank < COLLAPSED


def probe_embedding(
    vectors: np.ndarray, quantities: np.ndarray, train: np.ndarray, test: np.ndarray
) -> EmbeddingProbe:
    """Probe an embedding by k-NN and linear regression.

    Args:
        vectors: Embedding of each map, (N, F).
        quantities: Quantities to predict, (N, C), in any units.
        train: Rows of the maps to fit on.
        test: Rows of maps of other clusters.

    Returns:
        Explained variances on the test maps (1 is perfect, 0 as good as the mean, negative worse),
        rank and uniformity.

    References:
        Roy & Vetterli 2007 (effective rank); Wang & Isola 2020, arXiv:2005.10242 (uniformity).
    """
    z = _standardised_by(vectors, train)
    goal = _standardised_by(quantities, train)
    neighbours = knn_predictions(z[train], goal[train], z[test])
    ridge = RidgeCV(np.logspace(-1, 5, 13)).fit(z[train], goal[train])
    return EmbeddingProbe(
        explained(neighbours, goal[test]),
        explained(ridge.predict(z[test]), goal[test]),
        effective_rank(vectors),
        sphere_uniformity(vectors[test]),
    )


def _standardised_by(values: np.ndarray, train: np.ndarray) -> np.ndarray:
    spread = values[train].std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    return np.asarray((values - values[train].mean(axis=0)) / scale)


def explained(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Explained variance (C,) of predictions (N, C)."""
    residual = predicted.reshape(truth.shape) - truth
    return np.asarray(1.0 - (residual**2).mean(axis=0) / truth.var(axis=0))


def effective_rank(vectors: np.ndarray) -> float:
    """Number of directions that centred vectors (N, F) use: exp(entropy of singular values)."""
    singular = np.linalg.svd(vectors - vectors.mean(axis=0), compute_uv=False)
    positive = singular[singular > 0]
    if not len(positive):
        return 1.0
    shares = positive / positive.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def sphere_uniformity(vectors: np.ndarray, *, most: int = 1000) -> float:
    """Log mean of exp(-2 |a - b|^2) over pairs of the first normalised vectors (N, F)."""
    unit = _normalised(vectors[:most])
    squared = np.maximum(2.0 - 2.0 * unit @ unit.T, 0.0)
    pairs = squared[np.triu_indices(len(unit), 1)]
    return float(np.log(np.exp(-2.0 * pairs).mean()))


def alignment(first: np.ndarray, second: np.ndarray) -> float:
    """Mean squared distance of normalised vectors (N, F) of two views; lower is better."""
    difference = _normalised(first) - _normalised(second)
    return float((difference**2).sum(axis=1).mean())


def _normalised(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-12))


def knn_predictions(
    vectors: np.ndarray, quantities: np.ndarray, queries: np.ndarray
) -> np.ndarray:
    """Mean of quantities (N, C) over the neighbours (N, F) nearest to queries (M, F), (M, C)."""
    num_neighbours = min(NUM_NEIGHBOURS_PROBED, len(vectors))
    regressor = KNeighborsRegressor(num_neighbours).fit(vectors, quantities)
    return np.asarray(regressor.predict(queries)).reshape(len(queries), -1)
