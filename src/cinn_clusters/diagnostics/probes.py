"""What a vector knows: how well neighbours and straight lines tell everything else, and whether
it collapsed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.neighbors import KNeighborsRegressor

NEIGHBOURS = 20
COLLAPSED = 3.0
"""Effective ranks below this are an alarm."""


@dataclass(frozen=True)
class Judgement:
    """How good an embedding is.

    Args:
        nearest: Explained variance of each quantity by the mean of the nearest neighbours, (C,).
        linear: The same by ridge regression, (C,).
        rank: Effective rank of the vectors.
        uniformity: log mean Gaussian potential of pairs on the sphere; lower is more even.
    """

    nearest: np.ndarray
    linear: np.ndarray
    rank: float
    uniformity: float

    @property
    def has_collapsed(self) -> bool:
        """Whether the vectors vary along hardly any direction."""
        return self.rank < COLLAPSED


def judge(vectors: np.ndarray, known: np.ndarray, train: np.ndarray, test: np.ndarray) -> Judgement:
    """Judge vectors by what can be told from them.

    Args:
        vectors: One a map, (N, F).
        known: Quantities to tell, (N, C), any unit.
        train: Maps to learn from.
        test: Maps of other clusters.

    Returns:
        Explained variances on the test maps (1: all, 0: as good as the mean, negative: worse), rank
        and uniformity.

    References:
        Roy & Vetterli 2007 (effective rank); Wang & Isola 2020, arXiv:2005.10242 (uniformity).
    """
    centre, spread = vectors[train].mean(0), vectors[train].std(0)
    z = (vectors - centre) / np.where(spread > 0, spread, 1.0)
    goal = (known - known[train].mean(0)) / np.where(
        known[train].std(0) > 0, known[train].std(0), 1.0
    )
    neighbours = (
        KNeighborsRegressor(min(NEIGHBOURS, len(train))).fit(z[train], goal[train]).predict(z[test])
    )
    line = RidgeCV(np.logspace(-1, 5, 13)).fit(z[train], goal[train]).predict(z[test])
    return Judgement(
        explained(neighbours, goal[test]),
        explained(line, goal[test]),
        effective_rank(vectors),
        uniformity(vectors[test]),
    )


def explained(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Explained variance (C,) of predictions (N, C)."""
    return np.asarray(1.0 - ((predicted.reshape(truth.shape) - truth) ** 2).mean(0) / truth.var(0))


def effective_rank(vectors: np.ndarray) -> float:
    """How many directions centred vectors (N, F) use: exp of the entropy of their normalised
    singular values.
    """
    singular = np.linalg.svd(vectors - vectors.mean(0), compute_uv=False)
    total = singular.sum()
    if not total > 0.0:
        return 1.0
    shares = singular[singular > 0] / total
    return float(np.exp(-(shares * np.log(shares)).sum()))


def uniformity(vectors: np.ndarray, *, most: int = 1000) -> float:
    """Logarithm of the mean of exp(-2 |a - b|^2) over pairs of normalised vectors (N, F), of the
    first ``most``.
    """
    unit = vectors[:most] / np.maximum(np.linalg.norm(vectors[:most], axis=1, keepdims=True), 1e-12)
    squared = np.maximum(2.0 - 2.0 * unit @ unit.T, 0.0)[np.triu_indices(len(unit), 1)]
    return float(np.log(np.exp(-2.0 * squared).mean()))


def alignment(first: np.ndarray, second: np.ndarray) -> float:
    """Mean squared distance of normalised vectors (N, F) of two views of the same objects; lower
    is better.
    """
    pairs = [
        one / np.maximum(np.linalg.norm(one, axis=1, keepdims=True), 1e-12)
        for one in (first, second)
    ]
    return float(((pairs[0] - pairs[1]) ** 2).sum(1).mean())


def neighbour_answer(vectors: np.ndarray, known: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Mean of known quantities (N, C) over the nearest neighbours of other vectors (M, F), (M,
    C).
    """
    fitted = KNeighborsRegressor(min(NEIGHBOURS, len(vectors))).fit(vectors, known)
    return np.asarray(fitted.predict(asked)).reshape(len(asked), -1)
