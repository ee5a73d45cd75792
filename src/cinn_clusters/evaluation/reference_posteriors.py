"""Reference posteriors without a network: the prior, and the prior given mass and redshift."""

from __future__ import annotations

import numpy as np

NUM_TREES = 300
MIN_LEAF = 8


def prior_samples(
    theta: np.ndarray, num_objects: int, num_draws: int = 1000, *, seed: int = 0
) -> np.ndarray:
    """Draw histories of training rows, the same pool for every object.

    Args:
        theta: Targets of the training rows, (M, D).
        num_objects: N.
        num_draws: S.
        seed: Seed.

    Returns:
        (S, N, D).
    """
    rows = np.random.default_rng(seed).integers(len(theta), size=(num_draws, num_objects))
    return np.asarray(theta[rows])


def forest_samples(
    x: np.ndarray, theta: np.ndarray, x_new: np.ndarray, num_draws: int = 1000, *, seed: int = 0
) -> np.ndarray:
    """Draw histories of training rows that share leaves of a random forest with the new object.

    Args:
        x: Observables of the training rows, (M, L).
        theta: Their targets, (M, D).
        x_new: Observables of the new objects, (N, L).
        num_draws: S.
        seed: Seed.

    Returns:
        (S, N, D): a tree at random, then a training row of the leaf at random.

    References:
        Meinshausen (2006), Quantile regression forests, eq. (4): leaf weights.
    """
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(
        NUM_TREES, min_samples_leaf=MIN_LEAF, max_features=0.5, random_state=seed % 2**32
    )
    scaled = (theta - theta.mean(0)) / theta.std(0)
    forest.fit(x, scaled[:, 0] if theta.shape[1] == 1 else scaled)
    known, new = forest.apply(x), forest.apply(x_new)  # (M, T), (N, T) leaf numbers
    rng = np.random.default_rng(seed)
    trees = rng.integers(NUM_TREES, size=(num_draws, len(x_new)))
    rows = np.empty(trees.shape, dtype=int)
    for tree in range(NUM_TREES):
        order = np.argsort(known[:, tree], kind="stable")
        draw, item = np.nonzero(trees == tree)
        begin = np.searchsorted(known[order, tree], new[item, tree], "left")
        end = np.searchsorted(known[order, tree], new[item, tree], "right")
        rows[draw, item] = order[begin + (rng.random(len(item)) * (end - begin)).astype(int)]
    return np.asarray(theta[rows])
