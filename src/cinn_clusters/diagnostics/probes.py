"""Probes of an embedding: what neighbours and a linear map predict from it, and its collapse."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.neighbors import KNeighborsRegressor

from cinn_clusters.diagnostics.tarp import positive_spread

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
    z_train, z_test = z[train], z[test]
    goal_train, goal_test = goal[train], goal[test]

    by_neighbours = knn_predictions(z_train, goal_train, z_test)
    knn = explained(by_neighbours, goal_test)

    penalties = np.logspace(-1, 5, 13)
    ridge = RidgeCV(penalties).fit(z_train, goal_train)
    linear = explained(ridge.predict(z_test), goal_test)

    rank = effective_rank(vectors)
    uniformity = sphere_uniformity(vectors[test])
    return EmbeddingProbe(knn, linear, rank, uniformity)


def _standardised_by(values: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Values (N, C) in units of the mean and spread of the training rows."""
    reference = values[train]
    mean = reference.mean(axis=0)
    scaled: np.ndarray = (values - mean) / positive_spread(reference)
    return scaled


def explained(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Explained variance (C,) of predictions (N, C)."""
    residual = predicted.reshape(truth.shape) - truth
    squared = residual**2
    mean_squared = squared.mean(axis=0)

    shares: np.ndarray = 1.0 - mean_squared / truth.var(axis=0)
    return shares


def effective_rank(vectors: np.ndarray) -> float:
    """Number of directions that centred vectors (N, F) use: exp(entropy of singular values)."""
    centred = vectors - vectors.mean(axis=0)
    singular = np.linalg.svd(centred, compute_uv=False)
    positive = singular[singular > 0]
    if not len(positive):
        return 1.0

    # Shannon entropy -sum p log p of the shares p
    shares = positive / positive.sum()
    information = shares * np.log(shares)
    entropy = -information.sum()
    return float(np.exp(entropy))


def sphere_uniformity(vectors: np.ndarray, *, most: int = 1000) -> float:
    """Log mean of exp(-2 |a - b|^2) over pairs of the first normalised vectors (N, F)."""
    unit = _normalised(vectors[:most])

    # |a - b|^2 = 2 - 2 a b, rounding put back to zero
    product = 2.0 * unit @ unit.T
    squared = np.maximum(2.0 - product, 0.0)

    # every pair once
    first, second = np.triu_indices(len(unit), 1)
    distances = squared[first, second]
    potential = np.exp(-2.0 * distances)
    return float(np.log(potential.mean()))


def alignment(first: np.ndarray, second: np.ndarray) -> float:
    """Mean squared distance of normalised vectors (N, F) of two views; lower is better."""
    difference = _normalised(first) - _normalised(second)
    squared = difference**2
    distances = squared.sum(axis=1)  # (N,)
    return float(distances.mean())


def _normalised(vectors: np.ndarray) -> np.ndarray:
    """Vectors (N, F) of length 1; one of length 0 stays."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: np.ndarray = vectors / np.maximum(length, 1e-12)
    return unit


def knn_predictions(
    vectors: np.ndarray, quantities: np.ndarray, queries: np.ndarray
) -> np.ndarray:
    """Mean of quantities (N, C) over the neighbours (N, F) nearest to queries (M, F), (M, C)."""
    num_neighbours = min(NUM_NEIGHBOURS_PROBED, len(vectors))
    regressor = KNeighborsRegressor(num_neighbours)
    regressor.fit(vectors, quantities)

    predicted: np.ndarray = regressor.predict(queries)
    return predicted.reshape(len(queries), -1)
