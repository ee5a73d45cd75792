"""Reference posteriors without a network: the prior, and the prior given mass and redshift.

Both draw histories of training rows. The prior draws any of them; the prior given observables
draws with the weights of a quantile regression forest, w_i(x) = mean_t 1[i in leaf_t(x)] / n_t.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.schema import Role

PRIOR, PRIOR_GIVEN_MASS = "prior", "prior given M500, z"
_CONTEXT: tuple[Role, ...] = ("mass", "time")
_NUM_TREES = 300
_MIN_LEAF = 8


def reference_samples(
    catalogue: Catalogue,
    train: np.ndarray,
    test: np.ndarray,
    num_samples: int,
    seed: int,
) -> dict[str, np.ndarray]:
    """Samples (S, N, D) of each reference for test rows, drawn from training rows."""
    theta = catalogue.theta[train]
    samples = {PRIOR: prior_samples(theta, len(test), num_samples, seed=seed)}
    context = [name for name in map(catalogue.having, _CONTEXT) if name]
    if len(context) == len(_CONTEXT):
        given_mass = forest_histories(
            catalogue, context, train, test, num_samples, seed
        )
        samples[PRIOR_GIVEN_MASS] = given_mass
    return samples


def forest_histories(
    catalogue: Catalogue,
    names: Sequence[str],
    train: np.ndarray,
    test: np.ndarray,
    num_samples: int,
    seed: int,
) -> np.ndarray:
    """Histories (S, N, D) of test rows, drawn from training rows with alike observables.

    A history is carried over with its time since collision, not its cosmic age: it is to lie
    before the observation.

    Args:
        catalogue: Rows with known histories.
        names: Observables that the forest splits on.
        train: Rows to draw from.
        test: Rows to answer for, N of them.
        num_samples: S.
        seed: Seed of forest and samples.
    """
    is_age = [column.bijection == "age" for column in catalogue.target_columns]
    times = np.flatnonzero(is_age)
    x = catalogue.inputs(names)
    theta = catalogue.theta
    age = catalogue.age[:, None]
    theta[:, times] = age - theta[:, times]
    samples = forest_samples(x[train], theta[train], x[test], num_samples, seed=seed)
    collision_age = age[test] - samples[..., times]
    samples[..., times] = np.maximum(collision_age, 0.0)
    return samples


def prior_samples(
    theta: np.ndarray, num_objects: int, num_samples: int = 1000, *, seed: int = 0
) -> np.ndarray:
    """Draw histories (S, N, D) of training rows (M, D), the same pool for every object."""
    shape = (num_samples, num_objects)
    rows = np.random.default_rng(seed).integers(len(theta), size=shape)
    return np.asarray(theta[rows])


def forest_samples(
    x: np.ndarray,
    theta: np.ndarray,
    x_new: np.ndarray,
    num_samples: int = 1000,
    *,
    seed: int = 0,
) -> np.ndarray:
    """Draw histories of training rows that share leaves of a random forest with a new object.

    Args:
        x: Observables of the training rows, (M, L).
        theta: Their targets, (M, D).
        x_new: Observables of the new objects, (N, L).
        num_samples: S.
        seed: Seed of forest and samples.

    Returns:
        Samples (S, N, D): a tree at random, then a training row of the leaf at random.

    References:
        Meinshausen (2006), Quantile regression forests, eq. (4): leaf weights.
    """
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(
        _NUM_TREES,
        min_samples_leaf=_MIN_LEAF,
        max_features=0.5,
        random_state=seed % 2**32,
    )
    offset_of_mean = theta - theta.mean(axis=0)
    scaled = offset_of_mean / theta.std(axis=0)
    if theta.shape[1] == 1:
        scaled = scaled.squeeze(1)
    forest.fit(x, scaled)
    train_leaves = forest.apply(x)  # (M, T)
    new_leaves = forest.apply(x_new)  # (N, T)
    rng = np.random.default_rng(seed)
    trees = rng.integers(_NUM_TREES, size=(num_samples, len(x_new)))
    rows = np.empty(trees.shape, dtype=int)
    for tree in range(_NUM_TREES):
        leaves = train_leaves[:, tree]
        order = np.argsort(leaves, kind="stable")
        sorted_leaves = leaves[order]
        sample, item = np.nonzero(trees == tree)
        leaf = new_leaves[item, tree]
        begin = np.searchsorted(sorted_leaves, leaf, "left")
        end = np.searchsorted(sorted_leaves, leaf, "right")

        # a row of the leaf at random
        share = rng.random(len(item))
        offset = (share * (end - begin)).astype(int)
        rows[sample, item] = order[begin + offset]
    return np.asarray(theta[rows])
